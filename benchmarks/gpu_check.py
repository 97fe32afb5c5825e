"""Everything worth doing in one visit to a machine with an NVIDIA card: one command, one JSON.

    python -m tsfmicro.benchmarks.gpu_check --size base --json benchmarks/results/gpu_check.json

Parity and latency of torch eager, on a CUDA graph and compiled, of ONNX Runtime on the card, and of TensorRT and
TensorRT-RTX, as far as each can be loaded, beside the ceilings of the card measured in the same run. What cannot be run
is in the record with the reason. Needs torch, numpy, OpenCV, safetensors and the packages of tsf-export; no network.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsfmicro.benchmarks.provenance import write_result
from tsfmicro.errors import BackendError, TsfError
from tsfmicro.models.config import INPUT_PX, ModelConfig
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.models.network import build
from tsfmicro.preprocess import IMAGENET_MEAN, IMAGENET_STD
from tsfmicro.runners.cuda import Cuda
from tsfmicro.runners.parity import Tolerance, compare, probe_pairs
from tsfmicro.runners.precision import Precision
from tsfmicro.values import Float32Array, UInt8Array

Row = dict[str, Any]
Step = Callable[[], object]

_PARITY_PAIRS = 8
_GMACS = {"base": 6.722, "small": 0.668}
"""Multiply-adds of one pair, late fusion: ``benchmarks/results/models.json``."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What the card does at most, measured here."""

    float16_tflops: float
    bandwidth_gb_s: float

    def floor_us(self, size: str, batch: int, parameters: int) -> float:
        """Microseconds that a batch takes at least in float16: its arithmetic, or reading the weights once."""
        arithmetic = 2e9 * _GMACS[size] * batch / (self.float16_tflops * 1e12)
        reading = 2 * parameters / (self.bandwidth_gb_s * 1e9)
        return 1e6 * max(arithmetic, reading)


def main(words: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=sorted(_GMACS), default="base", help="network, with seeded random weights")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=200, help="calls of each contender, in turns")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    asked = parser.parse_args(words)
    try:
        if not torch.cuda.is_available():
            raise BackendError("gpu_check needs an NVIDIA card that torch can use, and there is none here")
        rows = check(asked.size, asked.batches, asked.rounds)
        settings = {"size": asked.size, "batches": asked.batches, "rounds": asked.rounds, "weights": "random, seed 0"}
        write_result(asked.json, "gpu_check", rows, settings)
    except TsfError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    print(f"wrote {asked.json}: {sum(row['status'] == 'ok' for row in rows)} of {len(rows)} rows ran")  # noqa: T201
    return 0


def check(size: str, batches: list[int], rounds: int) -> list[Row]:
    """All rows: the machine, its ceilings, and each contender at each batch size."""
    fused = a_network(size)
    parameters = sum(parameter.numel() for parameter in fused.network.parameters())
    rows = [attempt("machine", lambda: _machine())]
    ceilings = _measure_ceilings()
    rows.append({"what": "ceilings", "status": "ok", **asdict(ceilings)})
    onset, apex = probe_pairs(_PARITY_PAIRS, seed=11)
    with torch.inference_mode():
        reference = copy.deepcopy(fused).double()(torch.tensor(onset), torch.tensor(apex))[1].float().numpy()
    contenders, failed = _contenders(fused, max(batches), reference, (onset, apex))
    rows += failed
    for batch in batches:
        rows += time_in_turns(contenders, batch, rounds, ceilings.floor_us(size, batch, parameters))
    return rows


def a_network(size: str) -> FusedRecognizer:
    """Seeded random weights, lively enough for logits to differ from pair to pair."""
    torch.manual_seed(0)
    network = build(ModelConfig(size=size))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 2:
                parameter.mul_(2.0)
            parameter.copy_(parameter.half().float())
    return FusedRecognizer(network, IMAGENET_MEAN, IMAGENET_STD).eval()


