"""Percentiles against numpy, from a clock that the test turns."""

from __future__ import annotations

import numpy as np
import pytest

from tsfmicro.realtime.stage_clock import PERCENTILES, Histogram, StageClock
from tsfmicro.values import Float64Array


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def durations(kind: str, count: int = 5000) -> Float64Array:
    rng = np.random.default_rng(11)
    drawn: dict[str, Float64Array] = {
        "narrow": rng.normal(8.0, 0.5, count),
        "skewed": rng.lognormal(1.0, 1.2, count),
        "two humps": np.where(rng.random(count) < 0.9, rng.normal(2.0, 0.1, count), rng.normal(400.0, 20.0, count)),
    }
    return drawn[kind]


@pytest.mark.parametrize("kind", ["narrow", "skewed", "two humps"])
@pytest.mark.parametrize("percent", [1, *PERCENTILES, 100])
def test_percentiles_agree_with_numpy(kind: str, percent: int) -> None:
    histogram = Histogram()
    values = durations(kind)
    for value in values:
        histogram.add(float(value))
    exact = float(np.percentile(values, percent, method="inverted_cdf"))
    assert histogram.count == len(values)
    assert histogram.percentile_ms(percent) == pytest.approx(exact, rel=0.0101)


def test_one_duration_is_every_percentile_and_none_is_none() -> None:
    histogram = Histogram()
    assert histogram.percentile_ms(50) is None
    histogram.add(12.5)
    for percent in PERCENTILES:
        assert histogram.percentile_ms(percent) == pytest.approx(12.5, rel=0.0101)


@pytest.mark.parametrize(("percent", "nearest_ms"), [(50, 4.0), (95, 7.0), (14, 1.0), (15, 2.0)])
def test_the_rank_is_rounded_up(percent: int, nearest_ms: float) -> None:
    histogram = Histogram()
    for value in (7.0, 3.0, 5.0, 1.0, 2.0, 6.0, 4.0):
        histogram.add(value)
    assert histogram.percentile_ms(percent) == pytest.approx(nearest_ms, rel=0.0101)


def test_durations_of_nothing_do_not_break_the_logarithm() -> None:
    histogram = Histogram()
    histogram.add(0.0)
    histogram.add(-1e-9)  # a clock that stood still and was rounded
    assert histogram.count == 2
    assert histogram.percentile_ms(99) == pytest.approx(0.001)


def test_a_month_costs_what_a_minute_costs() -> None:
    histogram = Histogram()
    rng = np.random.default_rng(2)
    for value in 10.0 ** rng.uniform(-3, 5, 50_000):  # from a microsecond to a hundred seconds
        histogram.add(float(value))
    # log(1e8) / log(1.02) = 931 buckets can be told apart over that range.
    assert len(histogram._counts) <= 932
    assert sum(histogram._counts.values()) == histogram.count == 50_000


def test_the_clock_times_by_name() -> None:
    now = FakeClock()
    clock = StageClock(now)
    for duration_ms in [1.0] * 98 + [50.0, 900.0]:
        with clock.stage("spot"):
            now.now_s += duration_ms / 1e3
        now.now_s += 7.0  # outside of a stage: counts nowhere
    with clock.stage("align"):
        now.now_s += 0.25
    report = clock.report()
    assert list(report) == ["spot", "align"]
    assert set(report["spot"]) == {"count", "p50_ms", "p95_ms", "p99_ms"}
    assert (report["spot"]["count"], report["align"]["count"]) == (100, 1)
    assert report["spot"]["p50_ms"] == pytest.approx(1.0, rel=0.0101)
    assert report["spot"]["p95_ms"] == pytest.approx(1.0, rel=0.0101)
    assert report["spot"]["p99_ms"] == pytest.approx(50.0, rel=0.0101)
    assert report["align"]["p50_ms"] == pytest.approx(250.0, rel=0.0101)


def test_a_stage_inside_a_stage_and_one_that_fails_are_counted() -> None:
    now = FakeClock()
    clock = StageClock(now)
    with pytest.raises(ZeroDivisionError), clock.stage("outer"):
        with clock.stage("inner"):
            now.now_s += 0.010
        now.now_s += 0.030
        raise ZeroDivisionError
    report = clock.report()
    assert report["inner"]["p50_ms"] == pytest.approx(10.0, rel=0.0101)
    assert report["outer"]["p50_ms"] == pytest.approx(40.0, rel=0.0101)


def test_nothing_timed_reports_nothing() -> None:
    assert StageClock().report() == {}
