"""Reconnecting with a clock, a generator of chance and a sleep of our own: no test waits."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.realtime.threads import Worker
from tsfmicro.closing import Closing
from tsfmicro.errors import SourceError, SourceLostError, UsageError
from tsfmicro.realtime.sources import Source, open_lasting
from tsfmicro.realtime.sources.reconnect import Item, Lost, ReconnectingSource, Restored, RetrySpec
from tsfmicro.values import Frame, Moment

STEP_S = 0.1


class World:
    """Time passes only while somebody sleeps or a frame is taken."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.pauses: list[float] = []
        self.until_stop: int | None = None

    def now(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.now_s += seconds
        return self.until_stop is not None and len(self.pauses) >= self.until_stop


class Camera(Closing):
    """One connection of so many frames."""

    live = True
    expected_frames: int | None = None
    expected_duration_s: float | None = None

    def __init__(self, world: World, frames: int, side: int = 4, end: Exception | None = None, first: int = 0) -> None:
        self.name = "rtsp://cam/live"
        self.skipped, self.undecodable, self.misstamped = 3, 2, 1
        self.closed = 0
        self._world, self._count, self._side, self._first = world, frames, side, first
        self._end = end or SourceLostError("rtsp://cam/live fell silent for 3 s", "timeout")

    def frames(self) -> Iterator[Frame]:
        for index in range(self._first, self._first + self._count):
            self._world.now_s += STEP_S
            t_s = (index - self._first) * STEP_S
            yield Frame(np.zeros((self._side, self._side, 3), np.uint8), index, t_s, self._world.now_s, self.name)
        raise self._end

    def close(self) -> None:
        self.closed += 1


REFUSED = SourceError("rtsp://cam/live refuses the connection; check that the camera is on.")


class Connections:
    """What every attempt to connect gives, in order; at the end it refuses for ever."""

    def __init__(self, *results: Camera | Exception) -> None:
        self._results = list(results)
        self.attempts = 0

    def __call__(self) -> Source:
        self.attempts += 1
        result = self._results.pop(0) if self._results else REFUSED
        if isinstance(result, Exception):
            raise result
        return result


def source_of(world: World, first: Camera, *later: Camera | Exception, **spec: float) -> ReconnectingSource:
    return ReconnectingSource(
        first, Connections(*later), RetrySpec(**spec), random.Random(5), wait=world.wait, now_s=world.now
    )


def items_of(source: ReconnectingSource) -> tuple[list[Item], SourceLostError | None]:
    found: list[Item] = []
    try:
        for item in source.items():
            found.append(item)  # noqa: PERF402 - what came before an error is kept
    except SourceLostError as error:
        return found, error
    return found, None


def test_time_and_numbers_go_on_across_a_gap() -> None:
    world = World()
    cameras = Camera(world, 3), Camera(world, 2, side=8, first=1)
    found, error = items_of(source_of(world, cameras[0], REFUSED, cameras[1], first_s=1.0, jitter=0.0))
    assert [type(item) for item in found] == [Frame, Frame, Frame, Lost, Restored, Frame, Frame, Lost]
    frames = [item for item in found if isinstance(item, Frame)]
    # Two pauses, 1 s and 2 s, and the time to the first frame.
    assert [frame.t_s for frame in frames] == pytest.approx([0.0, 0.1, 0.2, 3.3, 3.4])
    assert [frame.index for frame in frames] == [0, 1, 2, 4, 5]  # the new connection skipped one itself
    assert [frame.pixels.shape[0] for frame in frames] == [4, 4, 4, 8, 8]
    lost, restored = found[3], found[4]
    assert isinstance(lost, Lost) and isinstance(restored, Restored)
    assert (lost.at.frame, lost.reason) == (2, "timeout") and "silent" in lost.detail
    assert lost.at.t_s == pytest.approx(0.2)
    assert restored.at == Moment(4, frames[3].t_s) and restored.gap_s == pytest.approx(3.1)
    assert restored.captured_s == frames[3].captured_s
    assert error is not None and error.exit_code == 4
    assert [camera.closed for camera in cameras] == [1, 1]


def test_a_name_given_later_is_on_every_frame_and_sentence() -> None:
    world = World()
    source = source_of(world, Camera(world, 2), Camera(world, 2), first_s=1.0, jitter=0.0)
    source.name += " #2"
    found, error = items_of(source)
    assert {item.source for item in found if isinstance(item, Frame)} == {"rtsp://cam/live #2"}
    assert error is not None and str(error).startswith("rtsp://cam/live #2 was lost")


def test_the_pauses_double_up_to_the_longest_and_start_again() -> None:
    world = World()
    source = source_of(
        world, Camera(world, 1), *[REFUSED] * 6, Camera(world, 1), REFUSED, Camera(world, 1), jitter=0.0, retry_for_s=60
    )
    items_of(source)
    assert world.pauses[:9] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 0.5, 1.0]


