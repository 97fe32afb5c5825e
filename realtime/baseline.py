"""What a face does when nothing happens: a running robust baseline per region."""

from __future__ import annotations

from collections import deque

import numpy as np

from tsfmicro.values import Float64Array

_MAD_TO_SIGMA = 1.4826
_MIN_SAMPLES = 4


class RobustBaseline:
    """Median and median absolute deviation over the past seconds. Short events hardly move either."""

    def __init__(self, channels: int, memory_s: float) -> None:
        self._channels = channels
        self._memory_s = memory_s
        self._values: deque[tuple[float, Float64Array]] = deque()

    def add(self, t_s: float, values: Float64Array) -> None:
        """Remember (channels,) values."""
        self._values.append((t_s, values))
        while self._values[0][0] < t_s - self._memory_s:
            self._values.popleft()

    def scores(self, values: Float64Array, floor: float) -> Float64Array:
        """(channels,) robust z-scores: (value - median) / (1.48 MAD + floor); 0 before there is a baseline."""
        if len(self._values) < _MIN_SAMPLES:
            return np.zeros(self._channels)
        past = np.stack([v for _, v in self._values])
        median = np.median(past, axis=0)
        spread = _MAD_TO_SIGMA * np.median(np.abs(past - median), axis=0)
        result: Float64Array = (values - median) / (spread + floor)
        return result
