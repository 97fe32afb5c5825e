"""Onset and offset of courses whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsfmicro.realtime.course import Course, measure_course, smoothed
from tsfmicro.values import Float64Array

RATES = [25.0, 30.0, 60.0, 200.0]


def raised_cosine(times_s: Float64Array, onset_s: float, apex_s: float, offset_s: float) -> Float64Array:
    rising = np.clip((times_s - onset_s) / (apex_s - onset_s), 0, 1)
    falling = np.clip((offset_s - times_s) / (offset_s - apex_s), 0, 1)
    result: Float64Array = 0.5 - 0.5 * np.cos(np.pi * np.minimum(rising, falling))
    return result


def course_of(times_s: Float64Array, trace: Float64Array) -> Course:
    smooth = smoothed(trace)
    return measure_course(times_s, smooth, int(smooth.argmax()))


def check(course: Course, times_s: Float64Array, truth: tuple[float, float, float]) -> None:
    """The feet within 20 % of their flank, and half a frame."""
    onset_s, apex_s, offset_s = truth
    step_s = float(np.diff(times_s).max())
    assert course.returned
    assert abs(course.onset_s - onset_s) <= 0.2 * (apex_s - onset_s) + step_s / 2 + 1e-9
    assert abs(course.offset_s - offset_s) <= 0.2 * (offset_s - apex_s) + step_s / 2 + 1e-9


@pytest.mark.parametrize("fps", RATES)
@settings(max_examples=40, deadline=None)
@given(
    before_s=st.floats(0.1, 0.25),
    rise_s=st.floats(0.12, 0.30),
    fall_s=st.floats(0.13, 0.40),
    amplitude=st.floats(0.5, 9),
)
def test_even_sampling(fps: float, before_s: float, rise_s: float, fall_s: float, amplitude: float) -> None:
    truth = (before_s, before_s + rise_s, before_s + rise_s + fall_s)
    times_s = np.arange(round((truth[2] + 0.2) * fps)) / fps
    course = course_of(times_s, amplitude * raised_cosine(times_s, *truth))
    check(course, times_s, truth)
    assert course.settled
    assert course.rise == pytest.approx(amplitude, rel=0.25)  # 25 frames a second miss the peak, and it is smoothed


@pytest.mark.parametrize("fps", RATES)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_jittered_sampling(fps: float, seed: int) -> None:
    truth = (11.25, 11.45, 11.70)
    rng = np.random.default_rng(seed)
    times_s = 11.0 + np.sort(np.arange(round(fps)) / fps + rng.uniform(-0.3, 0.3, round(fps)) / fps)
    check(course_of(times_s, 3 * raised_cosine(times_s, *truth)), times_s, truth)


@pytest.mark.parametrize("slope", [-3.0, -1.0, 1.0, 3.0])
def test_a_drift_tilts_the_ground_and_not_the_flanks(slope: float) -> None:
    """A head that turns meanwhile: each flank stands on its own side's ground."""
    truth = (0.25, 0.45, 0.70)
    times_s = np.arange(60) / 60
    course = course_of(times_s, 3 * raised_cosine(times_s, *truth) + slope * times_s)
    assert course.returned
    assert abs(course.onset_s - truth[0]) <= 0.06
    assert abs(course.offset_s - truth[2]) <= 0.06


@pytest.mark.parametrize("fps", RATES)
def test_it_settles_when_it_is_back_and_stays_so(fps: float) -> None:
    times_s = np.arange(round(1.0 * fps)) / fps
    trace = smoothed(3 * raised_cosine(times_s, 0.25, 0.45, 0.70))
    apex = int(trace.argmax())
    settled = [measure_course(times_s[:n], trace[:n], apex).settled for n in range(apex + 1, len(times_s) + 1)]
    first = settled.index(True)
    assert all(settled[first:])
    told_s = times_s[apex + first]
    assert told_s >= 0.70 - 0.25 * 0.2952  # where the falling flank passes 20 %
    assert told_s <= 0.70 + 3 / fps


def test_a_plateau_never_returns() -> None:
    times_s = np.arange(60) / 60
    held = np.where(times_s < 0.45, raised_cosine(times_s, 0.25, 0.45, 0.9), 1.0)
    course = measure_course(times_s, held, 27)
    assert (course.returned, course.settled) == (False, False)
    a_little_back = np.where(times_s < 0.45, held, 0.6 + 0.4 * raised_cosine(times_s, 0.25, 0.45, 0.7))
    assert not measure_course(times_s, a_little_back, 27).returned
    mostly_back = np.where(times_s < 0.45, held, 0.4 + 0.6 * raised_cosine(times_s, 0.25, 0.45, 0.7))
    assert measure_course(times_s, mostly_back, 27).returned


def test_a_single_spike_is_smoothed() -> None:
    """One wild sample of 1.5 does not beat a movement of 1."""
    times_s = np.arange(120) / 120
    trace = raised_cosine(times_s, 0.25, 0.45, 0.7)
    trace[100] = 1.5
    assert times_s[int(smoothed(trace).argmax())] == pytest.approx(0.45, abs=1 / 120)


@pytest.mark.parametrize("count", [1, 2])
def test_hardly_any_samples_are_no_crash(count: int) -> None:
    course = measure_course(np.arange(count) / 30, np.zeros(count), 0)
    assert (course.onset_s, course.rise, course.returned, course.settled) == (0.0, 0.0, False, False)
