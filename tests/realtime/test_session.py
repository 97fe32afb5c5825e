"""A run from its first line to its last, whatever happens in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.factories import make_face
from tests.realtime.test_naming import TellsBrightness, unnamed
from tests.realtime.test_reconnect import Camera, Connections, World
from tsfmicro.bundle import Calibration
from tsfmicro.closing import Closing
from tsfmicro.errors import SourceLostError, UsageError
from tsfmicro.landmarks import LandmarkDetector
from tsfmicro.realtime.events import (
    Event,
    FaceLost,
    FaceNew,
    MeEnd,
    SessionEnd,
    SessionStart,
    SourceLost,
    SourceRestored,
    Stats,
)
from tsfmicro.realtime.ledger import Ledger
from tsfmicro.realtime.pipeline import EventRecogniser, Observation, Step
from tsfmicro.realtime.recognise import Recogniser
from tsfmicro.realtime.session import Outputs, Session, Summary
from tsfmicro.realtime.source_run import Limits
from tsfmicro.realtime.sources.reconnect import ReconnectingSource, RetrySpec
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.realtime.window import StopRequested
from tsfmicro.values import Face, Frame, UInt8Array

FPS = 30.0
PIXELS: UInt8Array = np.random.default_rng(7).integers(0, 255, (480, 640, 3), dtype=np.uint8)
NO_LIMITS = Limits()


class FakeSource(Closing):
    """Frames of a rate, dropping some, ending in an error where asked."""

    def __init__(
        self, name: str = "first", frames: int = 30, dropped: Sequence[int] = (), ends_in: BaseException | None = None
    ) -> None:
        self.name, self.live = name, False
        self.skipped = self.undecodable = self.misstamped = 0
        self.expected_frames: int | None = frames
        self.expected_duration_s: float | None = frames / FPS
        self._indices = [index for index in range(frames) if index not in dropped]
        self._ends_in = ends_in

    def frames(self) -> Iterator[Frame]:
        for index in self._indices:
            yield Frame(pixels=PIXELS, index=index, t_s=index / FPS, captured_s=0.0, source=self.name)
        if self._ends_in is not None:
            raise self._ends_in

    def close(self) -> None:
        pass


class FakeDetector:
    """One average face in every frame; remembers that it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def detect(self, frame: Frame) -> list[Face]:
        assert not self.closed
        return [make_face()]

    def close(self) -> None:
        self.closed += 1


class Detectors:
    """Makes detectors and keeps them, to ask afterwards."""

    def __init__(self) -> None:
        self.made: list[FakeDetector] = []

    def __call__(self) -> LandmarkDetector:
        self.made.append(FakeDetector())
        return self.made[-1]

    def all_closed(self, count: int) -> bool:
        return [detector.closed for detector in self.made] == [1] * count


class ListSink:
    def __init__(self, fails_at: int | None = None) -> None:
        self.events: list[Event] = []
        self.seqs: list[int] = []
        self.closed = 0
        self.on_end: Callable[[], None] = lambda: None
        self._fails_at = fails_at

    def write(self, event: Event, seq: int) -> None:
        assert not self.closed
        if self._fails_at is not None and seq >= self._fails_at:
            raise UsageError("events cannot be written to full: No space left on device.")
        self.events.append(event)
        self.seqs.append(seq)
        if isinstance(event, SessionEnd):
            self.on_end()

    def close(self) -> None:
        self.closed += 1

    @property
    def end(self) -> SessionEnd:
        assert isinstance(self.events[-1], SessionEnd)
        return self.events[-1]


class ListViewer:
    def __init__(self, on_frame: dict[int, BaseException] | None = None) -> None:
        self.seen: list[int] = []
        self.told: list[tuple[int, list[type[Event]]]] = []
        self.finished: list[Event] = []
        self.finishes = 0
        self.closed = 0
        self._on_frame = on_frame or {}

    def see(self, step: Step) -> None:
        self.seen.append(step.frame.index)
        if step.events:
            self.told.append((step.frame.index, [type(event) for event in step.events]))
        if step.frame.index in self._on_frame:
            raise self._on_frame[step.frame.index]

    def finish(self, events: Sequence[Event]) -> None:
        self.finishes += 1
        self.finished += events

    def close(self) -> None:
        self.closed += 1


