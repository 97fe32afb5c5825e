"""The crop of a face: steady where the face is still, with the head where it moves, and honest where it is lost."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.factories import astronaut
from tsfmicro.align import RIGID_POINTS, AlignSpec, apply_transform, compose, crop_transform
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.motion import REGIONS, displacement
from tsfmicro.realtime.follow import FaceFollower
from tsfmicro.realtime.samples import FaceSample, cut_out
from tsfmicro.realtime.sources import open_source
from tsfmicro.synthetic.portrait import framed
from tsfmicro.values import Face, Float32Array, Float64Array, Frame, UInt8Array

ALIGN = AlignSpec()
STEADY_PX = 0.05
"""DESIGN: r.m.s. jitter of the crop of a still face under sensor noise of 2 grey levels."""


@functools.cache
def portrait() -> tuple[UInt8Array, Face]:
    scene = framed(astronaut(), 640, 480, 118.0, (0.5, 0.45))
    return scene.pixels, Face(scene.landmarks_px)


def frame(pixels: UInt8Array, index: int = 0) -> Frame:
    return Frame(pixels, index, index / 60, 0.0, "test")


def moved(motion: Float64Array) -> UInt8Array:
    pixels, _ = portrait()
    warped = cv2.warpAffine(pixels, motion, (640, 480), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.uint8)


def head(degrees: float = 0.0, zoom: float = 1.0, x: float = 0.0, y: float = 0.0) -> Float64Array:
    angle, middle = np.deg2rad(degrees), np.array([320.0, 216.0])
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, middle - linear @ middle + (x, y)])


def face_points() -> Float32Array:
    """Places all over the face, frame pixels."""
    return portrait()[1].landmarks_px[list(RIGID_POINTS)]


def crop_error_px(sample: FaceSample, motion: Float64Array) -> float:
    """How far the face in the crop is from where the first crop had it, r.m.s. over the face."""
    before = apply_transform(crop_transform(portrait()[1].landmarks_px, ALIGN), face_points())
    after = apply_transform(compose(sample.patch.to_crop, motion), face_points())
    return float(np.sqrt(np.mean(np.sum((after - before) ** 2, axis=1))))


def noisy(pixels: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    return np.clip(pixels + rng.normal(0, 2.0, pixels.shape), 0, 255).astype(np.uint8)


def jitter_px(samples: Sequence[FaceSample], points_px: Float32Array) -> float:
    """R.m.s. way of fixed places of the frame in the crop, over time and places."""
    places = np.stack([apply_transform(sample.patch.to_crop, points_px) for sample in samples])
    return float(np.sqrt(np.mean(np.sum((places - places.mean(axis=0)) ** 2, axis=2))))


def lived(pixels: UInt8Array, seed: int, frames: int = 60) -> Iterator[FaceSample]:
    """A still picture with fresh noise in every frame, as the pipeline sees it: landmarks in every fourth."""
    rng = np.random.default_rng(seed)
    follower = FaceFollower(ALIGN)
    with FaceMeshDetector(max_faces=1) as detector:
        for index in range(frames):
            now = frame(noisy(pixels, rng), index)
            faces = detector.detect(now) if index % 4 == 0 else []
            sample = follower.see(now, faces[0]) if faces else follower.follow(now)
            assert sample is not None
            yield sample


def test_a_still_portrait_has_a_still_crop() -> None:
    pixels, face = portrait()
    assert jitter_px(list(lived(pixels, 1)), face.landmarks_px) <= STEADY_PX


@pytest.mark.parametrize("clip", ["lp_d19.mp4", "lp_s18.mp4", "lp_d9.mp4", "pyfeat_single_face.mp4"])
def test_still_frames_of_real_faces_have_a_still_crop(shared_media: Path, clip: str) -> None:
    with open_source(str(shared_media / clip)) as source:
        pixels = next(iter(source.frames())).pixels
    with FaceMeshDetector(max_faces=1) as detector:
        points = detector.detect(frame(pixels))[0].landmarks_px
    assert jitter_px(list(lived(pixels, 2)), points) <= STEADY_PX


def test_landmarks_alone_would_not_be_steady_enough() -> None:
    """What the test above is worth: the same measure on crops placed by landmarks in every frame."""
    pixels, face = portrait()
    rng = np.random.default_rng(1)
    places = []
    with FaceMeshDetector(max_faces=1) as detector:
        for index in range(40):
            (seen,) = detector.detect(frame(noisy(pixels, rng), index))
            places.append(apply_transform(crop_transform(seen.landmarks_px, ALIGN), face.landmarks_px))
    spread = np.stack(places) - np.mean(places, axis=0)
    assert float(np.sqrt(np.mean(np.sum(spread**2, axis=2)))) > STEADY_PX


@pytest.mark.parametrize(
    ("degrees", "zoom", "x", "y"),
    [(0, 1, 3, -2), (0, 1, 25, 12), (2.0, 1, 0, 0), (0, 1.03, 0, 0), (-1.5, 0.98, 6, 4)],
)
def test_the_crop_goes_with_the_head(degrees: float, zoom: float, x: float, y: float) -> None:
    pixels, face = portrait()
    follower = FaceFollower(ALIGN)
    follower.see(frame(pixels), face)
    motion = head(degrees, zoom, x, y)
    sample = follower.follow(frame(moved(motion), 1))
    assert sample is not None
    assert crop_error_px(sample, motion) < 0.3
    assert sample.iod_px == pytest.approx(118.0 * zoom, rel=0.03)
    left, top, right, bottom = follower.box_px
    wanted = apply_transform(motion, face.landmarks_px)
    np.testing.assert_allclose([left, top, right, bottom], [*wanted.min(axis=0), *wanted.max(axis=0)], atol=8.0)


def test_errors_do_not_add_up_over_a_long_walk() -> None:
    pixels, face = portrait()
    follower = FaceFollower(ALIGN)
    follower.see(frame(pixels), face)
    for index in range(1, 90):
        motion = head(3 * np.sin(index / 15), 1 + 0.03 * np.sin(index / 22), 20 * np.sin(index / 12), index / 4)
        sample = follower.follow(frame(moved(motion), index))
        assert sample is not None
        assert crop_error_px(sample, motion) < 0.5


def test_an_expression_does_not_drag_the_crop() -> None:
    pixels, face = portrait()
    corner = face.landmarks_px[61]
    columns, rows = np.meshgrid(np.arange(640, dtype=np.float32), np.arange(480, dtype=np.float32))
    near = np.exp(-((columns - corner[0]) ** 2 + (rows - corner[1]) ** 2) / (2 * 16.0**2)).astype(np.float32)
    smiling = np.asarray(cv2.remap(pixels, columns, rows + 4 * near, cv2.INTER_CUBIC), dtype=np.uint8)
    follower = FaceFollower(ALIGN)
    rest = follower.see(frame(pixels), face)
    sample = follower.follow(frame(smiling, 1))
    assert sample is not None
    assert crop_error_px(sample, np.eye(2, 3)) < 0.15
    found = displacement(rest.patch, sample.patch, ALIGN).residual
    assert REGIONS[int(found.argmax())] == "left_mouth_corner"
    assert found.max() > 1.5


def test_landmarks_that_jitter_do_not_move_the_crop_and_landmarks_that_disagree_do() -> None:
    pixels, face = portrait()
    rng = np.random.default_rng(0)
    follower = FaceFollower(ALIGN)
    first = follower.see(frame(pixels), face)
    shaken = Face(face.landmarks_px + rng.normal(0, 0.6, face.landmarks_px.shape).astype(np.float32))
    np.testing.assert_array_equal(follower.see(frame(pixels, 1), shaken).patch.to_crop, first.patch.to_crop)
    elsewhere = Face(face.landmarks_px + np.float32(9.0))
    sample = follower.see(frame(pixels, 2), elsewhere)
    np.testing.assert_allclose(sample.patch.to_crop, crop_transform(elsewhere.landmarks_px, ALIGN))


def test_a_face_that_is_covered_cannot_be_followed_and_is_found_again() -> None:
    pixels, face = portrait()
    follower = FaceFollower(ALIGN)
    follower.see(frame(pixels), face)
    other: UInt8Array = np.random.default_rng(3).integers(0, 255, pixels.shape, dtype=np.uint8)
    assert follower.follow(frame(other, 1)) is None
    assert follower.follow(frame(np.full_like(pixels, 90), 2)) is None
    back = follower.see(frame(pixels, 3), face)
    assert crop_error_px(back, np.eye(2, 3)) < 0.3


def test_nothing_is_followed_before_it_was_seen() -> None:
    follower = FaceFollower(ALIGN)
    assert follower.follow(frame(portrait()[0])) is None
    assert follower.box_px == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (240.0, 0.0), (-230.0, -190.0), (0.0, 200.0)])
def test_a_cutout_holds_what_the_crop_needs(shift: tuple[float, float]) -> None:
    """The crop from the cutout is the crop from the frame, also where it reaches past the picture."""
    pixels, face = portrait()
    to_crop = crop_transform(face.landmarks_px + np.array(shift, dtype=np.float32), ALIGN)
    cutout = cut_out(frame(pixels), to_crop, ALIGN)
    side = (ALIGN.size_px, ALIGN.size_px)
    whole = cv2.warpAffine(pixels, to_crop, side, borderMode=cv2.BORDER_REPLICATE).astype(int)
    part = cv2.warpAffine(cutout.pixels, cutout.to_crop(to_crop), side, borderMode=cv2.BORDER_REPLICATE).astype(int)
    assert np.abs(whole - part).max() <= 8  # positions are rounded to 1/32 px
    assert np.abs(whole - part).mean() < 0.1
    assert cutout.pixels.size < 0.7 * pixels.size
    assert not np.shares_memory(cutout.pixels, pixels)


@pytest.mark.parametrize("landmarks", [False, True])
def test_a_frame_that_was_prepared_gives_the_same_and_is_followed_once(
    monkeypatch: pytest.MonkeyPatch, landmarks: bool
) -> None:
    calls: list[int] = []
    real = FaceFollower._place_in

    def counted(self: FaceFollower, now: Frame) -> object:
        calls.append(now.index)
        return real(self, now)

    monkeypatch.setattr(FaceFollower, "_place_in", counted)
    rng = np.random.default_rng(3)
    shown = [frame(noisy(moved(head(x=0.6 * i)), rng), i) for i in range(4)]
    samples: list[list[FaceSample | None]] = []
    for prepared in (False, True):
        follower = FaceFollower(ALIGN)
        follower.see(shown[0], portrait()[1])
        found: list[FaceSample | None] = []
        for now in shown[1:]:
            if prepared:
                follower.prepare(now)
            found.append(follower.see(now, portrait()[1]) if landmarks else follower.follow(now))
        samples.append(found)
    assert calls == [0, 1, 2, 3] * 2
    for one, other in zip(*samples, strict=True):
        assert one is not None and other is not None
        assert one.patch.to_crop.tobytes() == other.patch.to_crop.tobytes()
        assert one.pixels.tobytes() == other.pixels.tobytes()
