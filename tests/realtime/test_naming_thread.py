"""Live movements are named beside the analysis: nobody waits, nothing is told twice, lost or out of order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.realtime.test_naming import TellsBrightness, unnamed
from tests.realtime.test_session import Detectors, ListSink
from tsfmicro.bundle import Calibration
from tsfmicro.closing import Closing
from tsfmicro.errors import BackendError
from tsfmicro.realtime.analyzer import Finding
from tsfmicro.realtime.events import Event, FaceLost, MeEnd, SessionEnd, SessionStart, Stats
from tsfmicro.realtime.naming_thread import part
from tsfmicro.realtime.pipeline import EventRecogniser, Observation, Step
from tsfmicro.realtime.recognise import Recogniser
from tsfmicro.realtime.session import Outputs, Session
from tsfmicro.realtime.source_run import Limits
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.runners import RunnerOutput
from tsfmicro.values import Frame, Moment, UInt8Array

PATIENCE_S = 20.0
AT = Moment(3, 0.1)
LOST = FaceLost("cam", 1, AT)
STATS = Stats("cam", AT, 4, 0, 0, None)


@pytest.mark.parametrize(
    ("findings", "now", "later"),
    [
        ([], 0, 0),
        ([LOST, STATS], 2, 0),
        ([LOST, unnamed(20)], 1, 1),
        ([unnamed(20), LOST], 0, 2),
        ([LOST, unnamed(20), LOST, unnamed(30), STATS], 2, 3),
    ],
)
def test_what_follows_a_movement_waits_with_it_and_counts_do_not(findings: list[Finding], now: int, later: int) -> None:
    parted = part(findings)
    assert (len(parted.now), len(parted.later)) == (now, later)
    assert sorted([*map(id, parted.now), *map(id, parted.later)]) == sorted(map(id, findings))
    assert (STATS in parted.now) == (STATS in findings)


class Camera(Closing):
    """A live source that sends a frame when the one before was seen, so that none is dropped."""

    name, live = "cam", True
    skipped = undecodable = misstamped = 0
    expected_frames: int | None = None
    expected_duration_s: float | None = None

    def __init__(self, frames: int) -> None:
        self.seen = threading.Semaphore(1)
        self._frames = frames

    def frames(self) -> Iterator[Frame]:
        for index in range(self._frames):
            assert self.seen.acquire(timeout=PATIENCE_S)
            yield Frame(np.zeros((4, 4, 3), np.uint8), index, index / 30, 0.0, self.name)
        assert self.seen.acquire(timeout=PATIENCE_S)

    def close(self) -> None:
        pass


@dataclass
class Onlooker:
    """Sees every step, and lets the camera go on."""

    camera: Camera
    on_frame: dict[int, Callable[[], None]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    last: list[Event] = field(default_factory=list)

    def see(self, step: Step) -> None:
        self.steps.append(step)
        self.on_frame.get(step.frame.index, lambda: None)()
        self.camera.seen.release()

    def finish(self, events: Sequence[Event]) -> None:
        self.last += events

    def close(self) -> None:
        pass


class Waits(TellsBrightness):
    """Answers when it is let."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.may = threading.Event()
        self.asked_in: list[str] = []
        self._error = error

    def infer(self, onset: UInt8Array, apex: UInt8Array) -> RunnerOutput:
        self.asked_in.append(threading.current_thread().name)
        assert self.may.wait(PATIENCE_S), "the frame that lets it answer never came"
        if self._error is not None:
            raise self._error
        return super().infer(onset, apex)


@dataclass
class Watched:
    sink: ListSink
    viewer: Onlooker
    detectors: Detectors = field(default_factory=Detectors)
    raised: BaseException | None = None

    @property
    def kinds(self) -> list[type[Event]]:
        return [type(event) for event in self.sink.events if not isinstance(event, SessionStart | SessionEnd | Stats)]


def watch(
    monkeypatch: pytest.MonkeyPatch, shows: dict[int, list[Finding]], runner: Waits, let_at: int | None, frames: int = 9
) -> Watched:
    """A session of one camera that shows movements in some frames; the recogniser may answer from a frame on."""

    def observe(self: EventRecogniser, frame: Frame) -> Observation:
        return Observation(frame, (), tuple(shows.get(frame.index, ())))

    monkeypatch.setattr(EventRecogniser, "observe", observe)
    camera = Camera(frames)
    run = Watched(ListSink(), Onlooker(camera))
    if let_at is not None:
        run.viewer.on_frame[let_at] = runner.may.set
    session = Session(run.detectors, Recogniser(runner, Calibration(1.0, 0.5, None)), None, Limits(), StageClock())
    try:
        session.run([camera], Outputs([run.sink], [run.viewer]))
    except Exception as error:
        run.raised = error
    return run


def test_the_next_frames_do_not_wait_for_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Waits()
    run = watch(monkeypatch, {2: [unnamed(200)]}, runner, let_at=6)
    assert run.raised is None
    assert [step.frame.index for step in run.viewer.steps] == list(range(9))
    assert [step.naming for step in run.viewer.steps] == [0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert runner.asked_in == ["naming_0"]
    (told,) = [event for event in run.sink.events if isinstance(event, MeEnd)]
    assert told.recognition is not None and told.recognition.label == "bright"
    seen_with = [step.frame.index for step in run.viewer.steps for e in step.events if isinstance(e, MeEnd)]
    assert all(index >= 7 for index in seen_with)
    assert len(seen_with) + sum(isinstance(event, MeEnd) for event in run.viewer.last) == 1


def test_a_source_that_ends_waits_for_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Waits()
    threading.Timer(0.2, runner.may.set).start()
    run = watch(monkeypatch, {8: [unnamed(20), LOST]}, runner, let_at=None)
    assert run.raised is None
    assert run.kinds == [MeEnd, FaceLost]
    assert run.sink.end.reason == "end_of_source"


def test_names_come_in_the_order_of_their_movements(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Waits()
    shows: dict[int, list[Finding]] = {1: [unnamed(20)], 2: [unnamed(200), unnamed(230)], 4: [unnamed(40), LOST]}
    run = watch(monkeypatch, shows, runner, let_at=5)
    ended = [event for event in run.sink.events if isinstance(event, MeEnd)]
    assert [event.event_id for event in ended] == ["e20", "e200", "e230", "e40"]
    assert [event.recognition.top_label for event in ended if event.recognition] == ["dark", "bright", "bright", "dark"]
    assert runner.batches == [1, 2, 1]
    assert run.kinds[-1] is FaceLost
    assert run.sink.seqs == list(range(len(run.sink.events)))


@pytest.mark.parametrize("shown", [(2,), (1, 2, 3)])  # several: asked already when the first one fails
def test_a_recogniser_that_fails_ends_the_run_and_says_why(
    monkeypatch: pytest.MonkeyPatch, shown: tuple[int, ...]
) -> None:
    shows: dict[int, list[Finding]] = {index: [unnamed(20)] for index in shown}
    run = watch(monkeypatch, shows, Waits(BackendError("the card is gone")), let_at=4)
    assert isinstance(run.raised, BackendError) and "the card is gone" in str(run.raised)
    assert run.sink.end.reason == "failed" and run.sink.closed == 1
    assert run.detectors.all_closed(1)
    assert not any(thread.name.startswith("naming") for thread in threading.enumerate())