def test_the_jitter_spreads_readers_and_stays_within_its_share() -> None:
    spec, rng = RetrySpec(), random.Random(1)
    pauses = [spec.pause_s(3, rng) for _ in range(200)]
    assert 3.2 <= min(pauses) < 3.5 and 4.5 < max(pauses) <= 4.8
    assert spec.pause_s(10_000, rng) <= 6.0


@pytest.mark.parametrize("retry_for_s", [0.0, 3.0, 30.0])
def test_it_gives_up_after_the_time_and_not_before(retry_for_s: float) -> None:
    world = World()
    source = source_of(world, Camera(world, 2), retry_for_s=retry_for_s)
    lost_s = world.now_s + 2 * STEP_S
    found, error = items_of(source)
    assert error is not None and world.now_s == pytest.approx(lost_s + retry_for_s)
    assert f"within {retry_for_s:g} s" in str(error)
    assert ("refuses the connection" in str(error)) == (retry_for_s > 0)
    assert [type(item) for item in found] == [Frame, Frame, Lost]


def test_for_ever_is_for_ever() -> None:
    world = World()
    world.until_stop = 5000
    found, error = items_of(source_of(world, Camera(world, 1), retry_for_s=float("inf")))
    assert error is None and len(world.pauses) == 5000 and len(found) == 2


def test_connections_without_a_picture_are_one_outage() -> None:
    world = World()
    found, _ = items_of(source_of(world, Camera(world, 1), Camera(world, 0), Camera(world, 0), Camera(world, 1)))
    assert [type(item) for item in found] == [Frame, Lost, Restored, Frame, Lost]


def test_a_source_that_never_delivered_is_lost_at_its_beginning() -> None:
    world = World()
    found, _ = items_of(source_of(world, Camera(world, 0), Camera(world, 1)))
    assert [type(item) for item in found] == [Lost, Restored, Frame, Lost]
    assert isinstance(found[0], Lost) and found[0].at == Moment(0, 0.0)
    assert isinstance(found[2], Frame) and (found[2].index, found[2].t_s) == (0, 0.0)


def test_the_counts_of_all_connections_add_up() -> None:
    world = World()
    source = source_of(world, Camera(world, 1), Camera(world, 1))
    assert (source.skipped, source.undecodable, source.misstamped) == (3, 2, 1)
    items_of(source)
    assert (source.skipped, source.undecodable, source.misstamped) == (6, 4, 2)


def test_an_error_that_is_no_outage_is_not_hidden() -> None:
    world = World()
    source = source_of(world, Camera(world, 1, end=ZeroDivisionError("a mistake of ours")))
    with pytest.raises(ZeroDivisionError):
        items_of(source)


def test_an_end_that_is_no_loss_is_the_end() -> None:
    world = World()

    class Over(Camera):
        def frames(self) -> Iterator[Frame]:
            with contextlib.suppress(SourceLostError):
                yield from super().frames()

    camera = Over(world, 2)
    found, error = items_of(source_of(world, camera, Camera(world, 1)))
    assert [type(item) for item in found] == [Frame, Frame] and error is None
    assert camera.closed == 1 and world.pauses == []


def test_frames_alone_pass_over_the_gaps() -> None:
    world = World()
    source = source_of(world, Camera(world, 2), Camera(world, 2), retry_for_s=3)
    frames = source.frames()
    seen = [next(frames).t_s for _ in range(4)]
    assert all(a < b for a, b in itertools.pairwise(seen))
    with pytest.raises(SourceLostError):
        next(frames)


def test_closing_ends_a_wait_at_once() -> None:
    world = World()
    camera = Camera(world, 1)
    source = ReconnectingSource(
        camera, Connections(), RetrySpec(retry_for_s=float("inf"), first_s=600.0, longest_s=600.0)
    )
    waiting = threading.Event()

    def read() -> None:
        for item in source.items():
            if isinstance(item, Lost):
                waiting.set()

    with Worker(read):
        assert waiting.wait(30)
        source.close()  # or the worker would be joined in vain
    assert camera.closed == 1


def test_closing_before_reading_closes_the_connection_once() -> None:
    camera = Camera(World(), 1)
    with ReconnectingSource(camera, Connections()) as source:
        source.close()
    assert camera.closed == 1


def test_a_connection_in_use_is_closed_by_who_uses_it() -> None:
    world = World()
    camera = Camera(world, 5)
    source = source_of(world, camera)
    items = source.items()
    next(items)
    source.close()
    assert camera.closed == 0
    assert list(items) == [] and camera.closed == 1


@pytest.mark.parametrize("live", [True, False])
def test_only_live_sources_are_opened_again(live: bool) -> None:
    camera = Camera(World(), 1)
    camera.live = live
    opener: Callable[[], Source] = Connections(camera)
    assert isinstance(open_lasting(opener), ReconnectingSource) is live


def test_the_first_connection_is_tried_once() -> None:
    connections = Connections()
    with pytest.raises(SourceError, match="refuses"):
        open_lasting(connections)
    assert connections.attempts == 1


def test_a_negative_time_is_refused() -> None:
    for value in (-1.0, float("nan")):
        with pytest.raises(UsageError, match="--retry-for"):
            RetrySpec(retry_for_s=value)
