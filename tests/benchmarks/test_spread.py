"""Percentiles, their intervals, histograms and slopes, on cases done by hand or by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tsfmicro.benchmarks.spread import histogram, percentiles, slope


def test_percentiles_are_nearest_ranks() -> None:
    found = percentiles([float(value) for value in range(1, 1001)][::-1], "ms")
    assert (found["n"], found["p50_ms"], found["p90_ms"], found["p95_ms"], found["p99_ms"]) == (
        1000,
        500,
        900,
        950,
        990,
    )
    assert found["max_ms"] == 1000
    # 500 +- 1.96 sqrt(250) = 469.01 ... 530.99, ranks rounded up
    assert found["p50_ms_interval"] == [470, 531]


@pytest.mark.parametrize(
    ("count", "told"), [(19, []), (20, ["p50"]), (100, ["p50", "p90"]), (999, ["p50", "p90", "p95"])]
)
def test_a_percentile_with_too_few_values_beyond_it_is_left_blank(count: int, told: list[str]) -> None:
    found = percentiles([1.0] * count, "ms")
    names = ("p50", "p90", "p95", "p99", "p99_9")
    assert [name for name in names if found[f"{name}_ms"] is not None] == told
    assert [name for name in names if found[f"{name}_ms_interval"] is not None] == told


def test_nothing_measured_is_no_number() -> None:
    found = percentiles([], "ms")
    assert found["n"] == 0 and found["max_ms"] is None and found["p50_ms"] is None


def test_the_interval_holds_the_truth_nineteen_times_in_twenty() -> None:
    rng, held = np.random.default_rng(5), 0
    for _ in range(400):
        low, high = percentiles(rng.exponential(10.0, 400).tolist(), "ms")["p90_ms_interval"]
        held += low <= -10.0 * math.log(0.1) <= high
    assert 0.92 <= held / 400 <= 0.98


def test_a_histogram_counts_everything_once_in_growing_buckets() -> None:
    values = [1.0, 1.1, 5.0, 5.1, 80.0]
    found = histogram(values)
    assert sum(count for _, count in found) == len(values)
    edges = [edge for edge, _ in found]
    assert all(b / a == pytest.approx(1.25, rel=0.01) for a, b in itertools.pairwise(edges))
    assert edges[-1] >= 80.0 > edges[-2]
    assert found[-1][1] == 1
    assert histogram([]) == []


def walk(seed: int, memory: float, drift: float = 0.0) -> tuple[list[float], list[float]]:
    """A series whose neighbours follow each other, with a drift."""
    rng, value, values = np.random.default_rng(seed), 0.0, []
    for step in range(300):
        value = memory * value + rng.normal()
        values.append(value + drift * step)
    return list(range(300)), values


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_no_drift_is_seldom_taken_for_one(memory: float) -> None:
    wrong = sum(not low <= 0 <= high for _, low, high in (slope(*walk(seed, memory)) for seed in range(300)))
    assert wrong / 300 <= 0.10


def test_a_drift_is_found_and_measured() -> None:
    gradient, low, high = slope(*walk(1, 0.5, drift=0.05))
    assert low < 0.05 < high and low > 0
    assert gradient == pytest.approx(0.05, abs=0.01)


def test_too_few_values_have_no_slope() -> None:
    assert slope([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]) == (0.0, -math.inf, math.inf)
