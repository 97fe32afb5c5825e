"""One source in the analysing thread: its books, its latency, its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.factories import make_face
from tests.realtime.test_naming import unnamed
from tests.realtime.test_reconnect import Camera, World
from tsfmicro.realtime.analyzer import Unnamed
from tsfmicro.realtime.events import (
    Event,
    FaceLost,
    MeApex,
    MeEnd,
    MeRejected,
    MeStart,
    SourceLost,
    SourceRestored,
    Stats,
)
from tsfmicro.realtime.ledger import Ledger
from tsfmicro.realtime.pipeline import EventRecogniser, Observation, Step
from tsfmicro.realtime.source_run import Limits, SourceRun
from tsfmicro.realtime.sources.reconnect import Lost, Restored
from tsfmicro.values import Face, Frame, Interval, Moment

AT = Moment(1, 0.1)
INTERVAL = Interval(AT, AT, AT)
FPS = 10.0


class OneFace:
    """Takes as long as it is told to."""

    def __init__(self, world: World, takes_s: float) -> None:
        self._world, self.takes_s, self.closed = world, takes_s, 0

    def detect(self, frame: Frame) -> list[Face]:
        self._world.now_s += self.takes_s
        return [make_face()]

    def close(self) -> None:
        self.closed += 1


class Desk:
    """A run with a clock of our own."""

    def __init__(self, live: bool = True, takes_s: float = 0.02, limits: Limits | None = None) -> None:
        self.world = World()
        source = Camera(self.world, 0)
        source.live = live
        self.detector = OneFace(self.world, takes_s)
        self.recogniser = EventRecogniser(source.name, self.detector)
        self.run = SourceRun(source, self.detector, self.recogniser, limits or Limits(), self.world.now)

    def frame(self, index: int) -> Frame:
        pixels = np.zeros((480, 640, 3), np.uint8)
        return Frame(pixels, index, index / FPS, self.world.now_s, "rtsp://cam/live")

    def step(self, count: int) -> list[Step]:
        steps = []
        for index in range(count):
            observed = self.run.observe(self.frame(index))
            steps.append(self.run.decided(observed, [e for e in observed.findings if not isinstance(e, Unnamed)]))
            self.world.now_s += 1 / FPS
        return steps


def test_latency_runs_from_the_capture_to_the_decision() -> None:
    desk = Desk(takes_s=0.05)
    desk.step(20)
    latency = desk.run.report()["capture_to_decision"]
    assert latency["count"] == 20
    assert latency["p50_ms"] == pytest.approx(50, rel=0.02) and latency["p99_ms"] == pytest.approx(50, rel=0.02)


@pytest.mark.parametrize(("takes_s", "late"), [(0.09, 0), (0.11, 19)])
def test_late_is_more_than_one_frame_period(takes_s: float, late: int) -> None:
    desk = Desk(takes_s=takes_s)
    desk.step(20)  # the first has no period to be compared with
    assert desk.run.ledger.late == late


def test_a_frame_is_decided_when_its_movements_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(takes_s=0.02)
    desk.step(20)
    observed = replace(desk.run.observe(desk.frame(20)), findings=(unnamed(20),))
    step = desk.run.undecided(observed, [MOVEMENTS[0]])
    assert step.naming == 1
    assert [event.compute_s for event in step.events if isinstance(event, MeStart)] == [pytest.approx(0.02)]
    assert desk.run.report()["capture_to_decision"]["count"] == 20
    desk.world.now_s += 0.2
    (told,) = desk.run.named(observed, [MOVEMENTS[2]])
    assert isinstance(told, MeEnd) and told.compute_s == pytest.approx(0.22)
    assert desk.run.report()["capture_to_decision"]["count"] == 21
    assert desk.run.ledger.late == 1


def test_recordings_have_no_latency_and_are_never_late() -> None:
    desk = Desk(live=False, takes_s=5.0)
    desk.step(20)
    assert desk.run.report()["capture_to_decision"] is None and desk.run.ledger.late == 0


MOVEMENTS: tuple[Event, ...] = (
    MeStart("s", 1, "e", AT, 5.0, "brow"),
    MeApex("s", 1, "e", AT, AT, 0.1),
    MeEnd("s", 1, "e", INTERVAL, "brow", 3.0, 5.0, None, True, 0.1),
    MeRejected("s", 1, "e", INTERVAL, "brow", 3.0, 5.0, ("blink",), {}),
)


@pytest.mark.parametrize(("live", "compute_s"), [(True, 0.05), (False, None)])
def test_live_movements_say_how_long_they_were_computed(
    monkeypatch: pytest.MonkeyPatch, live: bool, compute_s: float | None
) -> None:
    desk = Desk(live=live)

    def observe(self: EventRecogniser, frame: Frame) -> Observation:
        desk.world.now_s += 0.05
        return Observation(frame, (), MOVEMENTS)

    monkeypatch.setattr(EventRecogniser, "observe", observe)
    (done,) = desk.step(1)
    times = [event.compute_s for event in done.events if isinstance(event, MeStart | MeApex | MeEnd)]
    assert times == [pytest.approx(compute_s) if compute_s else None] * 3
    assert done.events[3] == MOVEMENTS[3]


def stats_of(events: Sequence[Event]) -> list[Stats]:
    return [event for event in events if isinstance(event, Stats)]


def test_stats_carry_the_books_of_reader_handoff_and_analysis() -> None:
    desk = Desk(takes_s=0.11)
    desk.run.update(Ledger(captured=25, repeated=2, undecodable=1, misstamped=4, longest_gap_s=0.5, times_lost=1), 5)
    desk.step(20)
    (stats,) = stats_of(desk.run.finish("end_of_source"))
    assert stats.ledger == Ledger(25, 20, 5, 19, 2, 1, 4, 0.5, 1) == desk.run.ledger
    assert desk.detector.closed == 1 and desk.run.reason == "end_of_source"


def test_nothing_is_compared_across_a_gap() -> None:
    desk = Desk()
    desk.step(5)
    events = desk.run.lost(Lost(Moment(4, 0.4), "timeout", "silent for 3 s", 7.0, 6.0))
    assert events == [
        SourceLost("rtsp://cam/live", Moment(4, 0.4), "timeout", "silent for 3 s"),
        FaceLost("rtsp://cam/live", 1, Moment(4, 0.4)),
    ]
    assert desk.recogniser.fps_measured is None
    assert desk.run.restored(Restored(Moment(5, 9.4), 9.0, 16.0)) == [
        SourceRestored("rtsp://cam/live", Moment(5, 9.4), 9.0)
    ]


@pytest.mark.parametrize(
    ("live", "limits", "reason"),
    [
        (True, Limits(max_frames=5), "max_frames"),
        (True, Limits(max_frames=6), None),
        (True, Limits(duration_s=0.5), "duration"),
        (True, Limits(duration_s=0.9), None),
        (True, Limits(), None),
        (False, Limits(max_frames=5, duration_s=0.1), None),  # the next frame says so, if there is one
    ],
)
def test_a_live_source_need_not_send_the_frame_that_is_one_too_many(
    live: bool, limits: Limits, reason: str | None
) -> None:
    desk = Desk(live=live, takes_s=0.0, limits=limits)
    assert desk.run.limit_while_waiting() is None
    desk.step(5)
    assert desk.run.limit_while_waiting() == reason


@pytest.mark.parametrize(("period_s", "told"), [(1 / 15, 1), (1 / 19, 1), (1 / 20, 0), (1 / 60, 0)])
def test_a_rate_too_low_for_micro_expressions_is_told_once(
    caplog: pytest.LogCaptureFixture, period_s: float, told: int
) -> None:
    desk = Desk()
    for index in range(150):
        frame = Frame(np.zeros((480, 640, 3), np.uint8), index, index * period_s, desk.world.now_s, "rtsp://cam/live")
        desk.run.decided(desk.run.observe(frame), [])
        assert len(caplog.records) == (told if index >= 59 else 0)
    assert all(f"rtsp://cam/live delivers {1 / period_s:.1f} frames/s" in record.message for record in caplog.records)
