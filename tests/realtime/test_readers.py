"""The threads that read: what they hand over, and that they end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from tests.realtime.test_reconnect import Camera, Connections, World
from tsfmicro.realtime import readers as readers_module
from tsfmicro.realtime.handoff import Taken
from tsfmicro.realtime.readers import Delivery, Readers
from tsfmicro.realtime.sources import Source
from tsfmicro.realtime.sources.reconnect import Lost, ReconnectingSource, RetrySpec
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.values import Frame

LONG_S = 30.0


class Recording(Camera):
    """So many frames, then the end; counts how often its generator was closed."""

    live = False
    left = 0

    def frames(self) -> Iterator[Frame]:
        try:
            for index in range(self._count):
                yield Frame(np.full((4, 4, 3), index % 250, np.uint8), index, index / 30, 0.0, self.name)
        finally:
            self.left += 1


def taken_from(readers: Readers, ends: int = 1) -> list[Taken[Delivery]]:
    found: list[Taken[Delivery]] = []
    while sum(taken.item is None for taken in found) < ends:
        turn = readers.take(LONG_S)
        assert turn
        found += turn
    return found


def started(*sources: Source, clock: StageClock | None = None, capacity: int = 8) -> Readers:
    readers = Readers(sources, clock or StageClock(), capacity)
    readers.start()
    return readers


def test_books_come_with_every_frame_and_once_more_at_the_end() -> None:
    clock = StageClock()
    readers = started(Recording(World(), 20), clock=clock)
    found = taken_from(readers)
    readers.close()
    deliveries = [taken.item for taken in found if taken.item is not None]
    assert [d.ledger.captured for d in deliveries] == [*range(1, 21), 20]
    assert [d.item is None for d in deliveries] == [False] * 20 + [True]
    assert (found[-1].item, found[-1].error) == (None, None)
    assert clock.report()["decode"]["count"] == 21  # the last look finds the end


def test_waiting_for_a_camera_is_not_called_decoding() -> None:
    clock = StageClock()
    world = World()
    source = ReconnectingSource(
        Camera(world, 3), Connections(), RetrySpec(retry_for_s=0.0), wait=world.wait, now_s=world.now
    )
    readers = started(source, clock=clock)
    found = taken_from(readers)
    readers.close()
    assert set(clock.report()) == {"receive"}
    assert [type(taken.item.item) for taken in found if taken.item] == [Frame, Frame, Frame, Lost]
    assert "did not come back" in str(found[-1].error)


def test_all_threads_end_wherever_they_are() -> None:
    before = threading.active_count()
    world = World()
    full, other = Recording(World(), 1000), Recording(World(), 1000)
    waiting = ReconnectingSource(Camera(world, 1), Connections(), RetrySpec(first_s=600.0, longest_s=600.0))
    readers = started(full, waiting, other, capacity=2)
    while True:  # until the camera is lost and waits to be tried again
        deliveries = [taken.item for taken in readers.take(LONG_S) if taken.lane == 1]
        if any(isinstance(delivery.item, Lost) for delivery in deliveries if delivery is not None):
            break
    readers.abandon(2)
    readers.close()
    readers.close()
    assert threading.active_count() == before
    assert (full.left, other.left) == (1, 1)  # generators are closed where they ran


def test_readers_that_were_never_started_can_be_closed() -> None:
    Readers([Recording(World(), 3)], StageClock()).close()


def test_one_who_gets_no_answer_is_left_behind_and_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    released, reading = threading.Event(), threading.Event()

    class Stuck(Recording):
        def frames(self) -> Iterator[Frame]:
            reading.set()
            released.wait(LONG_S)
            yield from super().frames()

    monkeypatch.setattr(readers_module, "_PATIENCE_S", 0.05)
    readers = started(Stuck(World(), 3))
    assert reading.wait(LONG_S)
    readers.close()
    assert "still waiting for an answer from rtsp://cam/live" in caplog.text
    released.set()
    monkeypatch.setattr(readers_module, "_PATIENCE_S", LONG_S)
    readers.close()
