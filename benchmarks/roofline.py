"""What a processor does at most, measured here, and what a network therefore takes at least (Williams et al., 2009)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

_SIDES = (384, 512, 1024)
"""Which is fastest differs by precision and machine."""
_COPIED_BYTES = 2**27
"""More than caches hold."""
_TRIES = 20
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Best of several tries, with as many threads as what is held against them."""

    gflops: Mapping[str, float]
    """Of the fastest product of square matrices, by precision, 10^9 operations a second."""
    bandwidth_gb_s: float
    """Of reading and writing memory, 10^9 bytes a second."""

    def floor_ms(self, gmacs: float, parameters: int, batch: int, precision: str) -> float | None:
        """Milliseconds that a batch takes at least: its arithmetic, or reading the weights once; the longer of the two.

        Args:
            gmacs: multiply-adds of one pair, 10^9.
            parameters: of the network.
            batch: pairs.
            precision: of products and weights; None is returned for one that was not measured.
        """
        if precision not in self.gflops:
            return None
        arithmetic_s = 2 * gmacs * batch / self.gflops[precision]
        reading_s = _BYTES[precision] * parameters / (self.bandwidth_gb_s * 1e9)
        return max(arithmetic_s, reading_s) * 1e3

    def better(self, other: Ceilings) -> Ceilings:
        """Of two measurements the higher ceilings: whatever else ran then can only lower them."""
        gflops = {name: max(one, other.gflops[name]) for name, one in self.gflops.items()}
        return Ceilings(gflops, max(self.bandwidth_gb_s, other.bandwidth_gb_s))


def measure_ceilings() -> Ceilings:
    """With the CPU threads torch has now."""
    gflops = {name: round(max(_gflops(name, side) for side in _SIDES), 2) for name in ("float32", "bfloat16")}
    source = torch.ones(_COPIED_BYTES, dtype=torch.uint8)
    target = torch.empty_like(source)
    return Ceilings(gflops, round(2e-9 * _COPIED_BYTES / _best_s(lambda: target.copy_(source)), 2))


def _gflops(precision: str, side: int) -> float:
    left, right = (torch.ones(side, side, dtype=getattr(torch, precision)) for _ in range(2))
    return 2e-9 * side**3 / _best_s(lambda: left @ right)


def _best_s(step: Callable[[], object]) -> float:
    step()
    times_s = []
    for _ in range(_TRIES):
        began_s = time.perf_counter()
        step()
        times_s.append(time.perf_counter() - began_s)
    return min(times_s)
