"""Floors by hand, and that the ceilings of this machine are numbers."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tsfmicro.benchmarks import roofline
from tsfmicro.benchmarks.roofline import Ceilings, measure_ceilings

CEILINGS = Ceilings({"float32": 100.0, "bfloat16": 400.0}, 10.0)


@pytest.mark.parametrize(
    ("gmacs", "parameters", "batch", "precision", "floor_ms"),
    [
        (5.0, 1_000_000, 1, "float32", 100.0),  # 10 GFLOP at 100 GFLOP/s
        (5.0, 1_000_000, 3, "float32", 300.0),
        (5.0, 1_000_000, 1, "bfloat16", 25.0),
        (0.05, 10_000_000, 1, "float32", 4.0),  # 40 MB at 10 GB/s, more than 1 ms of arithmetic
        (0.05, 10_000_000, 1, "bfloat16", 2.0),
        (5.0, 1_000_000, 1, "float16", None),
    ],
)
def test_the_floor_is_the_longer_of_arithmetic_and_reading(
    gmacs: float, parameters: int, batch: int, precision: str, floor_ms: float | None
) -> None:
    assert CEILINGS.floor_ms(gmacs, parameters, batch, precision) == pytest.approx(floor_ms)


def test_of_two_measurements_the_higher_ceilings_count() -> None:
    other = Ceilings({"float32": 90.0, "bfloat16": 500.0}, 12.0)
    assert CEILINGS.better(other) == other.better(CEILINGS) == Ceilings({"float32": 100.0, "bfloat16": 500.0}, 12.0)


def test_ceilings_are_counted_from_the_best_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_SIDES", (100, 50))
    monkeypatch.setattr(roofline, "_COPIED_BYTES", 1000)
    times_s = iter([1e-3, 1e-3, 0.5e-3, 1e-3, 2e-6])  # a square of each size in each precision, then memory

    def best_s(step: object) -> float:
        step()  # type: ignore[operator]
        return next(times_s)

    monkeypatch.setattr(roofline, "_best_s", best_s)
    found = measure_ceilings()
    assert found.gflops == {"float32": pytest.approx(2.0), "bfloat16": pytest.approx(4.0)}  # 2 x 100^3 operations
    assert found.bandwidth_gb_s == pytest.approx(1.0)  # read and written
