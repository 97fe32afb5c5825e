"""What the frames of a clip show of one movement: how far it has got, and how far the head has turned meanwhile."""

from __future__ import annotations

import math

import numpy as np

from tsfmicro.synthetic.pairs import Stage
from tsfmicro.synthetic.timecourse import TimeCourse, random_course

_EARLY, _LATE = (-0.15, 0.1), (-0.1, 0.15)
"""By how much a window may begin and end after the movement does, shares of its duration."""
_ROUNDING = 1e-6
"""Frames: a movement that ends on a frame ends there, whatever its times were rounded to."""


def random_window(frames: int, rng: np.random.Generator) -> tuple[Stage, ...]:
    """A window as a spotter cuts it: ``frames`` instants spread evenly from about the onset to about the offset."""
    course = random_course(rng, 1.0)
    duration_s = course.offset_s - course.onset_s
    begin_s = course.onset_s + duration_s * rng.uniform(*_EARLY)
    end_s = course.offset_s + duration_s * rng.uniform(*_LATE)
    return _spread(course, begin_s, end_s, frames)


def true_window(frames: int, rng: np.random.Generator) -> tuple[Stage, ...]:
    """A window of a movement whose key frames are known: ``frames`` instants spread evenly from onset to offset."""
    course = random_course(rng, 1.0)
    return _spread(course, course.onset_s, course.offset_s, frames)


def _spread(course: TimeCourse, begin_s: float, end_s: float, frames: int) -> tuple[Stage, ...]:
    return tuple(stage_at(course, float(t_s), begin_s) for t_s in np.linspace(begin_s, end_s, frames))


def recorded(course: TimeCourse, fps: float) -> tuple[tuple[Stage, ...], int]:
    """Every frame of a movement as a camera sees it, one of them exactly at the apex, and the place of that one.

    From the last frame in which nothing moves yet to the first in which nothing moves any more.
    """
    before = math.ceil((course.apex_s - course.onset_s) * fps - _ROUNDING)
    after = math.ceil((course.offset_s - course.apex_s) * fps - _ROUNDING)
    times = [course.apex_s + step / fps for step in range(-before, after + 1)]
    return tuple(stage_at(course, t_s, times[0]) for t_s in times), before


def stage_at(course: TimeCourse, t_s: float, begin_s: float) -> Stage:
    """The movement at one time; the head has turned as far by the apex as in a pair, and goes on turning."""
    return Stage(course.contraction(t_s), (t_s - begin_s) / (course.apex_s - begin_s))
