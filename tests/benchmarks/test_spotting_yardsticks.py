"""The offline yardsticks find what they are meant to find."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.factories import astronaut, make_sample
from tsfmicro.align import AlignSpec
from tsfmicro.benchmarks.spotting.inject import moved_face
from tsfmicro.benchmarks.spotting.yardsticks import METHODS, Peak, flow_peaks
from tsfmicro.intervals import iou
from tsfmicro.motion import face_patch
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.synthetic.timecourse import TimeCourse, TrueEvent

FPS, SECONDS = 30, 3
COURSE = TimeCourse(1.2, 1.4, 1.65)


def samples_of(amplitude_percent_iod: float) -> list[FaceSample]:
    """A portrait under sensor noise that raises its brows once."""
    portrait, rng = astronaut(), np.random.default_rng(0)
    event = TrueEvent(COURSE, "surprise", (1, 2), max(amplitude_percent_iod, 0.1))
    samples = []
    for i in range(FPS * SECONDS):
        pixels = portrait.pixels
        if amplitude_percent_iod:
            pixels = moved_face(pixels, portrait.landmarks_px, event, i / FPS)
        patch = face_patch(pixels, portrait.landmarks_px, AlignSpec())
        noisy = np.clip(patch.grey + rng.normal(0, 1.0, patch.grey.shape), 0, 255).astype(np.uint8)
        samples.append(replace(make_sample(i, i / FPS), patch=replace(patch, grey=noisy)))
    return samples


@pytest.mark.parametrize("method", METHODS)
def test_a_raised_brow_is_found(method: str) -> None:
    peaks = METHODS[method](samples_of(4.0))
    assert [iou((p.onset_s, p.offset_s), (COURSE.onset_s, COURSE.offset_s)) >= 0.5 for p in peaks] == [True]
    assert peaks[0].apex_s == pytest.approx(COURSE.apex_s, abs=0.15)


def test_flow_names_the_region_and_measures_it() -> None:
    (peak,) = flow_peaks(samples_of(4.0))
    assert "brow" in peak.region
    assert 1.5 < peak.size < 5.0
    assert peak.apex_s == pytest.approx(COURSE.apex_s, abs=1.5 / FPS)


def test_flow_finds_nothing_on_a_still_face() -> None:
    assert flow_peaks(samples_of(0.0)) == []


def test_flow_takes_the_heads_motion_off() -> None:
    still = samples_of(0.0)
    shaken = []
    for sample in still:
        shift = 4.0 * max(0.0, 1 - abs(sample.moment.t_s - COURSE.apex_s) / 0.2)
        to = np.array([[1.0, 0.0, shift], [0.0, 1.0, 0.0]])
        grey = np.asarray(cv2.warpAffine(sample.patch.grey, to, (224, 224), borderMode=cv2.BORDER_REPLICATE), np.uint8)
        shaken.append(replace(sample, patch=replace(sample.patch, grey=grey)))
    assert flow_peaks(shaken) == []


def test_peaks_hold_their_order() -> None:
    for find in METHODS.values():
        for peak in find(samples_of(4.0)):
            assert isinstance(peak, Peak)
            assert peak.onset_s <= peak.apex_s <= peak.offset_s
