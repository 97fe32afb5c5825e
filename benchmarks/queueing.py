"""A discrete-event model of a session's threads, for what this machine is too small to show.

What it models, after ``realtime/readers.py`` and ``realtime/handoff.py``: every source has a thread that decodes one
frame after the other into a lane of its own, which gives up its oldest frame when it is full; one thread analyses, in
rounds of one frame at most from each lane, oldest first; one names movements, in the order in which they ended. Threads
that have work share the cores evenly (processor sharing), and none uses more than one. What it leaves out: the
interpreter's lock, caches, and everything else that runs on the machine.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsfmicro.errors import ContractError
from tsfmicro.realtime.handoff import CAPACITY
from tsfmicro.values import Float64Array

_ANALYSER, _NAMER = -1, -2
_HEAD_START_S = 1.0
"""Before zero, in which what may be decoded ahead of time is."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """The frames of one source."""

    due_s: Float64Array
    """(N,) when each is due, growing."""
    decode_s: Float64Array
    """(N,) seconds that decoding it takes a core."""
    analysis_s: Float64Array
    """(N,) seconds that analysing it takes a core."""
    lead_s: float = 0.0
    """How long before it is due a frame can be decoded: 0 for a camera, infinite for a recording that is only paced."""
    naming_s: Float64Array | None = None
    """(N,) seconds that naming what the frame brought to an end takes a core; None where nothing is named."""

    def __post_init__(self) -> None:
        arrays = [self.due_s, self.decode_s, self.analysis_s, *([] if self.naming_s is None else [self.naming_s])]
        if self.due_s.ndim != 1 or len({array.shape for array in arrays}) != 1:
            raise ContractError(f"Arrivals has arrays of {[a.shape for a in arrays]}; expected rows of the same length")


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """What became of the frames."""

    due_s: Float64Array
    """(M,) when each analysed frame was due, in the order in which they were done."""
    latency_s: Float64Array
    """(M,) from then to the end of its analysis, or to the name of what it brought to an end."""
    captured: int
    dropped: int


def simulate(sources: Sequence[Arrivals], cores: float, capacity: int = CAPACITY) -> Served:
    """Run the model until every frame is analysed or dropped.

    Args:
        sources: all of one process.
        cores: that the process has to itself.
        capacity: frames a lane holds.
    """
    return _Run(sources, cores, capacity).to_the_end()


class _Run:
    def __init__(self, sources: Sequence[Arrivals], cores: float, capacity: int) -> None:
        self._sources, self._cores, self._capacity = sources, cores, capacity
        self._now_s = -_HEAD_START_S
        self._left_s: dict[int, float] = {}
        """Work left of every thread that has some: the number of a source, the analyser, or the namer."""
        self._timers: list[tuple[float, int, bool]] = []
        """(when, source, whether its frame is to be put then; else it is to be decoded)."""
        self._frame = [0] * len(sources)
        """Of every source, the frame its thread is at."""
        self._lanes: dict[int, deque[int]] = {}
        """Of every source with frames in it; they are kept sparse, since most are empty most of the time."""
        self._turn: deque[tuple[float, int, int]] = deque()
        """What is left of the analyser's round, first what it is at: (due, source, frame)."""
        self._unnamed: deque[tuple[float, float]] = deque()
        """What the namer has before it, first what it is at: (due, work)."""
        self._done: list[tuple[float, float]] = []
        self._dropped = 0

    def to_the_end(self) -> Served:
        for number in range(len(self._sources)):
            self._read(number)
        while self._left_s or self._timers:
            self._advance()
        due_s, latency_s = np.array(self._done, dtype=np.float64).reshape(-1, 2).T
        return Served(due_s, latency_s, sum(len(source.due_s) for source in self._sources), self._dropped)

    def _advance(self) -> None:
        """To the next thing that happens: a timer, or the end of some thread's work."""
        pace = min(1.0, self._cores / len(self._left_s)) if self._left_s else 1.0
        thread = min(self._left_s, key=self._left_s.__getitem__, default=None)
        ends_s = float("inf") if thread is None else self._now_s + self._left_s[thread] / pace
        is_timer = bool(self._timers) and self._timers[0][0] <= ends_s
        until_s = self._timers[0][0] if is_timer else ends_s
        for other in self._left_s:
            self._left_s[other] -= (until_s - self._now_s) * pace
        self._now_s = until_s
        if is_timer:
            _, number, ready = heapq.heappop(self._timers)
            if ready:
                self._put(number)
            else:
                self._left_s[number] = float(self._sources[number].decode_s[self._frame[number]])
        elif thread is not None:
            del self._left_s[thread]
            if thread == _ANALYSER:
                self._decide(*self._turn.popleft())
                self._take()
            elif thread == _NAMER:
                due_s, _ = self._unnamed.popleft()
                self._done.append((due_s, self._now_s - due_s))
                self._name()
            else:
                due_s = float(self._sources[thread].due_s[self._frame[thread]])
                heapq.heappush(self._timers, (max(self._now_s, due_s), thread, True))

    def _read(self, number: int) -> None:
        """The thread of a source turns to its next frame."""
        source, frame = self._sources[number], self._frame[number]
        if frame < len(source.due_s):
            begins_s = max(self._now_s, float(source.due_s[frame]) - source.lead_s)
            heapq.heappush(self._timers, (begins_s, number, False))

    def _put(self, number: int) -> None:
        lane = self._lanes.setdefault(number, deque())
        if len(lane) >= self._capacity:
            lane.popleft()
            self._dropped += 1
        lane.append(self._frame[number])
        self._frame[number] += 1
        self._read(number)
        if not self._turn:
            self._take()

    def _decide(self, due_s: float, number: int, frame: int) -> None:
        """A frame is analysed: it is done with, or waits for a name."""
        naming_s = self._sources[number].naming_s
        if naming_s is None or not naming_s[frame]:
            self._done.append((due_s, self._now_s - due_s))
            return
        self._unnamed.append((due_s, float(naming_s[frame])))
        if _NAMER not in self._left_s:
            self._name()

    def _name(self) -> None:
        """The namer goes on to what waits longest."""
        if self._unnamed:
            self._left_s[_NAMER] = self._unnamed[0][1]

    def _take(self) -> None:
        """The analyser goes on: with its round, or with the next one."""
        if not self._turn:
            heads = [(float(self._sources[i].due_s[lane[0]]), i, lane.popleft()) for i, lane in self._lanes.items()]
            self._lanes = {number: lane for number, lane in self._lanes.items() if lane}
            self._turn.extend(sorted(heads))
        if self._turn:
            _, number, frame = self._turn[0]
            self._left_s[_ANALYSER] = float(self._sources[number].analysis_s[frame])
