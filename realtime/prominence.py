"""A matched filter for "there and back": how far a place stands out over the line between before and after."""

from __future__ import annotations

import numpy as np

from tsfmicro.values import Float64Array

_BEFORE_S = (0.12, 0.18, 0.26)
"""Where the onset may be: the onset phases of micro-expressions."""


def prominences(times_s: Float64Array, places: Float64Array, apex: int) -> Float64Array | None:
    """(R, 2) how far every region stood out at a sample, over the best of several onsets.

    Args:
        times_s: (N,) media time, to the present.
        places: (N, R, 2).
        apex: index of the sample; what comes after it is all that is known of the way back.

    Returns:
        None where the past does not reach back far enough.
    """
    apex_s, now_s = float(times_s[apex]), float(times_s[-1])
    if apex_s - _BEFORE_S[0] < times_s[0] - 1e-6:
        return None
    best: Float64Array | None = None
    for before_s in _BEFORE_S:
        share = before_s / max(before_s + now_s - apex_s, 1e-9)
        line = (1 - share) * places_at(times_s, places, apex_s - before_s) + share * places[-1]
        out = places[apex] - line
        if best is None:
            best = out
        else:
            larger = np.hypot(out[:, 0], out[:, 1]) > np.hypot(best[:, 0], best[:, 1])
            best = np.where(larger[:, None], out, best)
    return best


def places_at(times_s: Float64Array, places: Float64Array, t_s: float) -> Float64Array:
    """(R, 2) places at any time, linear between samples, constant beyond them."""
    after = int(np.searchsorted(times_s, t_s))
    if after == 0:
        after = 1
    after = min(after, len(times_s) - 1)
    step_s = float(times_s[after] - times_s[after - 1])
    share = min(max((t_s - float(times_s[after - 1])) / step_s, 0.0), 1.0)
    result: Float64Array = (1 - share) * places[after - 1] + share * places[after]
    return result
