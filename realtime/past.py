"""Values of the last seconds, side by side in memory: no frame has to put them together again."""

from __future__ import annotations

import numpy as np

from tsfmicro.values import Float64Array

_FIRST_ROOM = 64


class Past:
    """Values and their times, added at the end and forgotten at the beginning.

    Args:
        shape: of one value.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._times_s: Float64Array = np.empty(_FIRST_ROOM)
        self._values: Float64Array = np.empty((_FIRST_ROOM, *shape))
        self._start = self._end = 0

    def __len__(self) -> int:
        return self._end - self._start

    @property
    def times_s(self) -> Float64Array:
        """(N,) ascending; a view that no later call changes."""
        return self._times_s[self._start : self._end]

    @property
    def values(self) -> Float64Array:
        """(N, *shape); a view that no later call changes."""
        return self._values[self._start : self._end]

    def add(self, t_s: float, value: Float64Array) -> None:
        """Remember a value; times must grow."""
        if self._end == len(self._times_s):
            self._move()
        self._times_s[self._end] = t_s
        self._values[self._end] = value
        self._end += 1

    def forget_first(self, count: int = 1) -> None:
        """Forget the oldest values."""
        self._start += count

    def _move(self) -> None:
        """Into new arrays with as much room again: the old ones may still be looked at."""
        kept = len(self)
        room = max(2 * kept, _FIRST_ROOM)
        times_s, values = np.empty(room), np.empty((room, *self._values.shape[1:]))
        times_s[:kept], values[:kept] = self.times_s, self.values
        self._times_s, self._values, self._start, self._end = times_s, values, 0, kept
