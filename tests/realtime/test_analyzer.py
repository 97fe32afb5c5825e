"""One face: what the spotter says becomes events, judged once and recognised once."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import cv2
import numpy as np
import pytest

from tests.factories import astronaut, make_finished, make_sample, make_samples
from tsfmicro.align import AlignSpec, crop_transform
from tsfmicro.bundle import Calibration
from tsfmicro.motion import MOTION_POINTS, REGIONS, Displacement, FacePatch
from tsfmicro.preprocess import Preprocessor, PreprocessSpec
from tsfmicro.realtime import analyzer as module
from tsfmicro.realtime.analyzer import FaceAnalyzer, event_crops
from tsfmicro.realtime.events import Event, MeApex, MeEnd, MeRejected, MeStart
from tsfmicro.realtime.gates import GateSpec
from tsfmicro.realtime.look import Look
from tsfmicro.realtime.recognise import LOW_MAGNITUDE, Recogniser
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.spot import ApexConfirmed, Signal, SpotSpec, Started
from tsfmicro.runners import RunnerOutput
from tsfmicro.values import Float64Array, Moment, UInt8Array

STILL: Float64Array = np.eye(2, 3)
LABELS = ("happiness", "disgust")
SAMPLES = make_samples(60.0, 1.0)


class ScriptedSpotter:
    """Says what it was told to say."""

    said: Sequence[Signal] = ()
    score, active = 4.5, True

    def __init__(self, spec: SpotSpec, align: AlignSpec) -> None:
        pass

    def push(self, sample: FaceSample) -> Sequence[Signal]:
        return self.said

    def flush(self) -> Sequence[Signal]:
        return self.said


class FakeRunner:
    backend, device, labels, preprocess = "fake", "cpu", LABELS, PreprocessSpec()

    def __init__(self) -> None:
        self.asked: list[tuple[UInt8Array, UInt8Array]] = []

    def infer(self, onset: UInt8Array, apex: UInt8Array) -> RunnerOutput:
        self.asked.append((onset, apex))
        probabilities = np.array([[0.9, 0.1]], dtype=np.float32)
        return RunnerOutput(probabilities, np.log(probabilities))

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


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


def events_of(
    monkeypatch: pytest.MonkeyPatch, *signals: Signal, recogniser: Recogniser | None = None, flush: bool = False
) -> list[Event]:
    monkeypatch.setattr(ScriptedSpotter, "said", signals)
    analyzer = FaceAnalyzer("clip", 12, AlignSpec(), SpotSpec(), GateSpec(), recogniser)
    assert (analyzer.score, analyzer.active) == (4.5, True)
    return analyzer.flush() if flush else analyzer.push(make_sample(0, 0.0))


Measured = list[tuple[FacePatch, FacePatch]]


def test_start_and_apex_carry_the_candidate_and_the_lookahead(
    monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    started = Started(7, Moment(20, 0.33), 3.5, "right_brow")
    apex = ApexConfirmed(7, Moment(18, 0.30), Moment(24, 0.40), Moment(30, 0.50))
    events = events_of(monkeypatch, started, apex)
    assert events[0] == MeStart("clip", 12, "f012-00007", Moment(20, 0.33), 3.5, "right_brow")
    assert isinstance(events[1], MeApex)
    assert (events[1].event_id, events[1].onset, events[1].apex) == ("f012-00007", Moment(18, 0.30), Moment(24, 0.40))
    assert events[1].lookahead_s == pytest.approx(0.1)
    assert not measured


def test_a_good_movement_ends_as_an_event(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> None:
    finished = make_finished(SAMPLES)
    (event,) = events_of(monkeypatch, finished)
    assert isinstance(event, MeEnd)
    assert (event.source, event.face_id, event.event_id) == ("clip", 12, "f012-00001")
    assert event.interval == finished.interval
    assert (event.region, event.magnitude, event.score) == (finished.region, finished.magnitude, finished.score)
    assert event.lookahead_s == pytest.approx(1.0 - 0.7, abs=0.01)
    assert (event.recognition, event.calibrated) == (None, False)


def test_the_apex_is_judged_against_the_onset(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> None:
    finished = make_finished(SAMPLES)
    events_of(monkeypatch, finished)
    ((reference, current),) = measured
    assert reference is finished.sample_at(finished.interval.onset).patch
    assert current is finished.sample_at(finished.interval.apex).patch


@pytest.mark.parametrize("flush", [False, True])
def test_a_movement_that_did_not_return_is_rejected_and_never_recognised(
    monkeypatch: pytest.MonkeyPatch, measured: Measured, flush: bool
) -> None:
    runner = FakeRunner()
    recogniser = Recogniser(runner, Calibration(1.0, 0.5, None))
    (event,) = events_of(monkeypatch, make_finished(SAMPLES, returned=False), recogniser=recogniser, flush=flush)
    assert isinstance(event, MeRejected)
    assert event.reasons == ("no_return",)
    assert event.evidence["fps_measured"] == pytest.approx(60.0)
    assert runner.asked == []


@pytest.mark.parametrize(("smallest", "reasons"), [(None, ()), (2.0, ()), (5.0, (LOW_MAGNITUDE,))])
def test_an_event_is_recognised_once_with_its_own_magnitude(
    monkeypatch: pytest.MonkeyPatch, measured: Measured, smallest: float | None, reasons: tuple[str, ...]
) -> None:
    runner = FakeRunner()
    recogniser = Recogniser(runner, Calibration(1.0, 0.5, smallest))
    (event,) = events_of(monkeypatch, make_finished(SAMPLES), recogniser=recogniser)  # magnitude 3
    assert isinstance(event, MeEnd) and event.recognition is not None
    assert event.recognition.top_label == "happiness" and event.recognition.abstain == reasons
    assert event.calibrated
    assert len(runner.asked) == 1
    assert runner.asked[0][0].shape == (1, 224, 224, 3)


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
