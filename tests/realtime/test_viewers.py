"""What a viewer is told, when, and what it says about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from tests.factories import make_frame
from tsfmicro.realtime import viewers
from tsfmicro.realtime.dynamic_images import DynamicImages
from tsfmicro.realtime.events import SAME_MOVEMENT, Event, FaceNew, MeEnd, MeRejected
from tsfmicro.realtime.overlay import FaceMark
from tsfmicro.realtime.pipeline import FaceView, Step
from tsfmicro.realtime.timeline import Span, Trace
from tsfmicro.realtime.viewers import (
    IMAGE_HOLD_S,
    LABEL_HOLD_S,
    TRACE_S,
    HindsightVideo,
    ScoreTraces,
    TimelineViewer,
    event_caption,
    footer_of,
    movements,
)
from tsfmicro.synthetic.timecourse import TimeCourse, TrueEvent
from tsfmicro.values import Interval, Moment, Recognition, UInt8Array

FPS = 25.0
LOOKBACK_S = 1.45
THRESHOLD = 2.5
BOX = (10.0, 10.0, 60.0, 60.0)
SURE = Recognition({"happiness": 0.87, "disgust": 0.13}, ())
UNSURE = Recognition({"happiness": 0.35, "disgust": 0.65}, ("low_probability",))


def at(index: int) -> Moment:
    return Moment(index, index / FPS)


def an_end(
    frames: tuple[int, int, int] = (50, 54, 60), face_id: int = 1, recognition: Recognition | None = SURE
) -> MeEnd:
    return MeEnd(
        source="test",
        face_id=face_id,
        event_id="f001-00001",
        interval=Interval(at(frames[0]), at(frames[1]), at(frames[2])),
        region="left_brow",
        magnitude=3.0,
        score=8.0,
        recognition=recognition,
        calibrated=True,
        lookahead_s=0.1,
    )


def a_rejection(frames: tuple[int, int, int] = (50, 54, 60), face_id: int = 1) -> MeRejected:
    return MeRejected(
        source="test",
        face_id=face_id,
        event_id="f001-00001",
        interval=Interval(at(frames[0]), at(frames[1]), at(frames[2])),
        region="left_brow",
        magnitude=3.0,
        score=8.0,
        reasons=("slow_onset", "head_motion"),
        evidence={},
    )


def a_step(index: int, events: Sequence[Event] = (), faces: tuple[int, ...] = (1,), score: float = 0.5) -> Step:
    frame = make_frame(np.full((90, 120, 3), index % 200, dtype=np.uint8), index, index / FPS)
    return Step(frame, tuple(FaceView(i, BOX, score, False) for i in faces), tuple(events))


@dataclass
class Drawn:
    """Everything that reached the overlay and the writer."""

    frames: list[int] = field(default_factory=list)
    marks: list[list[FaceMark]] = field(default_factory=list)
    footers: list[str] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)
    closed: int = 0

    def captions(self, face: int = 0) -> dict[int, str]:
        return {frame: marks[face].caption for frame, marks in zip(self.frames, self.marks, strict=True)}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    seen = Drawn()

    class Writer:
        def __init__(self, path: str | Path) -> None:
            pass

        def write(self, pixels: UInt8Array, t_s: float) -> None:
            seen.times_s.append(t_s)
            seen.pictures.append(int(pixels[0, 0, 0]))

        def close(self) -> None:
            seen.closed += 1

    def overlay(pixels: UInt8Array, marks: Sequence[FaceMark], footer: str) -> UInt8Array:
        seen.marks.append(list(marks))
        seen.footers.append(footer)
        seen.frames.append(int(footer.partition("frame ")[2].split()[0]))
        return pixels

    monkeypatch.setattr(viewers, "AnnotatedVideoWriter", Writer)
    monkeypatch.setattr(viewers, "draw", overlay)
    return seen


def play(video: HindsightVideo, frames: int, told: dict[int, Event]) -> None:
    for index in range(frames):
        video.see(a_step(index, [told[index]] if index in told else []))


# --- captions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "caption"),
    [
        (an_end(), "happiness 87%"),
        (an_end(recognition=UNSURE), "unsure: disgust 65%"),
        (an_end(recognition=None), "micro-expression"),
        (a_rejection(), "rejected: slow onset, head motion"),
    ],
)
def test_an_event_in_words(event: MeEnd | MeRejected, caption: str) -> None:
    assert event_caption(event) == caption


def test_footer_names_source_time_and_frame() -> None:
    frame = replace(a_step(31).frame, source="/home/me/films/clip.mp4")
    assert footer_of(frame) == "1.240 s   frame 31   clip.mp4"


def test_traces_keep_the_last_seconds_and_forget_who_left() -> None:
    traces = ScoreTraces(THRESHOLD)
    for index in range(200):
        traces.add(a_step(index, faces=(1, 2) if index < 50 else (1,), score=float(index)))
    kept = traces.mark(FaceView(1, BOX, 0.0, False), "idle", "face 1")
    assert kept.trace[-1] == 199 and kept.threshold == THRESHOLD
    assert len(kept.trace) == round(TRACE_S * FPS) + 1
    assert traces.mark(FaceView(2, BOX, 0.0, False), "idle", "face 2").trace == ()
    assert list(traces._scores) == [1]


# --- the video ------------------------------------------------------------------------------------------------------


def test_every_frame_is_written_once_in_order_at_its_time(drawn: Drawn) -> None:
    video = HindsightVideo("out.mp4", THRESHOLD, LOOKBACK_S)
    play(video, 150, {65: an_end()})
    video.finish([])
    video.close()
    assert drawn.frames == list(range(150))
    assert drawn.times_s == [index / FPS for index in range(150)]
    assert drawn.pictures == [index % 200 for index in range(150)]
    assert drawn.closed == 1


def test_captions_around_an_event_that_was_only_told_afterwards(drawn: Drawn) -> None:
    video = HindsightVideo("out.mp4", THRESHOLD, LOOKBACK_S)
    play(video, 150, {65: an_end((50, 54, 60))})
    video.finish([])
    captions = drawn.captions()
    states = {frame: marks[0].state for frame, marks in zip(drawn.frames, drawn.marks, strict=True)}
    last_held = 60 + int(LABEL_HOLD_S * FPS)
    expected = {
        **dict.fromkeys(range(50), "face 1"),
        50: "happiness 87%  ONSET",
        **dict.fromkeys(range(51, 54), "happiness 87%  rising"),
        54: "happiness 87%  APEX",
        **dict.fromkeys(range(55, 60), "happiness 87%  falling"),
        60: "happiness 87%  OFFSET",
        **dict.fromkeys(range(61, last_held + 1), "happiness 87%"),
        **dict.fromkeys(range(last_held + 1, 150), "face 1"),
    }
    assert captions == expected
    assert [frame for frame, state in states.items() if state == "event"] == list(range(50, 61))


def test_a_rejection_is_marked_as_one(drawn: Drawn) -> None:
    video = HindsightVideo("out.mp4", THRESHOLD, LOOKBACK_S)
    play(video, 120, {65: a_rejection((50, 54, 60))})
    video.finish([])
    captions = drawn.captions()
    assert captions[50] == captions[54] == captions[60] == "rejected: slow onset, head motion"
    assert captions[49] == "face 1"
    assert drawn.marks[54][0].state == "rejected"


def test_a_movement_that_another_event_tells_of_is_not_shown_twice(drawn: Drawn) -> None:
    twin = replace(a_rejection(), reasons=(SAME_MOVEMENT,))
    video = HindsightVideo("out.mp4", THRESHOLD, LOOKBACK_S)
    play(video, 120, {65: twin})
    video.finish([])
    assert set(drawn.captions().values()) == {"face 1"}
    assert movements([twin, an_end(), a_rejection()]) == [an_end(), a_rejection()]


def test_what_was_found_goes_before_what_was_rejected_at_the_same_time(drawn: Drawn) -> None:
    video = HindsightVideo("out.mp4", THRESHOLD, LOOKBACK_S)
    play(video, 120, {65: an_end(), 66: a_rejection()})
    video.finish([])
    captions = drawn.captions()
    assert captions[54] == "happiness 87%  APEX"
    assert not any("rejected" in caption for caption in captions.values())


def test_an_event_marks_only_its_own_face(drawn: Drawn) -> None:
    video = HindsightVideo("out.mp4", THRESHOLD, LOOKBACK_S)
    for index in range(100):
        video.see(a_step(index, [an_end(face_id=2)] if index == 65 else [], faces=(1, 2)))
    video.finish([])
    assert drawn.captions(0)[54] == "face 1"
    assert drawn.captions(1)[54] == "happiness 87%  APEX"


def test_a_label_that_is_still_held_makes_room_for_the_next_event(drawn: Drawn) -> None:
    video = HindsightVideo("out.mp4", THRESHOLD, LOOKBACK_S)
    play(video, 120, {65: a_rejection((50, 54, 60)), 85: an_end((68, 72, 80))})
    video.finish([])
    assert drawn.captions()[72] == "happiness 87%  APEX"


def with_image(level: int = 9, event_id: str = "f001-00001") -> DynamicImages:
    images = DynamicImages()
    images.keep(("test", event_id), np.full((64, 64), level / 255, np.float32))
    return images


def shown_in(drawn: Drawn, face: int = 0) -> list[int]:
    """Frames whose mark of a face has a dynamic image."""
    return [f for f, marks in zip(drawn.frames, drawn.marks, strict=True) if marks[face].dynamic_image is not None]


def test_a_dynamic_image_is_shown_with_its_event_and_for_a_while_after_it(drawn: Drawn) -> None:
    video = HindsightVideo("out.mp4", THRESHOLD, LOOKBACK_S, with_image(9))
    for index in range(200):
        video.see(a_step(index, [an_end((50, 54, 60))] if index == 65 else [], faces=(1, 2)))
    video.finish([])
    assert shown_in(drawn) == list(range(50, 60 + int(IMAGE_HOLD_S * FPS) + 1))
    image = drawn.marks[54][0].dynamic_image
    assert image is not None and (image == 9).all()
    assert shown_in(drawn, face=1) == []


@pytest.mark.parametrize("images", [None, with_image(event_id="f001-00002")])
def test_where_nothing_was_drawn_nothing_is_shown(drawn: Drawn, images: DynamicImages | None) -> None:
    video = HindsightVideo("out.mp4", THRESHOLD, LOOKBACK_S, images)
    play(video, 150, {65: an_end((50, 54, 60))})
    video.finish([])
    assert drawn.captions()[54] == "happiness 87%  APEX" and shown_in(drawn) == []


def test_a_later_movement_takes_the_dynamic_image_away_and_one_beside_it_does_not(drawn: Drawn) -> None:
    video = HindsightVideo("out.mp4", THRESHOLD, LOOKBACK_S, with_image())
    beside, later = a_rejection((52, 55, 59)), a_rejection((75, 80, 85))
    play(video, 200, {65: an_end((50, 54, 60)), 66: beside, 90: later})
    video.finish([])
    assert shown_in(drawn) == list(range(50, 75))


def test_frames_wait_no_longer_than_the_lookback(drawn: Drawn) -> None:
    video = HindsightVideo("out.mp4", THRESHOLD, LOOKBACK_S)
    most = 0
    for index in range(200):
        video.see(a_step(index))
        waiting = index + 1 - len(drawn.frames)
        most = max(most, waiting)
        oldest_s = len(drawn.frames) / FPS
        assert index / FPS - oldest_s <= LOOKBACK_S
    assert most == int(LOOKBACK_S * FPS) + 1  # and it does wait that long, or hindsight would be lost


def test_finish_writes_what_waits_with_what_the_end_told(drawn: Drawn) -> None:
    video = HindsightVideo("out.mp4", THRESHOLD, LOOKBACK_S)
    play(video, 62, {})
    assert len(drawn.frames) < 50
    video.finish([an_end((50, 54, 60))])
    assert drawn.frames == list(range(62))
    assert drawn.captions()[54] == "happiness 87%  APEX"
    video.finish([])
    assert len(drawn.frames) == 62


def test_old_events_are_forgotten(drawn: Drawn) -> None:
    video = HindsightVideo("out.mp4", THRESHOLD, LOOKBACK_S)
    for index in range(600):
        told = [an_end((index - 15, index - 11, index - 5))] if index % 20 == 0 and index >= 20 else []
        video.see(a_step(index, told))
    assert len(video._known) < 12


def test_a_real_file_comes_out(tmp_path: Path) -> None:
    from tsfmicro.realtime.sources import FileSource

    path = tmp_path / "out.mp4"
    video = HindsightVideo(path, THRESHOLD, LOOKBACK_S)
    play(video, 45, {30: an_end((10, 14, 20))})
    video.finish([])
    video.close()
    video.close()  # may be called twice
    with FileSource(path) as source:
        times = [frame.t_s for frame in source.frames()]
    assert times == pytest.approx([index / FPS for index in range(45)], abs=1e-4)


# --- the timeline ---------------------------------------------------------------------------------------------------


@dataclass
class Written:
    traces: list[Trace] = field(default_factory=list)
    events: list[Span] = field(default_factory=list)
    truth: list[Span] | None = None
    title: str = ""
    calls: int = 0


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    got = Written()

    def write(
        path: str | Path, traces: Sequence[Trace], events: Sequence[Span], truth: Sequence[Span] | None, title: str
    ) -> None:
        got.traces, got.events, got.title = list(traces), list(events), title
        got.truth = None if truth is None else list(truth)
        got.calls += 1

    monkeypatch.setattr(viewers, "write_timeline", write)
    return got


def test_timeline_collects_scores_spans_and_truth(written: Written) -> None:
    truth = [TrueEvent(TimeCourse(2.0, 2.2, 2.4), "surprise", (1, 2), 3.0)]
    viewer = TimelineViewer("out.png", THRESHOLD, truth, "clip")
    unrelated = FaceNew("test", 1, at(0), 100.0)
    script: dict[int, list[Event]] = {0: [unrelated], 65: [an_end()], 90: [an_end((80, 84, 88), recognition=UNSURE)]}
    for index in range(100):
        told = script.get(index, [])
        viewer.see(a_step(index, told, faces=(2, 1) if index < 40 else (1,), score=float(index)))
    viewer.finish([a_rejection((91, 94, 99)), an_end((92, 94, 98), recognition=None)])
    viewer.close()
    assert written.calls == 1 and written.title == "clip"
    assert [trace.face_id for trace in written.traces] == [1, 2]
    assert list(written.traces[0].score) == [float(index) for index in range(100)]
    assert list(written.traces[1].t_s) == [index / FPS for index in range(40)]
    assert written.traces[0].threshold == THRESHOLD
    assert written.events == [
        Span(1, 50 / FPS, 54 / FPS, 60 / FPS, "happiness", "event", "0.87"),
        Span(1, 80 / FPS, 84 / FPS, 88 / FPS, "unsure", "event", "0.65"),
        Span(1, 91 / FPS, 94 / FPS, 99 / FPS, "rejected", "rejected", "slow_onset, head_motion"),
        Span(1, 92 / FPS, 94 / FPS, 98 / FPS, "movement", "event", ""),
    ]
    assert written.truth == [Span(1, 2.0, 2.2, 2.4, "surprise", "truth", "")]


def test_timeline_without_faces_or_truth(written: Written) -> None:
    viewer = TimelineViewer("out.png", THRESHOLD, (), "clip")
    viewer.see(a_step(0, faces=()))
    viewer.finish([])
    assert (written.traces, written.events, written.truth) == ([], [], None)


def test_a_real_picture_comes_out(tmp_path: Path) -> None:
    viewer = TimelineViewer(tmp_path / "new" / "out.png", THRESHOLD, (), "clip")
    for index in range(100):
        viewer.see(a_step(index, [an_end()] if index == 65 else []))
    viewer.finish([])
    assert (tmp_path / "new" / "out.png").read_bytes().startswith(b"\x89PNG")
