"""Portraits keep their landmarks on the face, whatever is done to the picture."""

from __future__ import annotations

import numpy as np
import pytest

from tests.factories import astronaut
from tsfmicro.align import AlignSpec, apply_transform, crop_transform
from tsfmicro.errors import ContractError, SourceError
from tsfmicro.landmarks import FaceMeshDetector, landmarks_of_photo
from tsfmicro.synthetic.portrait import Portrait, framed, morphed, portrait_of
from tsfmicro.values import Float32Array, UInt8Array

SPEC = AlignSpec(size_px=224, iod_px=100.0, eye_row_px=76.0)


def found_in(pixels: UInt8Array) -> Float32Array:
    with FaceMeshDetector(max_faces=1) as detector:
        face = landmarks_of_photo(pixels, detector)
    assert face is not None
    return face.landmarks_px


def close_up() -> Portrait:
    return framed(astronaut(), 320, 320, 110.0, (0.5, 0.4))


def shape_of(portrait: Portrait) -> Float32Array:
    """The landmarks with place, size and roll taken out, percent of the inter-ocular distance."""
    return apply_transform(crop_transform(portrait.landmarks_px, SPEC), portrait.landmarks_px)


def test_a_picture_without_a_face_is_refused_by_name() -> None:
    with FaceMeshDetector(max_faces=1) as detector, pytest.raises(SourceError, match=r"no face found in wall\.png"):
        portrait_of("wall.png", np.full((240, 240, 3), 99, np.uint8), detector)


def test_a_portrait_refuses_other_arrays() -> None:
    with pytest.raises(ContractError, match=r"Portrait\.landmarks_px"):
        Portrait("x", np.zeros((8, 8, 3), np.uint8), np.zeros((478, 2), np.float32))
    with pytest.raises(ContractError, match=r"Portrait\.pixels"):
        Portrait("x", np.zeros((8, 8), np.uint8), np.zeros((468, 2), np.float32))


@pytest.mark.parametrize(
    ("width", "height", "iod", "eyes"), [(320, 240, 70.0, (0.5, 0.4)), (260, 300, 95.0, (0.6, 0.3))]
)
def test_framed_puts_the_eyes_where_asked(width: int, height: int, iod: float, eyes: tuple[float, float]) -> None:
    portrait = framed(astronaut(), width, height, iod, eyes)
    assert portrait.pixels.shape == (height, width, 3)
    assert portrait.iod_px == pytest.approx(iod, abs=0.01)
    left, right = portrait.landmarks_px[[33, 263]]
    assert left[1] == pytest.approx(right[1], abs=0.01)
    np.testing.assert_allclose((left + right) / 2, (width * eyes[0], height * eyes[1]), atol=0.01)
    assert np.median(np.linalg.norm(found_in(portrait.pixels) - portrait.landmarks_px, axis=1)) < 0.03 * iod


def test_shrinking_does_not_fold_fine_texture() -> None:
    """A checkerboard of single pixels becomes grey, not false stripes."""
    ys, xs = np.mgrid[0:512, 0:512]
    board = np.repeat((((ys + xs) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    portrait = framed(Portrait("board", board, astronaut().landmarks_px), 60, 60, 22.0, (0.5, 0.4))
    assert portrait.pixels.astype(float).std() < 12


@pytest.mark.parametrize("seed", range(4))
def test_landmarks_move_with_the_morphed_picture(seed: int) -> None:
    person = morphed(close_up(), np.random.default_rng(seed), 1.0)
    error = np.linalg.norm(found_in(person.pixels) - person.landmarks_px, axis=1)
    assert float(np.median(error)) < 0.05 * person.iod_px


def test_a_morphed_person_has_another_face() -> None:
    """Bends, not just stretches: no affine map explains the new proportions."""
    bends: dict[float, float] = {}
    original = close_up()
    flat = np.column_stack([original.landmarks_px, np.ones(len(original.landmarks_px))])
    for strength in (0.0, 0.5, 1.0):
        person = morphed(original, np.random.default_rng(7), strength)
        explained, *_ = np.linalg.lstsq(flat, person.landmarks_px, rcond=None)
        left_over = np.linalg.norm(person.landmarks_px - flat @ explained, axis=1)
        bends[strength] = float(np.median(left_over)) / original.iod_px
    assert bends[0.0] < 1e-4
    assert bends[0.0] < bends[0.5] < bends[1.0] < 0.2
    assert bends[1.0] > 0.005


def test_strength_scales_the_proportions() -> None:
    """Nobody else is made at strength 0, and hardly anybody else at a tenth."""
    original = close_up()
    for strength, most in ((0.0, 0.5), (0.1, 3.0)):
        person = morphed(original, np.random.default_rng(3), strength)
        assert np.abs(shape_of(person) - shape_of(original)).max() < most, f"at strength {strength}"


def test_skin_and_light_change_too() -> None:
    original = close_up()
    colours = [morphed(original, np.random.default_rng(s), 1.0).pixels.mean(axis=(0, 1)) for s in range(3)]
    assert all(np.abs(a - b).max() > 3 for i, a in enumerate(colours) for b in colours[i + 1 :])


def test_the_same_generator_state_makes_the_same_person() -> None:
    first, second = (morphed(close_up(), np.random.default_rng(5), 1.0) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.landmarks_px, second.landmarks_px)
    other = morphed(close_up(), np.random.default_rng(6), 1.0)
    assert np.abs(other.landmarks_px - first.landmarks_px).max() > 1


def test_the_original_is_left_alone() -> None:
    original = close_up()
    pixels, landmarks = original.pixels.copy(), original.landmarks_px.copy()
    morphed(original, np.random.default_rng(1), 1.0)
    np.testing.assert_array_equal(original.pixels, pixels)
    np.testing.assert_array_equal(original.landmarks_px, landmarks)
