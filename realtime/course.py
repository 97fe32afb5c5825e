"""Onset, apex and offset read off a time course of displacements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsfmicro.values import Float64Array

_LOW, _MIDDLE = 0.2, 0.5
"""Fractions of the peak whose crossings place onset and offset."""
_SETTLED, _SETTLED_S = 0.4, 0.1
"""Share of the peak under which another level counts as rest, and how long nothing lower may come."""


@dataclass(frozen=True, slots=True)
class Course:
    """Indices into the samples of a movement."""

    region: int
    onset: int
    apex: int
    offset: int | None
    """None while the movement has not returned."""
    magnitude: float
    """Peak over the resting level, in the unit of the traces."""


def measure_course(times_s: Float64Array, traces: Float64Array) -> Course:
    """Read the course of the region that moved most.

    The trace is smoothed by [1/4 1/2 1/4]. Apex is its maximum. Onset is where the line through its crossings of
    20 % and 50 % of the peak meets the resting level (a movement begins before it reaches 20 %), offset likewise on
    the way back, once the trace is at rest again.

    Args:
        times_s: (N,) media time of the samples, N >= 1.
        traces: (N, R) displacement of each region against the first sample.
    """
    smooth = _smoothed(traces)
    region = int(smooth.max(axis=0).argmax())
    trace = smooth[:, region]
    apex = int(trace.argmax())
    rest = float(np.median(trace[: max(apex // 3, 1)]))
    peak = float(trace[apex]) - rest
    level = trace - rest
    onset_s = _foot(times_s[apex::-1], level[apex::-1], peak)
    onset = 0 if onset_s is None else int(np.abs(times_s - onset_s).argmin())
    offset_s = _return_s(times_s[apex:], level[apex:], peak)
    offset = None if offset_s is None else int(np.abs(times_s - offset_s).argmin())
    return Course(region, min(onset, apex), apex, None if offset is None else max(offset, apex), peak)


def _return_s(times_s: Float64Array, level: Float64Array, peak: float) -> float | None:
    """Time at which the falling flank comes to rest; None while it has not.

    At rest is a trace that stayed under 20 % of the peak for a sample, or one that found another level: its lowest
    point lies under 40 % and nothing lower came for a while. A head that turned meanwhile leaves such a level.
    """
    lowest = int(level.argmin())
    if len(level) > 2 and max(level[-2:]) < _LOW * peak:
        foot_s = _foot(times_s, level, peak)
    elif level[lowest] < _SETTLED * peak and times_s[-1] - times_s[lowest] >= _SETTLED_S - 1e-9:
        foot_s = _foot(times_s, level - level[lowest], peak - float(level[lowest]))
    else:
        return None
    return foot_s if foot_s is not None and foot_s <= times_s[-1] else None


def _smoothed(traces: Float64Array) -> Float64Array:
    padded = np.concatenate([traces[:1], traces, traces[-1:]])
    result: Float64Array = padded[:-2] / 4 + padded[1:-1] / 2 + padded[2:] / 4
    return result


def _foot(times_s: Float64Array, level: Float64Array, peak: float) -> float | None:
    """Time at which a flank that starts at the peak meets the ground; None if it never falls to 20 %.

    ``times_s`` may run backwards: then it is the rising flank, read from the apex towards the past.
    """
    low = _crossing(times_s, level, _LOW * peak)
    middle = _crossing(times_s, level, _MIDDLE * peak)
    if low is None or middle is None:
        return None
    return low + (low - middle) * _LOW / (_MIDDLE - _LOW)


def _crossing(times_s: Float64Array, level: Float64Array, height: float) -> float | None:
    below = np.flatnonzero(level < height)
    if not below.size:
        return None
    i = int(below[0])
    if i == 0:
        return float(times_s[0])
    share = (level[i - 1] - height) / max(level[i - 1] - level[i], 1e-9)
    return float(times_s[i - 1] + share * (times_s[i] - times_s[i - 1]))
