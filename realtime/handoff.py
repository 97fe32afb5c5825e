"""Between the threads that read sources and the one that analyses: one lane per source."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

CAPACITY = 8
"""Frames a lane holds."""
_TOGETHER_S = 0.005
"""Recordings' items this near in media time come out in one round."""


@dataclass(frozen=True, slots=True)
class Taken(Generic[T]):
    """What came out of a lane."""

    lane: int
    item: T | None
    """None at the end of the lane."""
    error: BaseException | None
    """At the end: what ended it; None for an ordinary end."""
    dropped: int
    """Items of this lane given up so far, all of them older than this one."""


@dataclass(slots=True)
class _Entry(Generic[T]):
    item: T | None
    order_s: float
    droppable: bool
    error: BaseException | None = None


@dataclass(slots=True)
class _Lane(Generic[T]):
    live: bool
    entries: deque[_Entry[T]] = field(default_factory=deque)
    open: bool = True
    """False once its end was taken, or nobody wants more of it."""
    dropped: int = 0


class Handoff(Generic[T]):
    """Bounded lanes from many threads to one.

    A lane of a recording blocks its writer when it is full: nothing is lost. A live lane gives up its oldest droppable
    item instead, and counts it. Recordings are merged by ``order_s``, whichever thread happens to be first, so that the
    same files give the same order; live lanes come before them, oldest first.

    They come out in rounds, of one item at most from each lane, so that what they bring can be worked on together.

    Args:
        live: for every lane, whether it is live.
        capacity: droppable items a live lane holds, items a recording's lane holds.
    """

    def __init__(self, live: Sequence[bool], capacity: int = CAPACITY) -> None:
        self._lanes: list[_Lane[T]] = [_Lane(is_live) for is_live in live]
        self._capacity = capacity
        self._closed = self._woken = False
        self._changed = threading.Condition()

    def put(self, lane: int, item: T, order_s: float, droppable: bool = True) -> bool:
        """Add an item; false where nobody will take it, and the writer is to end.

        Args:
            lane: whose.
            item: what.
            order_s: capture on the monotonic clock for a live lane, media time for a recording; seconds.
            droppable: false for what must not be lost even in a live lane.
        """
        with self._changed:
            to = self._lanes[lane]
            if to.live:
                if droppable:
                    self._make_room(to)
            else:
                self._changed.wait_for(lambda: self._closed or not to.open or len(to.entries) < self._capacity)
            if self._closed or not to.open:
                return False
            to.entries.append(_Entry(item, order_s, droppable))
            self._changed.notify_all()
            return True

    def finish(self, lane: int, error: BaseException | None = None) -> None:
        """The writer's last word; it is taken after everything that was put."""
        with self._changed:
            self._lanes[lane].entries.append(_Entry(None, float("-inf"), droppable=False, error=error))
            self._changed.notify_all()

    def take(self, timeout_s: float) -> list[Taken[T]]:
        """The next round, in order: every live lane's next item, or those of recordings that belong to one instant.

        Empty after so many seconds without an item, or where somebody called :meth:`wake`.
        """
        until_s = time.monotonic() + timeout_s
        with self._changed:
            while True:
                turn = self._next()
                if turn:
                    return [self._taken(number) for number in turn]
                left_s = until_s - time.monotonic()
                if left_s <= 0 or self._closed or self._woken:
                    self._woken = False
                    return []
                self._changed.wait(left_s)

    def wake(self) -> None:
        """Have :meth:`take` answer now, or the next time it would wait."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def abandon(self, lane: int) -> None:
        """Nothing more is wanted of this lane; its writer is told with its next put."""
        with self._changed:
            self._lanes[lane].open = False
            self._lanes[lane].entries.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Wake everybody; what is in the lanes is forgotten."""
        with self._changed:
            self._closed = True
            for lane in self._lanes:
                lane.entries.clear()
            self._changed.notify_all()

    def _make_room(self, lane: _Lane[T]) -> None:
        while sum(entry.droppable for entry in lane.entries) >= self._capacity:
            del lane.entries[next(i for i, entry in enumerate(lane.entries) if entry.droppable)]
            lane.dropped += 1

    def _next(self) -> list[int]:
        """The lanes whose turn it is, in order; none where somebody has to be waited for."""

        def order(number: int) -> tuple[float, int]:
            return self._lanes[number].entries[0].order_s, number

        live = [i for i, lane in enumerate(self._lanes) if lane.open and lane.live and lane.entries]
        if live:
            return sorted(live, key=order)
        # Which belong to one round depends on their times alone, never on how far their threads have come.
        recorded = [i for i, lane in enumerate(self._lanes) if lane.open and not lane.live]
        if not recorded or not all(self._lanes[i].entries for i in recorded):
            return []
        recorded.sort(key=order)
        until_s = self._lanes[recorded[0]].entries[0].order_s + _TOGETHER_S
        return [i for i in recorded if self._lanes[i].entries[0].order_s <= until_s]

    def _taken(self, number: int) -> Taken[T]:
        lane = self._lanes[number]
        entry = lane.entries.popleft()
        if entry.item is None:
            lane.open = False
        self._changed.notify_all()
        return Taken(number, entry.item, entry.error, lane.dropped)
