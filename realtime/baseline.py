"""What a face does when nothing happens: a running robust baseline per region."""

from __future__ import annotations

import numpy as np

from tsfmicro.realtime.past import Past
from tsfmicro.values import Float64Array

_MAD_TO_SIGMA = 1.4826
_MIN_SAMPLES = 4
_REFRESH_S = 0.1
"""How often the medians are taken anew. They change over seconds; sorting seconds of values in every frame does not
pay."""


class RobustBaseline:
    """Median and median absolute deviation over the past seconds. Short events hardly move either."""

    def __init__(self, channels: int, memory_s: float) -> None:
        self._channels = channels
        self._memory_s = memory_s
        self._past = Past((channels,))
        self._taken_s: float | None = None
        self._median = np.zeros(channels)
        self._spread = np.zeros(channels)

    def add(self, t_s: float, values: Float64Array) -> None:
        """Remember (channels,) values."""
        self._past.add(t_s, values)
        self._past.forget_first(int(self._past.times_s.searchsorted(t_s - self._memory_s)))
        if len(self._past) <= _MIN_SAMPLES or self._taken_s is None or t_s - self._taken_s >= _REFRESH_S - 1e-9:
            self._take(t_s)

    @property
    def spread(self) -> Float64Array:
        """(channels,) 1.48 times the median absolute deviation; 0 before there is a baseline."""
        return self._spread

    def scores(self, values: Float64Array, floor: float) -> Float64Array:
        """(channels,) robust z-scores: (value - median) / (1.48 MAD + floor); 0 before there is a baseline."""
        if len(self._past) < _MIN_SAMPLES:
            return np.zeros(self._channels)
        result: Float64Array = (values - self._median) / (self._spread + floor)
        return result

    def _take(self, t_s: float) -> None:
        past = self._past.values.T.copy()
        self._median = _medians(past)
        self._spread = _MAD_TO_SIGMA * _medians(np.abs(past - self._median[:, None]))
        self._taken_s = t_s


def _medians(rows: Float64Array) -> Float64Array:
    """(channels,) median of each of (channels, N) finite numbers, which are sorted in place.

    numpy.median takes several times as long for so few.
    """
    rows.sort(axis=1)
    count = rows.shape[1]
    return np.asarray((rows[:, (count - 1) // 2] + rows[:, count // 2]) / 2)
