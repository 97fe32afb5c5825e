"""The crop stands still under everything a camera does, and turns away what it cannot align."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import astronaut, make_landmarks
from tsfmicro.align import (
    RIGID_POINTS,
    AlignSpec,
    apply_transform,
    compose,
    crop_transform,
    fit_similarity,
    interocular_distance_px,
    warp_crop,
)
from tsfmicro.errors import ContractError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.values import Float64Array, UInt8Array

quick = settings(max_examples=40, deadline=None)
angles = st.floats(-np.pi, np.pi)
scales = st.floats(0.05, 20.0)
shifts = st.tuples(st.floats(-2000, 2000), st.floats(-2000, 2000))
seeds = st.integers(0, 2**31)
SPEC = AlignSpec(size_px=224, iod_px=100.0, eye_row_px=76.0)


def similarity(angle: float, scale: float, shift: tuple[float, float]) -> Float64Array:
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]])


def mapped(transform: Float64Array, points: Float64Array) -> Float64Array:
    result: Float64Array = points @ transform[:, :2].T + transform[:, 2]
    return result


@quick
@given(angle=angles, scale=scales, shift=shifts, seed=seeds, count=st.integers(2, 30))
def test_fit_recovers_a_similarity(
    angle: float, scale: float, shift: tuple[float, float], seed: int, count: int
) -> None:
    source = np.random.default_rng(seed).uniform(-100, 100, (count, 2))
    source[0], source[1] = (-80, 10), (70, -30)
    wanted = similarity(angle, scale, shift)
    np.testing.assert_allclose(fit_similarity(source, mapped(wanted, source)), wanted, atol=1e-7 * (1 + scale))


@quick
@given(angle=angles, seed=seeds)
def test_fit_never_mirrors(angle: float, seed: int) -> None:
    source = np.random.default_rng(seed).uniform(-100, 100, (6, 2))
    target = mapped(similarity(angle, 1.0, (5, 5)), source * (-1, 1) + np.array([0, 3]) * source[:, :1])
    fitted = fit_similarity(source, target)
    (a, b), (c, d) = fitted[:, :2]
    assert (a, b) == (d, -c)
    assert a * d - b * c >= 0


@quick
@given(seed=seeds)
def test_fit_is_the_least_squares_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = rng.uniform(-50, 50, (10, 2))
    target = mapped(similarity(0.4, 1.3, (3, -8)), source) + rng.normal(0, 5, (10, 2))

    def error(transform: Float64Array) -> float:
        return float(((mapped(transform, source) - target) ** 2).sum())

    best = fit_similarity(source, target)
    for turn, zoom, x, y in ((0.01, 1, 0, 0), (-0.01, 1, 0, 0), (0, 1.01, 0, 0), (0, 0.99, 0, 0), (0, 1, 1, -1)):
        assert error(compose(similarity(turn, zoom, (x, y)), best)) > error(best)


def test_fit_refuses_points_that_coincide() -> None:
    with pytest.raises(ContractError, match="coincide"):
        fit_similarity(np.full((5, 2), 7.0), np.arange(10.0).reshape(5, 2))


@pytest.mark.parametrize("spec", [SPEC, AlignSpec(size_px=64, iod_px=30.0, eye_row_px=20.0)])
def test_rigid_points_land_on_the_template(spec: AlignSpec) -> None:
    landmarks = make_landmarks((411.0, 222.0), iod_px=63.0, roll_deg=17.0)
    crop = apply_transform(crop_transform(landmarks, spec), landmarks)
    np.testing.assert_allclose(crop[list(RIGID_POINTS)], spec.template_px(), atol=2e-3)
    np.testing.assert_allclose(crop[[33, 263], 1], spec.eye_row_px, atol=2e-3)
    np.testing.assert_allclose(crop[[33, 263], 0].mean(), spec.size_px / 2, atol=2e-3)
    assert interocular_distance_px(crop) == pytest.approx(spec.iod_px, abs=2e-3)


def test_an_expression_does_not_drag_the_crop_along() -> None:
    landmarks = make_landmarks()
    smiling = landmarks.copy()
    others = [i for i in range(len(landmarks)) if i not in RIGID_POINTS]
    smiling[others] += np.float32(9)
    np.testing.assert_array_equal(crop_transform(smiling, SPEC), crop_transform(landmarks, SPEC))


@quick
@given(angle=angles, scale=st.floats(0.2, 5), shift=shifts)
def test_crop_transform_follows_the_head(angle: float, scale: float, shift: tuple[float, float]) -> None:
    landmarks = make_landmarks()
    motion = similarity(angle, scale, shift)
    moved = compose(crop_transform(apply_transform(motion, landmarks), SPEC), motion)
    np.testing.assert_allclose(
        apply_transform(moved, landmarks), apply_transform(crop_transform(landmarks, SPEC), landmarks), atol=0.05
    )


def test_crop_of_a_moved_picture_shows_the_same() -> None:
    portrait = astronaut()
    still = warp_crop(portrait.pixels, crop_transform(portrait.landmarks_px, SPEC), SPEC)
    motion = similarity(0.2, 1.25, (30, -60))
    pixels = np.asarray(cv2.warpAffine(portrait.pixels, motion, (700, 700), flags=cv2.INTER_CUBIC), dtype=np.uint8)

    def difference(landmarks_motion: Float64Array) -> float:
        landmarks = apply_transform(landmarks_motion, portrait.landmarks_px)
        moved = warp_crop(pixels, crop_transform(landmarks, SPEC), SPEC)
        return float(np.abs(moved.astype(float) - still)[20:-20, 20:-20].mean())

    right = difference(motion)
    assert right < 2.5
    assert difference(similarity(0.2, 1.25, (33, -60))) > 2 * right


@quick
@given(first=st.tuples(angles, st.floats(0.2, 5), shifts), second=st.tuples(angles, st.floats(0.2, 5), shifts))
def test_compose_applies_the_inner_one_first(
    first: tuple[float, float, tuple[float, float]], second: tuple[float, float, tuple[float, float]]
) -> None:
    inner, outer = similarity(*first), similarity(*second)
    points = np.array([[0, 0], [10, -3], [-200, 90]], dtype=np.float32)
    np.testing.assert_allclose(
        apply_transform(compose(outer, inner), points),
        apply_transform(outer, apply_transform(inner, points)),
        rtol=1e-5,
        atol=2e-2,
    )


def test_apply_transform_by_hand() -> None:
    quarter = np.array([[0.0, -2.0, 5.0], [2.0, 0.0, 7.0]])
    mapped_points = apply_transform(quarter, np.array([[1, 0], [0, 1]], dtype=np.float32))
    assert mapped_points.dtype == np.float32
    np.testing.assert_array_equal(mapped_points, [[5, 9], [3, 7]])


def test_warp_crop_identity_keeps_every_byte() -> None:
    spec = AlignSpec(size_px=48, iod_px=20.0, eye_row_px=16.0)
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    np.testing.assert_array_equal(warp_crop(picture, np.eye(2, 3), spec), picture)


def test_warp_crop_takes_the_transform_forwards_and_repeats_the_edge() -> None:
    spec = AlignSpec(size_px=32, iod_px=20.0, eye_row_px=16.0)
    picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    crop = warp_crop(picture, np.array([[1.0, 0, 4], [0, 1.0, -7]]), spec)
    assert crop.shape == (32, 32, 3)
    np.testing.assert_array_equal(crop[:, 4:], picture[7:39, :28])
    np.testing.assert_array_equal(crop[:, 0], picture[7:39, 0])


@pytest.mark.parametrize(
    "picture",
    [np.zeros((40, 40, 3), np.float32), np.zeros((40, 40), np.uint8), np.zeros((40, 40, 4), np.uint8)],
    ids=["float", "grey", "alpha"],
)
def test_warp_crop_refuses_other_pictures(picture: UInt8Array) -> None:
    with pytest.raises(ContractError, match="warp_crop"):
        warp_crop(picture, np.eye(2, 3), SPEC)


@pytest.mark.parametrize(
    ("size_px", "iod_px", "eye_row_px"),
    [
        (31, 10.0, 10.0),
        (224, 0.0, 76.0),
        (224, -1.0, 76.0),
        (224, 224.0, 76.0),
        (224, 100.0, 0.0),
        (224, 100.0, 224.0),
        (224, float("nan"), 76.0),
        (224, 100.0, float("nan")),
    ],
)
def test_spec_refuses_crops_without_room(size_px: int, iod_px: float, eye_row_px: float) -> None:
    with pytest.raises(ContractError, match="room"):
        AlignSpec(size_px=size_px, iod_px=iod_px, eye_row_px=eye_row_px)


def test_whole_and_float_numbers_are_one_geometry() -> None:
    whole, real = (
        AlignSpec(size_px=224, iod_px=100, eye_row_px=76),
        AlignSpec(size_px=224, iod_px=100.0, eye_row_px=76.0),
    )
    assert repr(whole) == repr(real)
    assert PreprocessSpec(align=whole).digest == PreprocessSpec(align=real).digest
    assert PreprocessSpec(align=AlignSpec(size_px=224, iod_px=101, eye_row_px=76)).digest != PreprocessSpec().digest
