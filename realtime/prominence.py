"""A matched filter for "there and back": how far a place stands out over the line between before and after."""

from __future__ import annotations

import numpy as np

from tsfmicro.values import Float64Array

_BEFORE_S = np.array([0.12, 0.18, 0.26])
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
    share = (_BEFORE_S / np.maximum(_BEFORE_S + now_s - apex_s, 1e-9))[:, None, None]
    line = (1 - share) * _places_at_each(times_s, places, apex_s - _BEFORE_S) + share * places[-1]
    out = places[apex] - line
    best = np.hypot(out[..., 0], out[..., 1]).argmax(axis=0)  # (R,); the latest onset where they are equal
    return np.asarray(out[best, np.arange(out.shape[1])], dtype=np.float64)


def places_at(times_s: Float64Array, places: Float64Array, t_s: float) -> Float64Array:
    """(R, 2) places at any time, linear between samples, constant beyond them."""
    after = int(times_s.searchsorted(t_s))
    if after == 0:
        after = 1
    after = min(after, len(times_s) - 1)
    step_s = float(times_s[after] - times_s[after - 1])
    share = min(max((t_s - float(times_s[after - 1])) / step_s, 0.0), 1.0)
    result: Float64Array = (1 - share) * places[after - 1] + share * places[after]
    return result


def _places_at_each(times_s: Float64Array, places: Float64Array, at_s: Float64Array) -> Float64Array:
    """(B, R, 2) places at several times: :func:`places_at` for all of them at once."""
    after = np.minimum(np.maximum(times_s.searchsorted(at_s), 1), len(times_s) - 1)
    before_s = times_s[after - 1]
    share = np.minimum(np.maximum((at_s - before_s) / (times_s[after] - before_s), 0.0), 1.0)[:, None, None]
    result: Float64Array = (1 - share) * places[after - 1] + share * places[after]
    return result
