"""One face: what the spotter says becomes findings, judged once; what passes waits for its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.factories import astronaut, make_finished, make_sample, make_samples
from tsfmicro.align import AlignSpec, crop_transform
from tsfmicro.motion import MOTION_POINTS, REGIONS, Displacement, FacePatch
from tsfmicro.preprocess import Preprocessor, PreprocessSpec
from tsfmicro.realtime import analyzer as module
from tsfmicro.realtime.analyzer import FaceAnalyzer, Finding, Unnamed, event_crops
from tsfmicro.realtime.confidence import shipped_scorer
from tsfmicro.realtime.events import MeApex, MeEnd, MeRejected, MeStart
from tsfmicro.realtime.gates import GateSpec
from tsfmicro.realtime.look import Look
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.spot import ApexConfirmed, Finished, Signal, SpotSpec, Started
from tsfmicro.values import Float64Array, Moment, UInt8Array

STILL: Float64Array = np.eye(2, 3)
SAMPLES = make_samples(60.0, 1.0)


class ScriptedSpotter:
    """Says what it was told to say."""

    said: Sequence[Signal] = ()
    score, active, calibrated = 4.5, True, True

    def __init__(
        self,
        spec: SpotSpec,
        align: AlignSpec,
        candidates: int = 0,
        merit: Callable[[Finished], float] | None = None,
        patterns: Float64Array | None = None,
    ) -> None:
        assert patterns is shipped_scorer().patterns
        self.merit = merit
        self.candidates = candidates + len(self.said)

    def push(self, sample: FaceSample) -> Sequence[Signal]:
        return self.said

    def flush(self) -> Sequence[Signal]:
        return self.said


Measured = list[tuple[FacePatch, FacePatch]]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[FacePatch, FacePatch]]:
    """Patches that were compared; every head stands still."""
    pairs: list[tuple[FacePatch, FacePatch]] = []

    def still(reference: FacePatch, current: FacePatch, align: AlignSpec) -> Displacement:
        pairs.append((reference, current))
        return Displacement(np.zeros(len(REGIONS)), STILL, 0.0)

    monkeypatch.setattr(module, "FaceSpotter", ScriptedSpotter)
    monkeypatch.setattr(module, "displacement", still)
    return pairs


def findings_of(
    monkeypatch: pytest.MonkeyPatch, *signals: Signal, preprocessor: Preprocessor | None = None, flush: bool = False
) -> list[Finding]:
    monkeypatch.setattr(ScriptedSpotter, "said", signals)
    analyzer = FaceAnalyzer("clip", 12, AlignSpec(), SpotSpec(), GateSpec(), preprocessor)
    assert (analyzer.score, analyzer.active) == (4.5, True)
    return analyzer.flush() if flush else analyzer.push(make_sample(0, 0.0))


def test_a_face_that_is_learnt_again_ends_what_goes_on_and_counts_on(
    monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    monkeypatch.setattr(ScriptedSpotter, "said", (Started(1, SAMPLES[0].moment, 3.0, "chin"),))
    analyzer = FaceAnalyzer("clip", 12, AlignSpec(), SpotSpec(), GateSpec(), None)
    before = analyzer._spotter
    assert [type(found) for found in analyzer.recalibrate()] == [MeStart]
    assert analyzer._spotter is not before and analyzer._spotter.candidates == 2


def test_start_and_apex_carry_the_candidate_and_the_lookahead(
    monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    started = Started(7, Moment(20, 0.33), 3.5, "right_brow")
    apex = ApexConfirmed(7, Moment(18, 0.30), Moment(24, 0.40), Moment(30, 0.50))
    events = findings_of(monkeypatch, started, apex)
    assert events[0] == MeStart("clip", 12, "f012-00007", Moment(20, 0.33), 3.5, "right_brow")
    assert isinstance(events[1], MeApex)
    assert (events[1].event_id, events[1].onset, events[1].apex) == ("f012-00007", Moment(18, 0.30), Moment(24, 0.40))
    assert events[1].lookahead_s == pytest.approx(0.1)
    assert not measured


def test_a_good_movement_ends_as_an_event(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> None:
    finished = make_finished(SAMPLES)
    (event,) = findings_of(monkeypatch, finished)
    assert isinstance(event, MeEnd)
    assert (event.source, event.face_id, event.event_id) == ("clip", 12, "f012-00001")
    assert event.interval == finished.interval
    assert (event.region, event.magnitude, event.score) == (finished.region, finished.magnitude, finished.score)
    assert event.lookahead_s == pytest.approx(1.0 - 0.7, abs=0.01)
    assert (event.recognition, event.calibrated) == (None, False)


def test_the_apex_is_judged_against_the_onset(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> None:
    finished = make_finished(SAMPLES)
    findings_of(monkeypatch, finished)
    ((reference, current),) = measured
    assert reference is finished.sample_at(finished.interval.onset).patch
    assert current is finished.sample_at(finished.interval.apex).patch


def test_what_another_movement_tells_better_says_so_and_is_measured_once(
    monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    finished = make_finished(SAMPLES)
    monkeypatch.setattr(ScriptedSpotter, "said", (replace(finished, overshadowed=True),))
    analyzer = FaceAnalyzer("clip", 12, AlignSpec(), SpotSpec(), GateSpec(), None)
    spotter = analyzer._spotter
    assert isinstance(spotter, ScriptedSpotter) and spotter.merit is not None
    assert spotter.merit(finished) == -1.0  # nothing is known of its shape
    (event,) = analyzer.push(make_sample(0, 0.0))
    assert isinstance(event, MeRejected) and event.reasons == ("same_movement",)
    assert len(measured) == 1
    analyzer.push(make_sample(1, 0.1))
    assert len(measured) == 2


def test_movements_of_one_onset_and_apex_are_measured_once(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> None:
    first = make_finished(SAMPLES)
    again = replace(first, candidate=2)
    monkeypatch.setattr(ScriptedSpotter, "said", (first, again))
    analyzer = FaceAnalyzer("clip", 12, AlignSpec(), SpotSpec(), GateSpec(), None)
    spotter = analyzer._spotter
    assert isinstance(spotter, ScriptedSpotter) and spotter.merit is not None
    spotter.merit(first)
    spotter.merit(again)
    assert len(measured) == 1
    analyzer.push(make_sample(0, 0.0))
    assert len(measured) == 1


def test_a_movement_is_not_reported_twice(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> None:
    first, again = make_finished(SAMPLES), replace(make_finished(SAMPLES), candidate=2)
    events = findings_of(monkeypatch, first, again)
    assert [type(event) for event in events] == [MeEnd, MeRejected]
    assert isinstance(events[1], MeRejected) and events[1].reasons == ("same_movement",)
    rejected, then = replace(first, returned=False), replace(again, candidate=3)
    assert [type(event) for event in findings_of(monkeypatch, rejected, then)] == [MeRejected, MeEnd]


@pytest.mark.parametrize("flush", [False, True])
def test_a_movement_that_did_not_return_is_rejected_and_never_recognised(
    monkeypatch: pytest.MonkeyPatch, measured: Measured, flush: bool
) -> None:
    named = Preprocessor(PreprocessSpec())
    (event,) = findings_of(monkeypatch, make_finished(SAMPLES, returned=False), preprocessor=named, flush=flush)
    assert isinstance(event, MeRejected)
    assert event.reasons == ("no_return",)
    assert event.evidence["fps_measured"] == pytest.approx(60.0)


def test_an_event_to_be_named_waits_with_its_crops(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> None:
    finished, preprocessor = make_finished(SAMPLES), Preprocessor(PreprocessSpec())
    (found,) = findings_of(monkeypatch, finished, preprocessor=preprocessor)
    assert isinstance(found, Unnamed) and isinstance(found.event, MeEnd)
    assert (found.event.interval, found.event.magnitude) == (finished.interval, finished.magnitude)
    assert (found.event.recognition, found.event.calibrated) == (None, True)
    onset, apex = (finished.sample_at(at) for at in (finished.interval.onset, finished.interval.apex))
    wanted = event_crops(onset, apex, Displacement(np.zeros(len(REGIONS)), STILL, 0.0), preprocessor)
    assert (found.crops.onset == wanted.onset).all() and (found.crops.apex == wanted.apex).all()


# --- the crops ------------------------------------------------------------------------------------------------------

SHIFT_PX = (9.0, -6.0)


def a_sample(pixels: UInt8Array, to_crop: Float64Array) -> FaceSample:
    patch = FacePatch(np.zeros((32, 32), np.uint8), to_crop, np.zeros((len(MOTION_POINTS), 2), np.float32))
    return FaceSample(Moment(0, 0.0), patch, pixels, to_crop, (0.0, 0.0), 100.0, Look(0.3, 0.0, 0.0, 0.0))


def test_apex_crop_is_held_on_the_onset_by_the_measured_motion() -> None:
    portrait = astronaut()
    spec = PreprocessSpec()
    to_crop = crop_transform(portrait.landmarks_px, spec.align)
    height, width = portrait.pixels.shape[:2]
    moving = np.array([[1.0, 0.0, SHIFT_PX[0]], [0.0, 1.0, SHIFT_PX[1]]])
    moved_pixels = np.asarray(cv2.warpAffine(portrait.pixels, moving, (width, height)), dtype=np.uint8)
    in_crop = np.column_stack([np.eye(2), to_crop[:, :2] @ np.array(SHIFT_PX)])
    onset = a_sample(portrait.pixels, to_crop)
    apex = a_sample(moved_pixels, to_crop)  # its own landmarks saw nothing of the head's motion

    def difference(rigid: Float64Array) -> float:
        pair = event_crops(onset, apex, Displacement(np.zeros(len(REGIONS)), rigid, 0.0), Preprocessor(spec))
        inner = slice(40, 184)  # what a shift brings in at the border is another matter
        return float(np.abs(pair.onset[inner, inner].astype(int) - pair.apex[inner, inner].astype(int)).mean())

    assert difference(in_crop) < 0.5
    assert difference(STILL) > 5.0


def test_crops_come_from_the_camera_pixels_in_one_step() -> None:
    portrait = astronaut()
    spec = PreprocessSpec()
    sample = a_sample(portrait.pixels, crop_transform(portrait.landmarks_px, spec.align))
    pair = event_crops(sample, sample, Displacement(np.zeros(len(REGIONS)), STILL, 0.0), Preprocessor(spec))
    straight = Preprocessor(spec).crop_pair(
        portrait.pixels, sample.pixels_to_crop, portrait.pixels, sample.pixels_to_crop
    )
    assert (pair.onset == straight.onset).all()
    assert np.abs(pair.apex.astype(int) - pair.onset.astype(int)).max() <= 2  # rounding of the inverse