def attempt(what: str, work: Callable[[], Row]) -> Row:
    """A row of what worked, or of why it did not: one failure must not cost the visit."""
    try:
        return {"what": what, "status": "ok", **work()}
    except Exception as error:
        return {"what": what, "status": "not run", "why": f"{type(error).__name__}: {error}"[:600]}


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that answers pairs, from host memory to host memory, and perhaps from device to device."""

    name: str
    infer: Callable[[UInt8Array, UInt8Array], Float32Array]
    on_card: Callable[[int], Step] | None
    """For a batch size, a call whose inputs and outputs stay on the card; None where there is no such thing."""
    distance: Row


def time_in_turns(contenders: list[Contender], batch: int, rounds: int, floor_us: float) -> list[Row]:
    """Medians and percentiles of one batch size, all contenders taking turns."""
    onset, apex = probe_pairs(batch, seed=batch)
    host: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    card: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    rows: list[Row] = []
    steps: dict[str, Step] = {}
    for contender in contenders:
        tried = attempt(contender.name, lambda c=contender: _warm_up(c, batch, onset, apex, steps))  # type: ignore[misc]
        if tried["status"] != "ok":
            rows.append({**tried, "batch": batch})
            del host[contender.name]
    running = [contender for contender in contenders if contender.name in host]
    for _ in range(rounds):
        for contender in running:
            began_s = time.perf_counter()
            contender.infer(onset, apex)
            host[contender.name].append((time.perf_counter() - began_s) * 1e6)
            if contender.name in steps:
                card[contender.name].append(_event_us(steps[contender.name]))
    eager_times = card.get("torch eager float16")
    for contender in running:
        whole = percentiles(host[contender.name])
        row: Row = {"what": contender.name, "status": "ok", "batch": batch, "host_to_host_us": whole}
        row["host_times_the_floor"] = round(whole["p50"] / floor_us, 2)
        if card[contender.name]:
            spent = percentiles(card[contender.name])
            row |= {
                "on_card_us": spent,
                "times_the_floor": round(spent["p50"] / floor_us, 2),
                "ratio_to_eager_float16": round(spent["p50"] / median(eager_times), 3) if eager_times else None,
            }
        rows.append(row | {"floor_us": round(floor_us, 2), "distance": contender.distance})
    return rows


def percentiles(times: list[float]) -> dict[str, float]:
    """p50, p95, p99 and the smallest, with how many."""
    p50, p95, p99 = (round(float(value), 2) for value in np.percentile(times, (50, 95, 99)))
    return {"p50": p50, "p95": p95, "p99": p99, "min": round(min(times), 2), "calls": len(times)}


def _warm_up(contender: Contender, batch: int, onset: UInt8Array, apex: UInt8Array, steps: dict[str, Step]) -> Row:
    for _ in range(3):
        contender.infer(onset, apex)
    if contender.on_card is not None:
        steps[contender.name] = contender.on_card(batch)
        for _ in range(10):
            steps[contender.name]()
        torch.cuda.synchronize()
    return {}


def _event_us(step: Step) -> float:
    event: Any = torch.cuda.Event
    began, ended = event(enable_timing=True), event(enable_timing=True)
    torch.cuda.synchronize()
    began.record()
    step()
    ended.record()
    torch.cuda.synchronize()
    return float(began.elapsed_time(ended)) * 1e3


def _machine() -> Row:
    cuda = Cuda()
    try:
        card = cuda.card()
    finally:
        cuda.close()
    free, total = torch.cuda.mem_get_info()
    return {"card": asdict(card), "memory_gib": round(total / 2**30, 1), "free_gib": round(free / 2**30, 1),
            "torch": torch.__version__, "torch_cuda": torch.version.cuda}  # fmt: skip


def _measure_ceilings() -> Ceilings:
    side = 8192
    left, right = (torch.randn(side, side, device="cuda", dtype=torch.float16) for _ in range(2))
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)

    def best(step: Step) -> float:
        for _ in range(3):
            step()
        return min(_event_us(step) for _ in range(20))

    product_us, copy_us = best(lambda: left @ right), best(lambda: target.copy_(source))
    return Ceilings(round(2 * side**3 / product_us / 1e6, 1), round(2 * source.numel() / copy_us / 1e3, 1))


def _contenders(
    fused: FusedRecognizer, max_batch: int, reference: Float32Array, probes: tuple[UInt8Array, UInt8Array]
) -> tuple[list[Contender], list[Row]]:
    """Everything that loads and answers, and rows for what does not."""
    from tsfmicro.benchmarks.gpu_contenders import makers

    ready: list[Contender] = []
    failed: list[Row] = []
    for name, precision, make in makers(fused, max_batch):

        def loaded(name: str = name, precision: Precision = precision, make: Any = make) -> Row:
            infer, on_card = make()
            parity = compare(reference, infer(*probes))
            held = parity.within(Tolerance.of(precision))
            ready.append(Contender(name, infer, on_card, {**asdict(parity), "within_tolerance": held}))
            return {}

        row = attempt(name, loaded)
        if row["status"] != "ok":
            failed.append(row)
    return ready, failed


def crops_on_card(batch: int) -> tuple[Tensor, Tensor]:
    """Two batches of zeros on the card."""
    shape = (batch, INPUT_PX, INPUT_PX, 3)
    return torch.zeros(shape, dtype=torch.uint8, device="cuda"), torch.zeros(shape, dtype=torch.uint8, device="cuda")


if __name__ == "__main__":
    sys.exit(main())
