"""What a movement looked like, and how the regions of a face usually move together."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from tsfmicro.motion import REGIONS
from tsfmicro.values import Float64Array

_USUAL_S = 2.0
"""How far before an apex the prominences reach that say how regions usually move together."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What a movement looked like, for whoever judges how likely it is a micro-expression."""

    moves: Float64Array
    """(R, 2) place of every region at the apex against the line from onset to offset, percent of the inter-ocular
    distance."""
    spread: Float64Array
    """(R,) how much the prominence of each region usually varies."""
    together: Float64Array
    """(2R, 2R) mean outer product of the prominences before the movement: how regions usually move together."""
    rise: float
    """Percent of the inter-ocular distance."""
    fall: float
    before: float
    """Unrest of the strongest region along its direction before the onset, share of the rise."""
    after: float
    """Likewise after the offset."""


class UsualMoves:
    """The prominences of the past seconds.

    Args:
        lookback_s: how far in the past an apex may lie that is asked for.
    """

    def __init__(self, lookback_s: float) -> None:
        self._kept_s = lookback_s + _USUAL_S
        self._past: deque[tuple[float, Float64Array]] = deque()

    def add(self, t_s: float, stood_out: Float64Array) -> None:
        """Remember (R, 2) prominences."""
        self._past.append((t_s, stood_out.ravel()))
        while self._past[0][0] < t_s - self._kept_s:
            self._past.popleft()

    def together(self, onset_s: float, apex_s: float) -> Float64Array:
        """(2R, 2R) mean outer product of the prominences before a movement; zeros where there are none."""
        rows = [row for t_s, row in self._past if apex_s - _USUAL_S <= t_s < onset_s]
        past = np.stack(rows) if rows else np.zeros((1, 2 * len(REGIONS)))
        result: Float64Array = past.T @ past / len(past)
        return result


def unrest(trace: Float64Array, rise: float) -> float:
    """Range of a trace, share of the rise."""
    return float(np.ptp(trace)) / max(rise, 1e-9) if trace.size else 0.0
