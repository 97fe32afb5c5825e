"""The threads that read: one for each source, into its lane of the hand-off."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from tsfmicro.realtime.handoff import CAPACITY, Handoff, Taken
from tsfmicro.realtime.intake import Intake
from tsfmicro.realtime.ledger import Ledger
from tsfmicro.realtime.recording.replay import ReplaySource
from tsfmicro.realtime.sources.base import Source
from tsfmicro.realtime.sources.reconnect import Item, ReconnectingSource
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.values import Frame

_LOG = logging.getLogger(__name__)
_PATIENCE_S = 15.0
"""How long to wait for the threads to end; a read that nobody answers takes a few seconds to give up."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An item and the books of its source as they stood with it.

    They travel together, so that what is reported never depends on how far a reader is ahead.
    """

    item: Item | None
    """None before the end: the books are closed."""
    ledger: Ledger


class Readers:
    """Reads several sources at once.

    Args:
        sources: open already; closed by their owner, after :meth:`close`.
        clock: times the decoding of recordings (``decode``) and the wait for live frames (``receive``).
    """

    def __init__(self, sources: Sequence[Source], clock: StageClock, capacity: int = CAPACITY) -> None:
        self._sources = tuple(sources)
        self._clock = clock
        self._handoff: Handoff[Delivery] = Handoff([source.live for source in sources], capacity)
        # Daemons, so that one whom nobody answers cannot keep the process.
        self._threads = [
            threading.Thread(target=self._read, args=(lane, source), name=f"read-{lane}", daemon=True)
            for lane, source in enumerate(self._sources)
        ]

    def start(self) -> None:
        """Begin to read."""
        for thread in self._threads:
            thread.start()

    def take(self, timeout_s: float) -> list[Taken[Delivery]]:
        """See ``Handoff.take``."""
        return self._handoff.take(timeout_s)

    def wake(self) -> None:
        """See ``Handoff.wake``."""
        self._handoff.wake()

    def abandon(self, lane: int) -> None:
        """Read no more of a source."""
        self._handoff.abandon(lane)
        self._stop(self._sources[lane])

    def stop(self) -> None:
        """Tell every thread to end; does not wait."""
        self._handoff.close()
        for source in self._sources:
            self._stop(source)

    def close(self) -> None:
        """Stop, and wait for the threads."""
        self.stop()
        until_s = time.monotonic() + _PATIENCE_S
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until_s - time.monotonic()))
        stuck = [s.name for s, thread in zip(self._sources, self._threads, strict=True) if thread.is_alive()]
        if stuck:
            _LOG.warning("still waiting for an answer from %s; leaving it behind", ", ".join(stuck))

    @staticmethod
    def _stop(source: Source) -> None:
        if isinstance(source, ReconnectingSource):
            source.stop()

    def _read(self, lane: int, source: Source) -> None:
        error: BaseException | None = None
        intake = source.intake() if isinstance(source, ReplaySource) else Intake(source)
        try:
            # Closed in this thread: a generator, and the connection under it, belong to one thread at a time.
            with closing(self._items(source)) as items:
                for item in items:
                    is_frame = isinstance(item, Frame)
                    order_s = _order_s(item, source)
                    if not self._handoff.put(lane, Delivery(item, intake.note(item)), order_s, droppable=is_frame):
                        break
            end_s = source.end_place if isinstance(source, ReplaySource) else float("-inf")
            self._handoff.put(lane, Delivery(None, intake.ledger()), end_s, droppable=False)
        except BaseException as raised:  # a thread's outermost: handed to the thread that analyses
            error = raised
        self._handoff.finish(lane, error)

    def _items(self, source: Source) -> Generator[Item, None, None]:
        items: Iterator[Item]
        items = source.items() if isinstance(source, ReconnectingSource | ReplaySource) else source.frames()
        stage = "receive" if source.live else "decode"
        try:
            while True:
                with self._clock.stage(stage):
                    item = next(items, None)
                if item is None:
                    return
                yield item
        finally:
            if isinstance(items, Generator):
                items.close()


def _order_s(item: Item, source: Source) -> float:
    """See ``Handoff.put``. A replay says itself in which order its session took the sources."""
    if isinstance(item, Frame) and not source.live and not isinstance(source, ReplaySource):
        return item.t_s
    return item.captured_s
