"""Scenarios ``models`` and ``training``: what the networks cost.

The only module of this package, beside ``naive``, that needs torch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from tsfmicro.benchmarks.naive import NaiveTSFmicro
from tsfmicro.models.config import INPUT_PX, ModelConfig, family
from tsfmicro.models.network import build
from tsfmicro.training.summary import time_family

_DIVISORS = {"base": 1, "small": 4}
_CEILING_SIDES = (512, 1024)


def run_models(rounds: int, threads: int) -> list[dict[str, Any]]:
    """Every network of the family: parameters, multiply-adds, and the median latency of one pair on the CPU."""
    torch.set_num_threads(threads)
    return [row.to_dict() for row in time_family(family(), rounds)]


@dataclass(slots=True)
class _Contender:
    name: str
    network: nn.Module
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def step(self, difference: Tensor, onset: Tensor, truth: Tensor) -> None:
        """Forward and backward, timed."""
        self.network.zero_grad(set_to_none=True)
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        loss: Tensor = nn.functional.cross_entropy(self.network(difference, onset), truth)
        torch.autograd.backward(loss)
        self.wall_s.append(time.perf_counter() - wall_s)
        self.cpu_s.append(time.process_time() - cpu_s)

    def row(self) -> dict[str, Any]:
        return {
            "what": self.name,
            "median_s": round(median(self.wall_s), 4),
            "median_cpu_s": round(median(self.cpu_s), 4),
            "samples": {"s": _rounded(self.wall_s), "cpu_s": _rounded(self.cpu_s)},
        }


def run_step(size: str, batch: int, rounds: int, threads: int) -> list[dict[str, Any]]:
    """Alternate the network and the naive one, same weights and pictures, forward and backward in float32.

    Returns:
        One row for each of the two, and one with their ratio, pair by pair. Processor time counts what other work on
        the machine does not take.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    ours = build(ModelConfig(size=size, drop_path=0.0)).train()
    naive = NaiveTSFmicro(_DIVISORS[size], classes=5).train()
    naive.load_state_dict(ours.state_dict())
    contenders = (_Contender("naive", naive), _Contender("network", ours))
    difference, onset = torch.randn(2, batch, 3, INPUT_PX, INPUT_PX)
    truth = torch.randint(0, 5, (batch,))
    for _ in range(rounds + 1):
        for contender in contenders:
            contender.step(difference, onset, truth)
    for contender in contenders:  # the first round sets up
        del contender.wall_s[0], contender.cpu_s[0]
    plain, fast = contenders
    ratios = [a / b for a, b in zip(fast.wall_s, plain.wall_s, strict=True)]
    cpu_ratios = [a / b for a, b in zip(fast.cpu_s, plain.cpu_s, strict=True)]
    return [
        plain.row(),
        fast.row(),
        {
            "what": "ratio",
            "median": round(median(ratios), 3),
            "min": round(min(ratios), 3),
            "max": round(max(ratios), 3),
            "median_cpu": round(median(cpu_ratios), 3),
            "rounds": rounds,
            "samples": {"ratio": _rounded(ratios), "cpu_ratio": _rounded(cpu_ratios)},
        },
    ]


def run_ceiling(rounds: int, threads: int) -> list[dict[str, Any]]:
    """How fast this machine multiplies square float32 matrices, the kernel that comes nearest to its peak.

    Returns:
        One row a side. Processor time counts what other work on the machine does not take.
    """
    torch.set_num_threads(threads)
    rows: list[dict[str, Any]] = []
    for side in _CEILING_SIDES:
        left, right = torch.randn(2, side, side)
        speeds = []
        for _ in range(rounds + 1):
            cpu_s = time.process_time()
            torch.mm(left, right)
            speeds.append(side**3 / (time.process_time() - cpu_s) / 1e9)
        del speeds[0]
        rows.append({
            "what": f"matrix products of side {side}",
            "best_gmacs_per_cpu_s": round(max(speeds), 2),
            "median_gmacs_per_cpu_s": round(median(speeds), 2),
            "samples": {"gmacs_per_cpu_s": _rounded(speeds)},
        })  # fmt: skip
    return rows


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 5) for value in values]
