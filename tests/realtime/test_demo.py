"""The clip behind ``demo:``: the same on every run, with a truth that holds."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest

from tsfmicro.intervals import iou
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.realtime.events import MeEnd
from tsfmicro.realtime.gates import GateSpec
from tsfmicro.realtime.pipeline import EventRecogniser, analyse
from tsfmicro.realtime.sources import Source
from tsfmicro.realtime.sources.demo import DemoSource, demo_scene
from tsfmicro.realtime.spot import SpotSpec

CLASSES = ("disgust", "happiness", "others", "repression", "surprise")
SEEDS = [20, 100, 101, 102, 103]  # demo: itself, and the first of tsf-bench event


def test_it_is_a_source() -> None:
    with DemoSource() as source:
        assert isinstance(source, Source)
        assert (source.name, source.live, source.skipped) == ("demo:", False, 0)
        assert source.expected_duration_s == 24.0
        assert source.expected_frames == 1440
        frames = list(islice(source.frames(), 4))
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.t_s for frame in frames] == pytest.approx([0, 1 / 60, 2 / 60, 3 / 60])
    assert {frame.source for frame in frames} == {"demo:"}
    assert {frame.pixels.shape for frame in frames} == {(480, 640, 3)}
    assert (np.diff([frame.captured_s for frame in frames]) >= 0).all()


def test_the_same_bytes_every_time() -> None:
    first, second = (list(islice(DemoSource().frames(), 3)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.pixels.tobytes() == other.pixels.tobytes()
    assert first[0].pixels.tobytes() != first[1].pixels.tobytes()


def test_another_seed_is_another_clip() -> None:
    assert demo_scene(20) == demo_scene()
    assert demo_scene(20).events != demo_scene(21).events


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_events_two_of_each_class(seed: int) -> None:
    source = DemoSource(seed)
    assert sorted(event.emotion for event in source.truth) == sorted(CLASSES * 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_events_lie_inside_the_clip_apart_from_each_other_and_look_like_micro_expressions(seed: int) -> None:
    spot, gates = SpotSpec(), GateSpec()
    truth = DemoSource(seed).truth
    assert truth[0].course.onset_s > spot.calibration_s + spot.max_rise_s
    assert truth[-1].course.offset_s < demo_scene(seed).duration_s - spot.lag_s
    for earlier, later in pairwise(truth):
        assert later.course.onset_s - earlier.course.offset_s > spot.max_rise_s
    for event in truth:
        assert event.course.apex_s - event.course.onset_s < gates.max_onset_phase_s
        assert event.course.offset_s - event.course.onset_s <= 0.5 + 1e-9
        assert 2.0 <= event.amplitude_percent_iod <= 5.0


@pytest.mark.parametrize("seed", SEEDS)
def test_there_are_blinks_and_none_is_near_an_event(seed: int) -> None:
    scene, margin_s = demo_scene(seed), GateSpec().blink_margin_s
    assert len(scene.blinks) == 6
    for blink in scene.blinks:
        assert 0 < blink.start_s < scene.duration_s - blink.duration_s
        assert blink.closure(blink.start_s + 0.4 * blink.duration_s) == 1.0
        for event in scene.events:
            assert (
                blink.start_s + blink.duration_s + margin_s < event.course.onset_s
                or blink.start_s - margin_s > event.course.offset_s
            )


def test_the_first_event_is_found() -> None:
    source = DemoSource()
    first = source.truth[0].course
    with FaceMeshDetector(max_faces=1) as detector:
        recogniser = EventRecogniser(source.name, detector)
        steps = analyse(islice(source.frames(), 180), recogniser)
        events = [event for step in steps for event in step.events]
    (found,) = [event for event in events if isinstance(event, MeEnd)]
    assert iou((found.interval.onset.t_s, found.interval.offset.t_s), (first.onset_s, first.offset_s)) >= 0.5
    assert abs(found.interval.apex.t_s - first.apex_s) <= 0.035
