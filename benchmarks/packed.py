"""Numbers of a long run in room that is taken beforehand: a benchmark of memory must not be what grows."""

from __future__ import annotations

import numpy as np

from tsfmicro.values import Float64Array


class Packed:
    """A list of numbers, eight bytes each.

    Args:
        room: numbers for which memory is taken, and touched, at once; more than that take as much again.
    """

    def __init__(self, room: int) -> None:
        self._room: Float64Array = np.full(max(room, 1), np.nan)
        self._count = 0

    @property
    def values(self) -> list[float]:
        """What was added so far."""
        return [float(value) for value in self._room[: self._count]]

    def append(self, value: float) -> None:
        """Add a number."""
        if self._count == len(self._room):
            self._room = np.concatenate([self._room, np.full(len(self._room), np.nan)])
        self._room[self._count] = value
        self._count += 1

    def __len__(self) -> int:
        return self._count
