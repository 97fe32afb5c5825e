"""Intervals of few events, against tables and by hand."""

from __future__ import annotations

import pytest

from tsfmicro.benchmarks.spotting.chance import f1_interval, per_minute, poisson_interval
from tsfmicro.intervals import Counts


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.39)])
def test_poisson_intervals_are_those_of_the_tables(count: int, low: float, high: float) -> None:
    assert poisson_interval(count) == pytest.approx((low, high), rel=1e-3)


def test_one_event_in_half_a_minute_is_nearly_anything() -> None:
    figures = per_minute(1, 30.0)
    assert figures == {
        "watched_s": 30.0,
        "false_events_per_min": 2.0,
        "false_events_per_min_interval": [0.05, 11.14],
    }
    assert per_minute(0, 0.0)["false_events_per_min"] is None


def test_f1_interval_by_hand() -> None:
    # Five of ten: Wilson's interval of one half is 0.2366 to 0.7634.
    assert f1_interval(Counts(5, 2, 3)) == pytest.approx([0.3827, 0.8658], abs=1e-4)
    low, high = f1_interval(Counts(16, 0, 0)) or [0.0, 0.0]
    assert high == 1.0 and 0.85 < low < 0.95
    assert f1_interval(Counts(0, 0, 0)) is None