class Run:
    """A session with fakes at every edge."""

    def __init__(
        self,
        limits: Limits = NO_LIMITS,
        sink: ListSink | None = None,
        viewer: ListViewer | None = None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self.detectors = Detectors()
        self.sink, self.viewer = sink or ListSink(), viewer or ListViewer()
        self.second = ListSink()
        self.clock = StageClock()
        self.session = Session(self.detectors, None, {"name": "none"}, limits, self.clock, interrupted=interrupted)

    def __call__(self, *sources: FakeSource) -> Summary:
        return self.session.run(sources, Outputs([self.sink, self.second], [self.viewer]))

    def assert_closed(self, detectors: int = 1) -> None:
        assert (self.sink.closed, self.second.closed, self.viewer.closed) == (1, 1, 1)
        assert self.detectors.all_closed(detectors)


def test_session_start_is_first_and_session_end_last_with_the_counts() -> None:
    run = Run()
    summary = run(FakeSource("first", 40, dropped=(3, 4, 20)))
    events = run.sink.events
    start = events[0]
    assert isinstance(start, SessionStart)
    assert (start.sources, start.model) == (("first",), {"name": "none"})
    assert [type(event) for event in events[1:]] == [FaceNew, FaceLost, Stats, SessionEnd]
    end = run.sink.end
    assert (end.frames, end.dropped, end.faces, end.events, end.rejected) == (37, 3, 1, 0, 0)
    assert end.reason == summary.reason == "end_of_source"
    assert end.wall_s >= 0
    assert (summary.tally.frames, summary.tally.dropped) == (37, 3)
    assert run.viewer.seen == [index for index in range(40) if index not in (3, 4, 20)]
    run.assert_closed()


def test_every_sink_gets_the_same() -> None:
    run = Run()
    run(FakeSource())
    assert run.sink.events == run.second.events
    assert run.sink.seqs == run.second.seqs


def test_numbers_go_on_over_two_sources() -> None:
    run = Run()
    run(FakeSource("first", 20), FakeSource("second", 25))
    assert run.sink.seqs == list(range(len(run.sink.events)))
    assert [e.source for e in run.sink.events if isinstance(e, FaceNew)] == ["first", "second"]
    assert sum(isinstance(event, SessionStart | SessionEnd) for event in run.sink.events) == 2
    assert (run.sink.end.frames, run.sink.end.faces) == (45, 2)
    assert run.viewer.finishes == 2
    run.assert_closed(detectors=2)


def test_a_source_without_frames_is_an_ordinary_run() -> None:
    run = Run()
    run(FakeSource(frames=0))
    assert [type(event) for event in run.sink.events] == [SessionStart, SessionEnd]
    assert run.sink.end.frames == 0
    run.assert_closed()


@pytest.mark.parametrize(
    ("limits", "frames", "reason"),
    [
        (Limits(max_frames=7), 7, "max_frames"),
        (Limits(duration_s=0.5), 15, "duration"),
        (Limits(duration_s=0.0), 0, "duration"),
        (Limits(duration_s=0.5, max_frames=7), 7, "max_frames"),
        (Limits(duration_s=0.1, max_frames=7), 3, "duration"),
        (Limits(duration_s=9.0, max_frames=99), 30, "end_of_source"),
        (Limits(max_frames=30), 30, "end_of_source"),
    ],
)
def test_limits_stop_and_say_which(limits: Limits, frames: int, reason: str) -> None:
    run = Run(limits)
    summary = run(FakeSource(frames=30))
    assert run.sink.end.frames == len(run.viewer.seen) == frames
    assert run.sink.end.reason == summary.reason == reason
    run.assert_closed()


def test_limits_are_for_each_source() -> None:
    run = Run(Limits(max_frames=5))
    run(FakeSource("first"), FakeSource("second"))
    assert run.sink.end.frames == 10
    assert run.viewer.seen == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("second_fails", [False, True])
def test_movements_of_several_sources_are_named_in_one_call(
    monkeypatch: pytest.MonkeyPatch, second_fails: bool
) -> None:
    def observe(self: EventRecogniser, frame: Frame) -> Observation:
        if second_fails and frame.source == "second" and frame.index == 3:
            raise UsageError("broken")
        found = unnamed(200 if frame.source == "first" else 20)
        return Observation(frame, (), (found,) if frame.index in (3, 5) else ())

    monkeypatch.setattr(EventRecogniser, "observe", observe)
    runner, run = TellsBrightness(), Run()
    run.session = Session(run.detectors, Recogniser(runner, Calibration(1.0, 0.5, None)), None, NO_LIMITS, StageClock())
    if second_fails:
        with pytest.raises(UsageError, match="broken"):
            run(FakeSource("first", 8), FakeSource("second", 8))
    else:
        run(FakeSource("first", 8), FakeSource("second", 8))
    ended = [event for event in run.sink.events if isinstance(event, MeEnd)]
    assert all(event.recognition is not None for event in ended)
    # What the first one showed is told although the second one broke in the same round.
    assert runner.batches == ([1] if second_fails else [2, 2])
    assert [event.event_id for event in ended] == (["e200"] if second_fails else ["e200", "e20"] * 2)


Interruption = tuple[Callable[[], tuple[Run, FakeSource]], type[BaseException], str]


def interrupted_while_reading() -> tuple[Run, FakeSource]:
    return Run(), FakeSource(frames=12, ends_in=KeyboardInterrupt())


def interrupted_while_watching() -> tuple[Run, FakeSource]:
    return Run(viewer=ListViewer({11: KeyboardInterrupt()})), FakeSource()


def lost() -> tuple[Run, FakeSource]:
    return Run(), FakeSource(frames=12, ends_in=SourceLostError("camera:0 stopped delivering after 12 frames"))


@pytest.mark.parametrize(
    ("case", "error", "reason"),
    [
        (interrupted_while_reading, KeyboardInterrupt, "interrupted"),
        (interrupted_while_watching, KeyboardInterrupt, "interrupted"),
        (lost, SourceLostError, "source_lost"),
    ],
)
def test_an_interruption_is_flushed_like_an_end_and_raised_again(
    case: Callable[[], tuple[Run, FakeSource]], error: type[BaseException], reason: str
) -> None:
    run, source = case()
    with pytest.raises(error):
        run(source)
    assert [type(event) for event in run.sink.events] == [SessionStart, FaceNew, FaceLost, Stats, SessionEnd]
    assert run.sink.seqs == list(range(5))
    assert (run.sink.end.reason, run.sink.end.frames, run.sink.end.faces) == (reason, 12, 1)
    assert [type(event) for event in run.viewer.finished] == [FaceLost, Stats]
    run.assert_closed()


def test_a_source_that_is_lost_does_not_end_the_others() -> None:
    run = Run()
    broken = FakeSource("broken", frames=5, ends_in=SourceLostError("broken was lost"))
    with pytest.raises(SourceLostError, match="broken was lost"):
        run(broken, FakeSource("first", frames=40), FakeSource("second", frames=20))
    ends = {event.source: event for event in run.sink.events if isinstance(event, Stats)}
    assert {name: stats.frames for name, stats in ends.items()} == {"broken": 5, "first": 40, "second": 20}
    assert (run.sink.end.reason, run.sink.end.frames) == ("source_lost", 65)
    run.assert_closed(detectors=3)


def test_sources_take_turns_by_their_media_time() -> None:
    turns = []
    for _ in range(3):
        run = Run()
        run(FakeSource("first", frames=30), FakeSource("second", frames=12, dropped=range(3, 9)))
        turns.append(run.sink.events[1:-1])
    assert turns[0] == turns[1] == turns[2]  # whichever thread was first
    assert [event.source for event in turns[0] if isinstance(event, Stats)] == ["second", "first"]


def test_the_books_balance() -> None:
    run = Run()
    summary = run(FakeSource(frames=40, dropped=(3, 4, 20)))
    assert summary.ledger == run.sink.end.ledger
    assert summary.ledger.longest_gap_s == pytest.approx(0.1)
    assert replace(summary.ledger, longest_gap_s=0.0) == Ledger(captured=37, analysed=37, repeated=36)
    (report,) = summary.sources
    assert (report["source"], report["live"], report["capture_to_decision"]) == ("first", False, None)
    assert report["fps_measured"] == pytest.approx(36 / 39 * 30, rel=0.01)


def test_a_gap_is_told_to_sinks_at_once_and_to_viewers_with_the_next_frame() -> None:
    world = World()
    live = ReconnectingSource(
        Camera(world, 4, side=480),
        Connections(Camera(world, 4, side=480)),
        RetrySpec(retry_for_s=1.0),
        wait=world.wait,
        now_s=world.now,
    )
    run = Run()
    with pytest.raises(SourceLostError):
        run.session.run([live], Outputs([run.sink], [run.viewer]))
    kinds = [type(event) for event in run.sink.events if not isinstance(event, Stats)]
    once = [FaceNew, SourceLost, FaceLost]
    assert kinds == [SessionStart, *once, SourceRestored, *once, SessionEnd]
    assert run.viewer.told == [(0, [FaceNew]), (4, [SourceLost, FaceLost, SourceRestored, FaceNew])]
    assert [type(event) for event in run.viewer.finished] == [SourceLost, FaceLost, Stats]
    assert run.sink.end.ledger is not None and run.sink.end.ledger.times_lost == 2


def test_recordings_carry_no_clock_of_the_world() -> None:
    run = Run()
    run(FakeSource(frames=40))
    assert all(getattr(event, "compute_s", None) is None for event in run.sink.events)


def test_an_interruption_is_answered_while_every_source_is_silent() -> None:
    class Silent(FakeSource):
        """Delivers a few frames, then nothing until it is closed."""

        def frames(self) -> Iterator[Frame]:
            yield from super().frames()
            silent.set()
            released.wait(30)

    silent, released = threading.Event(), threading.Event()
    run = Run(interrupted=silent.is_set)
    run.sink.on_end = released.set  # the end is written while the reader still hangs
    with pytest.raises(KeyboardInterrupt):
        run(Silent(frames=3))
    assert released.is_set()
    assert run.sink.end.reason == "interrupted"
    run.assert_closed()


def test_a_viewer_that_has_seen_enough_ends_the_whole_run_well() -> None:
    run = Run(viewer=ListViewer({5: StopRequested()}))
    summary = run(FakeSource())
    assert (summary.reason, run.sink.end.reason) == ("closed", "closed")
    assert run.sink.end.frames == 6
    assert [type(event) for event in run.viewer.finished] == [FaceLost, Stats]
    run.assert_closed()


@pytest.mark.parametrize("fails_at", [0, 1])
def test_an_output_that_fails_closes_the_others_and_is_reported(fails_at: int) -> None:
    run = Run(sink=ListSink(fails_at=fails_at))
    with pytest.raises(UsageError, match="No space left"):
        run(FakeSource())
    assert (run.sink.closed, run.second.closed, run.viewer.closed) == (1, 1, 1)


def test_the_detector_is_closed_when_an_output_fails() -> None:
    run = Run(sink=ListSink(fails_at=1))
    with pytest.raises(UsageError, match="No space left"):
        run(FakeSource())
    assert run.detectors.all_closed(1)


def test_a_failure_is_not_called_the_end_of_the_source() -> None:
    run = Run(viewer=ListViewer({5: UsageError("the annotated video cannot be written")}))
    with pytest.raises(UsageError, match="annotated video"):
        run(FakeSource())
    assert run.sink.end.reason == "failed"


def test_an_output_that_cannot_be_closed_does_not_keep_the_others_open() -> None:
    class Stuck(ListSink):
        def close(self) -> None:
            raise UsageError("events cannot be written")

    run = Run(sink=Stuck())
    with pytest.raises(UsageError):
        run(FakeSource(frames=3))
    assert (run.second.closed, run.viewer.closed) == (1, 1)


def test_a_viewer_that_fails_is_reported_and_all_is_closed() -> None:
    run = Run(viewer=ListViewer({5: UsageError("the annotated video cannot be written")}))
    with pytest.raises(UsageError, match="annotated video"):
        run(FakeSource())
    assert isinstance(run.sink.events[-1], SessionEnd)
    run.assert_closed()


def test_every_stage_is_timed() -> None:
    run = Run()
    run(FakeSource(frames=10))
    report = run.clock.report()
    assert {name: stage["count"] for name, stage in report.items()} == {
        "decode": 11,  # the last look finds the end
        "landmarks": 5,  # every second frame at 30 a second
        "follow": 10,
        "spot": 10,
        "output": 10,
    }
