"""Percentiles, their intervals, histograms and slopes, on cases done by hand or by simulation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from tsfmicro.benchmarks.spread import histogram, percentiles, slope, slope_of_blocks


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


def memory_of(seed: int, flicker: float, drift: float = 0.0) -> tuple[list[float], list[float]]:
    """240 looks, 5 s apart, at what moves within minutes, beneath a flicker and a loop of 48 s."""
    rng, value = np.random.default_rng(seed), 0.0
    times, values, phase = list[float](), list[float](), rng.uniform(0, 6)
    for step in range(240):
        value = 0.97 * value + 0.24 * rng.normal()
        quick = rng.normal() + math.sin(2 * math.pi * step * 5 / 48 + phase)
        times.append(step * 5.0)
        values.append(value + flicker * quick + drift * step)
    return times, values


@pytest.mark.parametrize("flicker", [0.0, 2.0])
def test_blocks_see_the_slow_part_behind_a_quick_one(flicker: float) -> None:
    def wrong(estimate: Callable[[list[float], list[float]], tuple[float, float, float]]) -> float:
        found = [estimate(*memory_of(seed, flicker)) for seed in range(200)]
        return sum(not low <= 0 <= high for _, low, high in found) / 200

    assert wrong(slope_of_blocks) <= 0.12
    if flicker:  # where the neighbours' correlation says little
        assert wrong(slope) > 0.2


def test_blocks_find_a_drift() -> None:
    gradient, low, high = slope_of_blocks(*memory_of(1, 0.5, drift=0.2))
    assert 0 < low < 0.04 < high
    assert gradient == pytest.approx(0.04, rel=0.2)


def test_a_short_record_is_taken_as_it_is() -> None:
    times, values = walk(2, 0.5)
    assert slope_of_blocks(times[:47], values[:47]) == slope(times[:47], values[:47])
    assert slope_of_blocks(times[:48], values[:48]) != slope(times[:48], values[:48])


def test_too_few_values_have_no_slope() -> None:
    assert slope([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]) == (0.0, -math.inf, math.inf)
