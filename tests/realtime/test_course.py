"""Onset, apex and offset of traces whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsfmicro.realtime.course import Course, measure_course
from tsfmicro.values import Float64Array

RATES = [25.0, 30.0, 60.0, 200.0]


def raised_cosine(times_s: Float64Array, onset_s: float, apex_s: float, offset_s: float) -> Float64Array:
    rising = np.clip((times_s - onset_s) / (apex_s - onset_s), 0, 1)
    falling = np.clip((offset_s - times_s) / (offset_s - apex_s), 0, 1)
    result: Float64Array = 0.5 - 0.5 * np.cos(np.pi * np.minimum(rising, falling))
    return result


def traces_of(trace: Float64Array, regions: int = 3, region: int = 1) -> Float64Array:
    traces = np.zeros((len(trace), regions))
    traces[:, region] = trace
    return traces


def check(course: Course, times_s: Float64Array, truth: tuple[float, float, float]) -> None:
    """Apex at the nearest frame or the one beside; the feet within 20 % of their flank, and half a frame."""
    onset_s, apex_s, offset_s = truth
    step_s = float(np.diff(times_s).max())
    assert course.offset is not None
    assert course.onset < course.apex < course.offset
    assert abs(times_s[course.apex] - apex_s) <= 1.5 * step_s + 1e-9
    assert abs(times_s[course.onset] - onset_s) <= 0.2 * (apex_s - onset_s) + step_s / 2 + 1e-9
    assert abs(times_s[course.offset] - offset_s) <= 0.2 * (offset_s - apex_s) + step_s / 2 + 1e-9


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
    check(measure_course(times_s, traces_of(amplitude * raised_cosine(times_s, *truth))), times_s, truth)


@pytest.mark.parametrize("fps", RATES)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_jittered_sampling(fps: float, seed: int) -> None:
    truth = (0.25, 0.45, 0.70)
    rng = np.random.default_rng(seed)
    times_s = 11.0 + np.sort(np.arange(round(fps)) / fps + rng.uniform(-0.3, 0.3, round(fps)) / fps)
    shifted = (truth[0] + 11.0, truth[1] + 11.0, truth[2] + 11.0)
    check(measure_course(times_s, traces_of(3 * raised_cosine(times_s, *shifted))), times_s, shifted)


@pytest.mark.parametrize("fps", RATES)
def test_the_offset_is_unknown_until_it_is_back(fps: float) -> None:
    truth = (0.25, 0.45, 0.70)
    times_s = np.arange(round(1.0 * fps)) / fps
    traces = traces_of(3 * raised_cosine(times_s, *truth))
    known = [measure_course(times_s[:n], traces[:n]).offset is not None for n in range(1, len(times_s) + 1)]
    first = known.index(True)
    assert all(known[first:])
    low_s = 0.70 - 0.25 * 0.2952  # where the falling flank passes 20 %
    foot_s = 0.70 - 0.25 * 0.158  # where the line through 50 % and 20 % meets the ground
    assert times_s[first] >= low_s
    assert times_s[first] <= foot_s + 3 / fps


def test_a_plateau_never_returns() -> None:
    times_s = np.arange(60) / 60
    held = np.where(times_s < 0.45, raised_cosine(times_s, 0.25, 0.45, 0.9), 1.0)
    course = measure_course(times_s, traces_of(held))
    assert course.offset is None
    half_back = np.where(times_s < 0.45, held, 0.5 + 0.5 * raised_cosine(times_s, 0.25, 0.45, 0.7))
    assert measure_course(times_s, traces_of(half_back)).offset is None


@pytest.mark.parametrize("strongest", range(4))
def test_the_strongest_region_is_read(strongest: int) -> None:
    times_s = np.arange(60) / 60
    peaks_s = [0.30, 0.40, 0.50, 0.60]
    traces = np.stack([raised_cosine(times_s, p - 0.2, p, p + 0.25) for p in peaks_s], axis=1)
    traces *= np.where(np.arange(4) == strongest, 3.0, 2.0)
    course = measure_course(times_s, traces)
    assert course.region == strongest
    assert times_s[course.apex] == pytest.approx(peaks_s[strongest], abs=1 / 60)
    assert course.magnitude == pytest.approx(3.0, rel=0.05)


def test_magnitude_is_taken_over_the_resting_level() -> None:
    times_s = np.arange(120) / 120
    trace = 0.4 + 2.0 * raised_cosine(times_s, 0.35, 0.55, 0.8)
    course = measure_course(times_s, traces_of(trace))
    assert course.magnitude == pytest.approx(2.0, rel=0.02)
    check(course, times_s, (0.35, 0.55, 0.8))


def test_a_single_spike_is_smoothed() -> None:
    """One wild sample of 1.5 does not beat a movement of 1."""
    times_s = np.arange(120) / 120
    trace = raised_cosine(times_s, 0.25, 0.45, 0.7)
    trace[100] = 1.5
    assert times_s[measure_course(times_s, traces_of(trace)).apex] == pytest.approx(0.45, abs=1 / 120)


@pytest.mark.parametrize("count", [1, 2])
def test_hardly_any_samples_are_no_crash(count: int) -> None:
    course = measure_course(np.arange(count) / 30, np.zeros((count, 3)))
    assert (course.onset, course.offset, course.magnitude) == (0, None, 0)
