"""Frames to events: the bookkeeping with a fake detector, the whole path on rendered footage."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from tests.factories import astronaut, make_face
from tsfmicro.align import AlignSpec
from tsfmicro.bundle import Calibration
from tsfmicro.intervals import iou
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime import pipeline
from tsfmicro.realtime.analyzer import Closing, Unnamed
from tsfmicro.realtime.event_json import dumps, to_record
from tsfmicro.realtime.events import Event, FaceLost, FaceNew, FaceWindow, MeEnd, MeRejected, MeStart, Stats
from tsfmicro.realtime.gates import GateSpec
from tsfmicro.realtime.pipeline import EventRecogniser, PipelineSpec, analyse
from tsfmicro.realtime.recognise import Recogniser
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.sliding import SlideSpec
from tsfmicro.realtime.spot import SpotSpec
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.runners import Runner
from tsfmicro.synthetic.portrait import framed
from tsfmicro.synthetic.scene import Scene, SceneRenderer
from tsfmicro.synthetic.timecourse import TimeCourse, TrueEvent
from tsfmicro.values import CropPair, Face, Frame, Interval, Moment, UInt8Array

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "short_clip.jsonl"
UPDATE = "TSFMICRO_UPDATE_GOLDEN"

PIXELS: UInt8Array = np.random.default_rng(7).integers(0, 255, (480, 640, 3), dtype=np.uint8)
LEFT, RIGHT = (160.0, 240.0), (480.0, 240.0)


def a_frame(index: int, fps: float = 30.0, t_s: float | None = None) -> Frame:
    return Frame(PIXELS, index, index / fps if t_s is None else t_s, 0.0, "fake")


class FakeDetector:
    """Average faces where and when it is told."""

    def __init__(self, *centres: tuple[float, float], absent: range = range(0)) -> None:
        self._faces = [make_face(centre, 80.0) for centre in centres or (LEFT,)]
        self._absent = absent
        self.asked: list[int] = []

    def detect(self, frame: Frame) -> list[Face]:
        self.asked.append(frame.index)
        return [] if frame.index in self._absent else self._faces

    def close(self) -> None:
        raise AssertionError("the pipeline does not own the detector")


class FakeAnalyzer:
    """Takes part as an analyzer that only remembers."""

    made: list[FakeAnalyzer]

    def __init__(
        self,
        source: str,
        face_id: int,
        align: AlignSpec,
        spot: SpotSpec,
        gates: GateSpec,
        recogniser: Recogniser | None,
        keep: Callable[[Closing], None] | None = None,
        window_frames: int | None = None,
        slide: SlideSpec | None = None,
    ) -> None:
        self.face_id, self.align, self.spot, self.slide = face_id, align, spot, slide
        self.samples: list[FaceSample] = []
        self.flushed = 0
        self.score, self.active, self.calibrated = float(face_id), face_id == 2, True
        FakeAnalyzer.made.append(self)

    def push(self, sample: FaceSample) -> list[Event]:
        self.samples.append(sample)
        return [MeStart("fake", self.face_id, "f", sample.moment, 3.0, "brow")] if len(self.samples) == 3 else []

    def flush(self) -> list[Event]:
        self.flushed += 1
        moment = self.samples[-1].moment
        interval = Interval(moment, moment, moment)
        return [MeRejected("fake", self.face_id, "f", interval, "brow", 1.0, 3.0, ("no_return",), {})]


@pytest.fixture
def analyzers(monkeypatch: pytest.MonkeyPatch) -> list[FakeAnalyzer]:
    FakeAnalyzer.made = []
    monkeypatch.setattr(pipeline, "FaceAnalyzer", FakeAnalyzer)
    return FakeAnalyzer.made


# --- bookkeeping ----------------------------------------------------------------------------------------------------


def test_a_face_is_announced_once_and_given_up_at_the_end() -> None:
    recogniser = EventRecogniser("clip", FakeDetector())
    events = [event for index in range(20) for event in recogniser.process(a_frame(index))]
    (new,) = events
    assert isinstance(new, FaceNew)
    assert (new.source, new.face_id, new.at) == ("clip", 1, Moment(0, 0.0))
    assert new.iod_px == pytest.approx(80.0, abs=0.01)
    lost, stats = recogniser.finish()
    assert lost == FaceLost("clip", 1, Moment(19, 19 / 30))
    assert isinstance(stats, Stats) and (stats.frames, stats.faces_in_view) == (20, 0)


def test_a_face_that_stays_away_is_lost_and_comes_back_as_another(analyzers: list[FakeAnalyzer]) -> None:
    recogniser = EventRecogniser("clip", FakeDetector(absent=range(10, 60)))
    told = {index: recogniser.process(a_frame(index)) for index in range(70)}
    kinds = {index: [type(event) for event in events] for index, events in told.items() if events}
    # A second after frame 9 it is given up, with whatever its analyzer still had to say.
    assert kinds == {0: [FaceNew], 2: [MeStart], 40: [MeRejected, FaceLost], 60: [FaceNew], 62: [MeStart]}
    lost = told[40][1]
    assert isinstance(lost, FaceLost) and (lost.face_id, lost.at) == (1, Moment(9, 9 / 30))
    assert [analyzer.face_id for analyzer in analyzers] == [1, 2]
    assert [analyzer.flushed for analyzer in analyzers] == [1, 0]
    assert recogniser.tally.faces == 2


def test_a_gap_ends_every_face_and_nothing_is_carried_over(analyzers: list[FakeAnalyzer]) -> None:
    recogniser = EventRecogniser("clip", FakeDetector())
    for index in range(5):
        recogniser.process(a_frame(index))
    assert [type(event) for event in recogniser.gap()] == [MeRejected, FaceLost]
    assert recogniser.fps_measured is None
    assert recogniser.gap() == []
    assert [type(event) for event in recogniser.process(a_frame(5, t_s=4.0))] == [FaceNew]
    assert [(analyzer.face_id, analyzer.flushed) for analyzer in analyzers] == [(1, 1), (2, 0)]
    assert (recogniser.tally.frames, recogniser.tally.rejected) == (6, 1)


def test_two_faces_keep_their_own_analyzers(analyzers: list[FakeAnalyzer]) -> None:
    recogniser = EventRecogniser("clip", FakeDetector(RIGHT, LEFT))
    steps = list(analyse((a_frame(index) for index in range(12)), recogniser))
    assert len(analyzers) == 2
    for analyzer, centre in zip(analyzers, (RIGHT, LEFT), strict=True):
        assert [sample.moment.frame for sample in analyzer.samples] == list(range(12))
        middles = np.array([sample.centre_px for sample in analyzer.samples])
        assert np.abs(middles - centre).max() < 1.0
    assert [(view.face_id, view.score, view.active) for view in steps[-1].faces] == [(1, 1.0, False), (2, 2.0, True)]
    assert steps[-1].faces[0].box_px[0] > 320 > steps[-1].faces[1].box_px[2]
    recogniser.finish()
    assert [analyzer.flushed for analyzer in analyzers] == [1, 1]


def test_dropped_frames_are_counted_from_the_gaps() -> None:
    recogniser = EventRecogniser("clip", FakeDetector())
    for index in (0, 1, 4, 5, 10):
        recogniser.process(a_frame(index))
    assert (recogniser.tally.frames, recogniser.tally.dropped) == (5, 2 + 4)


def test_frames_dropped_before_the_first_are_counted_too() -> None:
    recogniser = EventRecogniser("clip", FakeDetector())
    recogniser.process(a_frame(3))
    assert (recogniser.tally.frames, recogniser.tally.dropped) == (1, 3)


def test_measured_rate_is_steps_over_span() -> None:
    recogniser = EventRecogniser("clip", FakeDetector())
    assert recogniser.fps_measured is None
    recogniser.process(a_frame(0, t_s=0.0))
    assert recogniser.fps_measured is None
    for index, t_s in enumerate((0.02, 0.05, 0.16), start=1):
        recogniser.process(a_frame(index, t_s=t_s))
    assert recogniser.fps_measured == pytest.approx(3 / 0.16)


def test_measured_rate_follows_the_last_sixty_frames() -> None:
    recogniser = EventRecogniser("clip", FakeDetector(absent=range(10_000)))
    t_s = 0.0
    for index in range(160):
        recogniser.process(a_frame(index, t_s=t_s))
        t_s += 1 / 60 if index < 90 else 1 / 25
    assert recogniser.fps_measured == pytest.approx(25.0)


def test_statistics_come_every_five_seconds_of_media_time() -> None:
    recogniser = EventRecogniser("clip", FakeDetector(absent=range(60, 10_000)))
    told = [(index, e) for index in range(120) for e in recogniser.process(a_frame(index, fps=10.0))]
    stats = [(index, event) for index, event in told if isinstance(event, Stats)]
    assert [index for index, _ in stats] == [50, 100]
    first, second = (event for _, event in stats)
    assert (first.at, first.frames, first.dropped, first.faces_in_view) == (Moment(50, 5.0), 51, 0, 1)
    assert first.fps_measured == pytest.approx(10.0)
    assert second.faces_in_view == 0


def test_an_empty_source_says_nothing() -> None:
    assert EventRecogniser("clip", FakeDetector()).finish() == []


def test_tally_counts_events_and_rejections(analyzers: list[FakeAnalyzer]) -> None:
    recogniser = EventRecogniser("clip", FakeDetector(LEFT, RIGHT))
    for index in range(5):
        recogniser.process(a_frame(index))
    assert (recogniser.tally.events, recogniser.tally.rejected) == (0, 0)
    recogniser.finish()
    assert (recogniser.tally.events, recogniser.tally.rejected, recogniser.tally.faces) == (0, 2, 2)


@pytest.mark.parametrize("found", ["window", "movement"])
def test_a_window_is_no_micro_expression(
    analyzers: list[FakeAnalyzer], monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    at, crop = Moment(0, 0.0), np.zeros((8, 8, 3), np.uint8)
    told: dict[str, MeEnd | FaceWindow] = {
        "window": FaceWindow("clip", 1, at, at, 8, 2.0, None),
        "movement": MeEnd("clip", 1, "f", Interval(at, at, at), "chin", 2.0, 5.0, None, True, 0.1),
    }
    unnamed = Unnamed(told[found], CropPair(crop, crop))
    monkeypatch.setattr(FakeAnalyzer, "push", lambda self, sample: [unnamed])
    recogniser = EventRecogniser("clip", FakeDetector())
    assert recogniser.observe(a_frame(0)).unnamed
    assert recogniser.tally.events == (found == "movement")


def test_constants_reach_the_analyzers_and_the_viewers(analyzers: list[FakeAnalyzer]) -> None:
    spot = SpotSpec(threshold=4.0, max_rise_s=0.3, max_fall_s=0.75)
    slide = SlideSpec(0.25)
    recogniser = EventRecogniser("clip", FakeDetector(), spec=PipelineSpec(spot=spot, slide=slide))
    recogniser.process(a_frame(0))
    assert analyzers[0].spot is spot and analyzers[0].slide is slide
    assert recogniser.threshold == 4.0
    assert recogniser.lookback_s == pytest.approx(1.8)
    assert recogniser.align == analyzers[0].align == PreprocessSpec().align


def test_crops_have_the_geometry_of_the_recognisers_bundle(analyzers: list[FakeAnalyzer]) -> None:
    align = AlignSpec(size_px=128, iod_px=60.0, eye_row_px=44.0)

    class OtherRunner:
        backend, device, labels, preprocess = "fake", "cpu", ("a", "b"), PreprocessSpec(align=align)

    runner = cast(Runner, OtherRunner())
    recogniser = EventRecogniser("clip", FakeDetector(), Recogniser(runner, Calibration(1.0, 0.5, None)))
    recogniser.process(a_frame(0))
    assert recogniser.align == analyzers[0].align == align
    assert analyzers[0].samples[0].patch.to_crop.shape == (2, 3)


def test_every_stage_of_every_frame_is_timed() -> None:
    clock = StageClock()
    recogniser = EventRecogniser("clip", FakeDetector(LEFT, RIGHT), clock=clock)
    for index in range(6):
        recogniser.process(a_frame(index))
    counts = {name: stage["count"] for name, stage in clock.report().items()}
    # At 30 frames/s every second frame has landmarks; there each face is followed on its own.
    assert counts == {"landmarks": 3, "follow": 3 * 2 + 3, "spot": 12}


def test_landmarks_come_in_every_frame_while_a_movement_is_followed(analyzers: list[FakeAnalyzer]) -> None:
    detector = FakeDetector(LEFT, RIGHT)  # the fake analyzer of the second face is always active
    recogniser = EventRecogniser("clip", detector)
    for index in range(6):
        recogniser.process(a_frame(index))
    assert detector.asked == list(range(6))


def test_a_face_that_cannot_be_followed_is_looked_for_at_once() -> None:
    detector = FakeDetector()
    recogniser = EventRecogniser("clip", detector)
    other: UInt8Array = np.random.default_rng(8).integers(0, 255, PIXELS.shape, dtype=np.uint8)
    for index in range(8):
        recogniser.process(replace(a_frame(index), pixels=other if index == 5 else PIXELS))
    assert detector.asked == [0, 2, 4, 5, 6]  # and frame 6, whose picture is another one again


def test_analyse_is_lazy() -> None:
    asked: list[int] = []

    def frames() -> Iterator[Frame]:
        for index in range(5):
            asked.append(index)
            yield a_frame(index)

    steps = analyse(frames(), EventRecogniser("clip", FakeDetector()))
    assert next(steps).frame.index == 0
    assert asked == [0]


# --- a portrait with two micro-expressions --------------------------------------------------------------------------

HIDDEN = (
    TrueEvent(TimeCourse(2.0, 2.17, 2.39), "surprise", (1, 2), 3.5),
    TrueEvent(TimeCourse(3.5, 3.68, 3.92), "happiness", (6, 12), 3.5),
)


def short_clip(events: tuple[TrueEvent, ...], fps: float) -> Iterator[Frame]:
    """4.4 s of the public-domain portrait."""
    portrait = framed(astronaut(), 480, 360, 100.0, (0.5, 0.42))
    renderer = SceneRenderer(portrait, Scene(duration_s=4.4, fps=fps, events=events, seed=5))
    for index, (t_s, pixels) in enumerate(renderer.frames()):
        yield Frame(pixels, index, t_s, 0.0, "clip")


def run(frames: Iterable[Frame]) -> list[Event]:
    with FaceMeshDetector(max_faces=1) as detector:
        recogniser = EventRecogniser("clip", detector)
        events = [event for frame in frames for event in recogniser.process(frame)]
        return [*events, *recogniser.finish()]


@functools.cache
def events_of_clip(events: tuple[TrueEvent, ...], fps: float) -> tuple[Event, ...]:
    return tuple(run(short_clip(events, fps)))


def lines(events: Sequence[Event]) -> list[str]:
    return [dumps(to_record(event, seq)) for seq, event in enumerate(events)]


@pytest.mark.parametrize("fps", [60.0, 30.0])
def test_hidden_micro_expressions_are_found_in_place(fps: float) -> None:
    found = [event for event in events_of_clip(HIDDEN, fps) if isinstance(event, MeEnd)]
    assert len(found) == len(HIDDEN)
    for event, truth in zip(found, HIDDEN, strict=True):
        span = (event.interval.onset.t_s, event.interval.offset.t_s)
        assert iou(span, (truth.course.onset_s, truth.course.offset_s)) >= 0.5
        assert abs(event.interval.apex.t_s - truth.course.apex_s) <= 0.035


def test_a_second_micro_expression_soon_after_the_first_is_found() -> None:
    pair = (
        replace(HIDDEN[0], course=TimeCourse(1.6, 1.77, 1.99)),
        replace(HIDDEN[1], course=TimeCourse(2.8, 2.98, 3.22)),
    )
    found = [event.interval for event in events_of_clip(pair, 30.0) if isinstance(event, MeEnd)]
    assert [round(interval.apex.t_s, 1) for interval in found] == [1.8, 3.0]


def test_nothing_is_found_where_nothing_is_hidden() -> None:
    events = events_of_clip((), 30.0)
    assert [event for event in events if event.type.startswith("me.")] == []
    assert [type(event) for event in events] == [FaceNew, FaceLost, Stats]


def test_the_same_frames_give_the_same_bytes() -> None:
    first = lines(events_of_clip(HIDDEN, 30.0))
    assert sum('"me.end"' in line for line in first) == 2
    assert lines(run(short_clip(HIDDEN, 30.0))) == first


def test_golden_events() -> None:
    events = [event for event in events_of_clip(HIDDEN, 60.0) if event.type.startswith("me.")]
    if os.environ.get(UPDATE) == "1":
        GOLDEN.write_text("".join(line + "\n" for line in lines(events)), encoding="utf-8")
    records = [json.loads(line) for line in lines(events)]
    golden = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
    assert [record["type"] for record in records] == [record["type"] for record in golden]
    for record, kept in zip(records, golden, strict=True):
        assert set(record) == set(kept)
        for name in ("schema", "seq", "id", "source", "face_id", "event_id", "region", "label", "abstain", "reasons"):
            assert record.get(name) == kept.get(name), name
        for name in ("at", "onset", "apex", "offset"):
            if name in kept:
                assert abs(record[name]["frame"] - kept[name]["frame"]) <= 1, name
                assert record[name]["t_s"] == pytest.approx(record[name]["frame"] / 60, abs=1e-6)
        if "magnitude_percent_iod" in kept:
            assert record["magnitude_percent_iod"] == pytest.approx(kept["magnitude_percent_iod"], rel=0.05)
