"""What a face does when nothing happens: a running robust baseline per region."""

from __future__ import annotations

from collections import deque

import numpy as np

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
        self._values: deque[tuple[float, Float64Array]] = deque()
        self._taken_s: float | None = None
        self._median = np.zeros(channels)
        self._spread = np.zeros(channels)

    def add(self, t_s: float, values: Float64Array) -> None:
        """Remember (channels,) values."""
        self._values.append((t_s, values))
        while self._values[0][0] < t_s - self._memory_s:
            self._values.popleft()
        if len(self._values) <= _MIN_SAMPLES or self._taken_s is None or t_s - self._taken_s >= _REFRESH_S - 1e-9:
            self._take(t_s)

    @property
    def spread(self) -> Float64Array:
        """(channels,) 1.48 times the median absolute deviation; 0 before there is a baseline."""
        return self._spread

    def scores(self, values: Float64Array, floor: float) -> Float64Array:
        """(channels,) robust z-scores: (value - median) / (1.48 MAD + floor); 0 before there is a baseline."""
        if len(self._values) < _MIN_SAMPLES:
            return np.zeros(self._channels)
        result: Float64Array = (values - self._median) / (self._spread + floor)
        return result

    def _take(self, t_s: float) -> None:
        past = np.stack([values for _, values in self._values])
        self._median = np.median(past, axis=0)
        self._spread = _MAD_TO_SIGMA * np.median(np.abs(past - self._median), axis=0)
        self._taken_s = t_s
