"""Onset, apex and offset read off the course of one region along the direction it moved in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsfmicro.values import Float64Array

_LOW, _MIDDLE = 0.2, 0.5
"""Fractions of the peak whose crossings place onset and offset."""
_LOW_S = 1 / 55
"""How long, and for two samples, a trace must stay under 20 % of its rise to be back."""
_SETTLED_S = 0.1
"""A falling flank has found its foot once nothing lower came for this long."""
_PAST_KNEE_S = 0.12
_BACK = 0.5
"""Share of its rise by which a movement must fall again to have returned."""


@dataclass(frozen=True, slots=True)
class Course:
    """One rise and fall."""

    onset_s: float
    offset_s: float
    """Of the lowest point so far while the movement has not returned."""
    rise: float
    """Apex over the lowest point before it, in the unit of the trace."""
    fall: float
    """Apex over the lowest point after it."""
    returned: bool
    settled: bool
    """Whether waiting longer would change nothing."""


def smoothed(trace: Float64Array) -> Float64Array:
    """The (N, ...) trace smoothed by [1/4 1/2 1/4] along its first axis."""
    quarter, result = trace / 4, trace / 2
    result[1:] += quarter[:-1]
    result[0] += quarter[0]
    result[:-1] += quarter[1:]
    result[-1] += quarter[-1]
    return result


def measure_course(times_s: Float64Array, trace: Float64Array, apex: int) -> Course:
    """Read the flanks on both sides of an apex.

    Each flank stands on its own ground, the lowest point of its side, because a head that turns meanwhile tilts the
    trace. Onset is where the line through the crossings of 20 % and 50 % of the flank meets that ground (a movement
    begins before it reaches 20 %), offset likewise on the way back.

    Args:
        times_s: (N,) media time.
        trace: (N,) smoothed; positive towards the apex.
        apex: index of the peak.
    """
    before_s, after_s = _flank(times_s[apex::-1], trace[apex::-1]), _flank(times_s[apex:], trace[apex:])
    before, after = trace[apex::-1][: len(before_s)], trace[apex:][: len(after_s)]
    lowest = int(after.argmin())
    rise, fall = float(before[0] - before.min()), float(after[0] - after[lowest])
    foot_s = _foot(after_s, after - after[lowest], fall)
    last = max(int((times_s > times_s[-1] - _LOW_S).sum()), 2)
    low = rise > 0 and len(trace) - apex > last and bool(max(trace[-last:] - before.min()) < _LOW * rise)
    waited = bool(times_s[-1] - times_s[apex + lowest] >= _SETTLED_S - 1e-9)
    returned = fall >= _BACK * rise and fall > 0
    return Course(
        onset_s=_foot(before_s, before - before.min(), rise),
        offset_s=foot_s,
        rise=rise,
        fall=fall,
        returned=returned,
        settled=returned and (low or waited),
    )


def _flank(times_s: Float64Array, level: Float64Array) -> Float64Array:
    """Times of a flank from the apex outwards, to a little past its knee: the point farthest below the chord.

    Beyond the knee a trace is at rest or drifts; a drift would put the lowest point, and the foot, far out.
    """
    span_s = times_s[-1] - times_s[0]
    if len(level) < 3 or span_s == 0:
        return times_s
    chord = level[0] + (level[-1] - level[0]) * (times_s - times_s[0]) / span_s
    knee_s = times_s[int((chord - level).argmax())]
    kept: Float64Array = times_s[np.abs(times_s - times_s[0]) <= abs(knee_s - times_s[0]) + _PAST_KNEE_S + 1e-9]
    return kept if len(kept) > 2 else times_s


def _foot(times_s: Float64Array, level: Float64Array, peak: float) -> float:
    """Time at which a flank that starts at the peak meets the ground.

    ``times_s`` may run backwards: then it is the rising flank, read from the apex towards the past.
    """
    low = _crossing(times_s, level, _LOW * peak)
    middle = _crossing(times_s, level, _MIDDLE * peak)
    foot = low + (low - middle) * _LOW / (_MIDDLE - _LOW)
    first, last = sorted((float(times_s[0]), float(times_s[-1])))
    return min(max(foot, first), last)


def _crossing(times_s: Float64Array, level: Float64Array, height: float) -> float:
    """First time the level is at or below the height; there is one, since it comes down to 0."""
    i = int(np.flatnonzero(level <= height)[0])
    if i == 0:
        return float(times_s[0])
    share = (level[i - 1] - height) / max(level[i - 1] - level[i], 1e-9)
    return float(times_s[i - 1] + share * (times_s[i] - times_s[i - 1]))
