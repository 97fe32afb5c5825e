"""Movements of live sources are named in a thread of their own, while the next frames are analysed.

A network takes as long as several frames. A recording waits for it, so that the same file gives the same lines in the
same order; a camera waits for nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from tsfmicro.background import background_thread
from tsfmicro.realtime.analyzer import Finding, Unnamed
from tsfmicro.realtime.events import Event, Stats
from tsfmicro.realtime.naming import name
from tsfmicro.realtime.pipeline import Observation
from tsfmicro.realtime.recognise import Namer


@dataclass(frozen=True, slots=True, eq=False)
class Parted:
    """The findings of one frame by when they can be told."""

    now: tuple[Event, ...]
    later: tuple[Finding, ...]
    """From the first that is to be named on, in order: an identity is not lost before its last event."""


def part(findings: Sequence[Finding]) -> Parted:
    """What can be told at once, and what must wait for a name. Counts never wait: they belong to their frame."""
    now: list[Event] = []
    later: list[Finding] = []
    for found in findings:
        if isinstance(found, Stats) or not (later or isinstance(found, Unnamed)):
            now.append(found)
        else:
            later.append(found)
    return Parted(tuple(now), tuple(later))


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """What was asked about one frame, answered."""

    source: int
    observed: Observation
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    frames: tuple[tuple[int, Observation], ...]
    answer: Future[list[tuple[Event, ...]]]


class NamingThread:
    """Asks the recogniser, one call after the other, and keeps the order.

    Args:
        recogniser: may be asked in other threads as well; runners allow that.
        ready: called in the thread whenever there is an answer.
    """

    def __init__(self, recogniser: Namer, ready: Callable[[], None]) -> None:
        self._recogniser = recogniser
        self._ready = ready
        self._thread = background_thread("naming")
        self._asked: deque[_Asked] = deque()

    def ask(self, frames: Sequence[tuple[int, Observation]], findings: Sequence[Sequence[Finding]]) -> None:
        """Have the findings of several sources' frames named in one call.

        Args:
            frames: number of the source, and what was observed.
            findings: of each of them, what is to be told with the names.
        """
        answer = self._thread.submit(name, findings, self._recogniser)
        self._asked.append(_Asked(tuple(frames), answer))
        answer.add_done_callback(lambda _: self._ready())

    def answered(self) -> Iterator[Named]:
        """What was named since the last look, in the order in which it was asked. Raises what the recogniser raised."""
        while self._asked and self._asked[0].answer.done():
            yield from self._next()

    def drain(self) -> Iterator[Named]:
        """All that was asked; waits for the answers."""
        while self._asked:
            yield from self._next()

    def close(self) -> None:
        """End the thread. What was asked and not fetched is given up."""
        self._asked.clear()
        self._thread.shutdown(cancel_futures=True)

    def _next(self) -> Iterator[Named]:
        asked = self._asked.popleft()
        for (source, observed), events in zip(asked.frames, asked.answer.result(), strict=True):
            yield Named(source, observed, events)
