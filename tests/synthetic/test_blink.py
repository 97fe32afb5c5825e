"""Lids fall, rest and rise, and cover nothing but the eyes."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import astronaut
from tsfmicro.landmarks import FaceMeshDetector, eye_opening, landmarks_of_photo
from tsfmicro.synthetic.blink import Blink, Eyelids
from tsfmicro.synthetic.portrait import Portrait, framed


@functools.cache
def portrait() -> Portrait:
    return framed(astronaut(), 320, 320, 110.0, (0.5, 0.4))


@functools.cache
def lids() -> Eyelids:
    return Eyelids.of(portrait())


@pytest.mark.parametrize(
    ("share", "wanted"),
    [(-1, 0), (0, 0), (1 / 6, 0.5), (0.25, 0.8536), (1 / 3, 1), (0.4, 1), (0.5, 1), (0.75, 0.5), (1, 0), (2, 0)],
)
def test_a_third_falling_a_sixth_closed_half_rising(share: float, wanted: float) -> None:
    blink = Blink(start_s=3.0, duration_s=0.3)
    assert blink.closure(3.0 + share * 0.3) == pytest.approx(wanted, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(start_s=st.floats(0, 20), duration_s=st.floats(0.1, 0.6))
def test_the_lid_falls_once_and_rises_once(start_s: float, duration_s: float) -> None:
    blink = Blink(start_s, duration_s)
    steps = np.diff([blink.closure(start_s + share * duration_s) for share in np.linspace(-0.2, 1.2, 57)])
    signs = [int(sign) for sign in np.sign(steps.round(9)) if sign]
    assert signs == sorted(signs, reverse=True)
    assert set(signs) == {1, -1}


@pytest.mark.parametrize("closure", [0.3, 0.7, 1.0])
def test_nothing_outside_the_eyes_is_touched(closure: float) -> None:
    pixels = portrait().pixels
    outside = lids().height == 2
    covered = lids().over(pixels, closure)
    np.testing.assert_array_equal(covered[outside], pixels[outside])
    assert (covered[~outside] != pixels[~outside]).any()
    assert 0.003 < (~outside).mean() < 0.08


def test_an_open_eye_is_the_portrait_and_a_closed_one_the_lid() -> None:
    pixels = portrait().pixels
    np.testing.assert_array_equal(lids().over(pixels, 0.0), pixels)
    # The rim is blended; one step further in there is only lid.
    eyes = (lids().height <= 1).astype(np.uint8)
    inside = cv2.erode(eyes, np.ones((7, 7), np.uint8)) > 0
    assert inside.any()
    closed = lids().over(pixels, 1.0).astype(int)
    assert np.abs(closed - lids().closed)[inside].max() <= 1


def test_the_lid_comes_from_above() -> None:
    pixels = portrait().pixels.astype(int)
    changed = (np.abs(lids().over(portrait().pixels, 0.5).astype(int) - pixels).sum(axis=2) > 12) & (lids().height <= 1)
    assert np.percentile(lids().height[changed], 95) < 0.8
    assert changed.any()


def test_the_landmark_component_sees_the_eyes_close() -> None:
    openings: list[float] = []
    for closure in (0.0, 1.0):
        with FaceMeshDetector(max_faces=1) as detector:
            face = landmarks_of_photo(lids().over(portrait().pixels, closure), detector)
        assert face is not None
        openings.append(eye_opening(face))
    assert openings[1] < 0.9 * openings[0]
