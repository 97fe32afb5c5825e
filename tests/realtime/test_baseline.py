"""The running baseline against numpy, in seconds and not in samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsfmicro.realtime.baseline import RobustBaseline
from tsfmicro.values import Float64Array


def direct(past: Float64Array, values: Float64Array, floor: float) -> Float64Array:
    median = np.median(past, axis=0)
    result: Float64Array = (values - median) / (1.4826 * np.median(np.abs(past - median), axis=0) + floor)
    return result


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(4, 60), channels=st.integers(1, 12), floor=st.floats(0.05, 2))
def test_scores_are_robust_z_scores(seed: int, count: int, channels: int, floor: float) -> None:
    rng = np.random.default_rng(seed)
    past, now = rng.gamma(2, 1, (count, channels)), rng.gamma(2, 3, channels)
    baseline = RobustBaseline(channels, memory_s=100.0)
    for i, values in enumerate(past):
        baseline.add(i / 8, values)  # slower than the medians are refreshed
    np.testing.assert_allclose(baseline.scores(now, floor), direct(past, now, floor))


def test_no_score_before_there_is_a_baseline() -> None:
    baseline = RobustBaseline(2, memory_s=4.0)
    for i in range(2):
        np.testing.assert_array_equal(baseline.scores(np.full(2, 50.0), 0.1), [0, 0])
        baseline.add(i / 30, np.zeros(2))
    for i in range(2, 8):
        baseline.add(i / 30, np.zeros(2))
    np.testing.assert_allclose(baseline.scores(np.full(2, 50.0), 0.1), [500, 500])


def test_the_floor_keeps_a_still_face_quiet() -> None:
    baseline = RobustBaseline(1, memory_s=4.0)
    for i in range(20):
        baseline.add(i / 30, np.array([0.2]))
    assert baseline.scores(np.array([0.3]), 0.5)[0] == pytest.approx(0.2)
    assert baseline.scores(np.array([0.3]), 0.1)[0] == pytest.approx(1.0)


def test_channels_do_not_mix() -> None:
    rng = np.random.default_rng(0)
    baseline = RobustBaseline(2, memory_s=4.0)
    for i in range(50):
        baseline.add(i / 30, np.array([0.0, rng.normal(10, 5)]))
    scores = baseline.scores(np.array([1.0, 11.0]), 0.1)
    assert scores[0] == pytest.approx(10.0)
    assert abs(scores[1]) < 1


def test_a_short_event_hardly_moves_it() -> None:
    rng = np.random.default_rng(1)
    calm, disturbed = RobustBaseline(1, memory_s=4.0), RobustBaseline(1, memory_s=4.0)
    for i in range(120):
        value = np.array([rng.gamma(2, 0.1)])
        calm.add(i / 30, value)
        disturbed.add(i / 30, value + (5.0 if 50 <= i < 62 else 0.0))
    score, with_event = (float(b.scores(np.array([3.0]), 0.3)[0]) for b in (calm, disturbed))
    assert with_event == pytest.approx(score, rel=0.15)


@pytest.mark.parametrize("fps", [30, 120])
@pytest.mark.parametrize("memory_s", [1.0, 2.5])
def test_memory_is_in_seconds(fps: int, memory_s: float) -> None:
    rng = np.random.default_rng(2)
    baseline = RobustBaseline(1, memory_s)
    times_s = np.arange(8 * fps) / fps
    values = np.where(times_s < 4, 7.0, 1.0) + rng.normal(0, 0.1, len(times_s))
    now = np.array([3.0])
    for i, (t_s, value) in enumerate(zip(times_s, values, strict=True)):
        baseline.add(float(t_s), np.array([value]))
        if t_s in (3.5, 4.25, 5.0, 4 + memory_s, 7.5):
            # The medians may be a tenth of a second old.
            ends = [k for k in range(i + 1) if t_s - times_s[k] < 0.1]
            allowed = [
                direct(values[: k + 1][times_s[: k + 1] >= times_s[k] - memory_s][:, None], now, 0.2) for k in ends
            ]
            assert any(np.allclose(baseline.scores(now, 0.2), scores) for scores in allowed)


def test_after_a_gap_there_is_no_baseline() -> None:
    baseline = RobustBaseline(1, memory_s=1.0)
    for i in range(60):
        baseline.add(i / 30, np.array([5.0]))
    baseline.add(10.0, np.array([1.0]))
    assert baseline.scores(np.array([9.0]), 0.1)[0] == 0
