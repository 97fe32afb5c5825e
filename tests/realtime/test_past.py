"""The memory of the last seconds: what a list would hold, and views that stay as they were."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tsfmicro.realtime.past import Past


@settings(max_examples=40, deadline=None)
@given(forgotten=st.lists(st.integers(0, 3), min_size=1, max_size=400), seed=st.integers(0, 2**31))
def test_it_holds_what_a_list_would(forgotten: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    past, times_s, values = Past((2, 3)), [], []
    for i, count in enumerate(forgotten):
        value = rng.normal(size=(2, 3))
        past.add(i / 60, value)
        times_s.append(i / 60)
        values.append(value)
        count = min(count, len(values) - 1)
        past.forget_first(count)
        del times_s[:count], values[:count]
        assert len(past) == len(values)
        np.testing.assert_array_equal(past.times_s, times_s)
        np.testing.assert_array_equal(past.values, values)


def test_a_view_stays_as_it_was() -> None:
    past = Past((1,))
    views = []
    for i in range(500):
        past.add(float(i), np.array([float(i)]))
        past.forget_first(int(len(past) > 30))
        views.append((past.times_s, past.values, past.times_s.copy()))
    for times_s, values, then_s in views:
        np.testing.assert_array_equal(times_s, then_s)
        np.testing.assert_array_equal(values[:, 0], then_s)


def test_room_is_found_again() -> None:
    past = Past((4,))
    for i in range(50_000):
        past.add(float(i), np.zeros(4))
        past.forget_first(int(len(past) > 100))
    held = past.values.base
    assert held is not None
    assert len(held) <= 256
