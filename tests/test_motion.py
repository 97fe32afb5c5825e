"""The displacement residual: blind to the head's own motion, right about the face's."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter

import cv2
import numpy as np
import pytest

from tests.factories import astronaut
from tsfmicro.align import RIGID_POINTS, AlignSpec, apply_transform, compose, crop_transform
from tsfmicro.errors import ContractError
from tsfmicro.motion import (
    _REGION_POINTS,
    MOTION_POINTS,
    REGIONS,
    Displacement,
    FacePatch,
    _fit_rigid,
    _followed,
    displacement,
    face_patch,
    head_motion,
)
from tsfmicro.values import Float32Array, Float64Array, UInt8Array

SPEC = AlignSpec(size_px=224, iod_px=100.0, eye_row_px=76.0)
ROWS, COLUMNS = np.mgrid[0 : SPEC.size_px, 0 : SPEC.size_px].astype(np.float32)
RIGID_COUNT = len(MOTION_POINTS) - sum(len(points) for points in _REGION_POINTS.values())


@functools.cache
def still() -> FacePatch:
    portrait = astronaut()
    return face_patch(portrait.pixels, portrait.landmarks_px, SPEC)


def looked_up(right: Float32Array, down: Float32Array) -> FacePatch:
    """The patch after every pixel moved, while the landmark component noticed nothing."""
    grey = cv2.remap(still().grey, COLUMNS - right, ROWS - down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return dataclasses.replace(still(), grey=np.asarray(grey, dtype=np.uint8))


def region_points(region: str) -> Float32Array:
    return apply_transform(still().to_crop, astronaut().landmarks_px[list(_REGION_POINTS[region])])


def warped_at(region: str, move: tuple[float, float], sigma_px: float = 13.0) -> tuple[FacePatch, float]:
    """A patch in which a Gaussian neighbourhood of one region moved, and how far its points really went."""
    points = region_points(region)
    centre = np.median(points, axis=0)
    near = np.exp(-((COLUMNS - centre[0]) ** 2 + (ROWS - centre[1]) ** 2) / (2 * sigma_px**2)).astype(np.float32)
    at_points = np.exp(-((points - centre) ** 2).sum(axis=1) / (2 * sigma_px**2))
    true = float(np.linalg.norm(np.median(at_points[:, None] * move, axis=0)))
    return looked_up(near * np.float32(move[0]), near * np.float32(move[1])), true


def around_the_middle(degrees: float, zoom: float, x: float, y: float) -> Float64Array:
    angle, middle = np.deg2rad(degrees), np.full(2, SPEC.size_px / 2)
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, middle - linear @ middle + (x, y)])


def test_points_and_regions_fit_together() -> None:
    assert tuple(_REGION_POINTS) == REGIONS
    forehead = {10, 54, 67, 103, 109, 151, 284, 297, 332, 338}  # goes with the brows
    assert set(RIGID_POINTS) - set(MOTION_POINTS) == forehead
    assert all(0 <= point < 468 for point in MOTION_POINTS)
    found = displacement(still(), still(), SPEC)
    assert found.residual.shape == (len(REGIONS),)
    assert still().points_px.shape == (len(MOTION_POINTS), 2)


def test_no_point_counts_twice() -> None:
    twice = [point for point, times in Counter(MOTION_POINTS).items() if times > 1]
    assert not twice


@pytest.mark.parametrize("region", [region for region in REGIONS if region.startswith("left_")])
def test_left_and_right_are_the_pictures(region: str) -> None:
    left, right = (np.median(region_points(name), axis=0) for name in (region, region.replace("left_", "right_")))
    middle = SPEC.size_px / 2
    assert left[0] < middle < right[0]
    assert abs(left[1] - right[1]) < 8
    assert len(_REGION_POINTS[region]) == len(_REGION_POINTS[region.replace("left_", "right_")])


def test_a_patch_is_the_aligned_grey_face() -> None:
    portrait = astronaut()
    patch = still()
    np.testing.assert_array_equal(patch.to_crop, crop_transform(portrait.landmarks_px, SPEC))
    wanted = apply_transform(patch.to_crop, portrait.landmarks_px[list(MOTION_POINTS)])
    np.testing.assert_array_equal(patch.points_px, wanted)
    assert patch.grey.shape == (224, 224)
    reds = portrait.pixels.copy()
    reds[..., 1:] = 0
    red = face_patch(reds, portrait.landmarks_px, SPEC).grey.mean()
    blues = portrait.pixels[..., ::-1].copy()
    blues[..., :2] = 0
    blue = face_patch(blues, portrait.landmarks_px, SPEC).grey.mean()
    assert red > 2 * blue  # luma: red weighs more than twice what blue does


@pytest.mark.parametrize("hinted", [True, False], ids=["landmarks follow", "landmarks lag"])
@pytest.mark.parametrize(
    ("degrees", "zoom", "x", "y", "limit"),
    [(0, 1, 0, 0, 0.01), (0, 1, 2.5, -1.5, 0.08), (1.2, 1, 0, 0, 0.35), (0, 1.02, 0, 0, 0.35), (-1, 0.985, 1, 2, 0.35)],
)
def test_the_heads_own_motion_leaves_nothing(
    degrees: float, zoom: float, x: float, y: float, limit: float, hinted: bool
) -> None:
    motion = around_the_middle(degrees, zoom, x, y)
    grey = cv2.warpAffine(still().grey, motion, (224, 224), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    points = apply_transform(motion, still().points_px) if hinted else still().points_px
    found = displacement(still(), FacePatch(np.asarray(grey, dtype=np.uint8), still().to_crop, points), SPEC)
    assert found.residual.max() < limit
    assert found.rigid_error < limit
    corners = np.array([[40, 40], [180, 40], [112, 112], [112, 180]], dtype=np.float32)
    np.testing.assert_allclose(apply_transform(found.rigid, corners), apply_transform(motion, corners), atol=0.35)


def test_what_the_aligner_took_out_is_no_motion() -> None:
    """A frame in which the head moved, aligned by landmarks a pixel wrong: still nothing moved in the face."""
    portrait = astronaut()
    shake = compose(np.array([[1, 0, 14.0], [0, 1, 9.0]]), around_the_middle(8, 1.05, 0, 0))
    pixels = np.asarray(cv2.warpAffine(portrait.pixels, shake, (640, 640), flags=cv2.INTER_CUBIC), dtype=np.uint8)
    landmarks = apply_transform(shake, portrait.landmarks_px) + np.float32(1)
    found = displacement(still(), face_patch(pixels, landmarks, SPEC), SPEC)
    assert found.residual.max() < 0.35


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("move", [(0.0, -2.0), (1.5, 1.0)])
def test_the_region_that_moved_stands_out(region: str, move: tuple[float, float]) -> None:
    patch, true = warped_at(region, move)
    found = displacement(still(), patch, SPEC)
    assert REGIONS[int(found.residual.argmax())] == region
    assert 0.5 * true < found.residual.max() < 1.25 * true


@pytest.mark.parametrize(
    "region", ["left_brow", "right_brow", "left_mouth_corner", "right_mouth_corner", "upper_lip", "lower_lip"]
)
@pytest.mark.parametrize("amplitude", [1.5, 2.0])
def test_textured_regions_are_measured_to_scale(region: str, amplitude: float) -> None:
    patch, true = warped_at(region, (0.0, -amplitude))
    assert 0.8 * true < displacement(still(), patch, SPEC).residual.max() < 1.1 * true


def test_residuals_are_percent_of_the_interocular_distance() -> None:
    half = AlignSpec(size_px=SPEC.size_px, iod_px=SPEC.iod_px / 2, eye_row_px=SPEC.eye_row_px)
    patch, _ = warped_at("left_brow", (0.0, -2.0))
    whole = displacement(still(), patch, SPEC)
    doubled = displacement(still(), patch, half)
    np.testing.assert_allclose(doubled.residual, 2 * whole.residual)
    assert doubled.rigid_error == pytest.approx(2 * whole.rigid_error)


@pytest.mark.parametrize("seed", range(4))
def test_sensor_noise_is_no_motion(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def noisy() -> FacePatch:
        grey = np.clip(still().grey + rng.normal(0, 2, still().grey.shape) + 0.5, 0, 255).astype(np.uint8)
        return dataclasses.replace(still(), grey=grey)

    found = displacement(noisy(), noisy(), SPEC)
    assert 0 < found.residual.max() < 0.15
    assert 0 < found.rigid_error < 0.15


def test_what_no_similarity_explains_is_a_rigid_error() -> None:
    bent = ((COLUMNS - 112) / 112) ** 2 * np.float32(12)
    zoomed = (COLUMNS - 112) * np.float32(0.02), (ROWS - 112) * np.float32(0.02)
    turned, nearer = (displacement(still(), looked_up(*moves), SPEC) for moves in ((bent, bent * 0), zoomed))
    assert turned.rigid_error > 4 * nearer.rigid_error
    assert nearer.rigid_error < 0.11


def test_an_expression_is_no_rigid_error() -> None:
    """Half a face may move on its own: the other half says what the head does."""
    brows = np.float32(4) * np.exp(-((ROWS - 50) ** 2) / (2 * 14.0**2)).astype(np.float32)
    raised = displacement(still(), looked_up(brows * 0, -brows), SPEC)
    assert REGIONS[int(raised.residual.argmax())] in {"left_brow", "right_brow"}
    assert raised.residual.max() > 1.5
    assert raised.rigid_error < 0.5


def points_lost(which: slice) -> FacePatch:
    points = still().points_px.copy()
    points[which] += np.float32(5000)
    return dataclasses.replace(still(), points_px=points)


def displaced_brow(reference: FacePatch) -> Displacement:
    return displacement(reference, warped_at("left_brow", (0.0, -2.0))[0], SPEC)


def test_a_region_out_of_view_has_moved_nothing() -> None:
    assert REGIONS[0] == "left_brow"
    count = len(_REGION_POINTS["left_brow"])
    assert displaced_brow(points_lost(slice(RIGID_COUNT, RIGID_COUNT))).residual[0] > 1
    assert displaced_brow(points_lost(slice(RIGID_COUNT, RIGID_COUNT + count // 2))).residual[0] > 0.5
    assert displaced_brow(points_lost(slice(RIGID_COUNT, RIGID_COUNT + count // 2 + 1))).residual[0] == 0


def test_without_points_the_head_is_taken_to_stand() -> None:
    found = displaced_brow(points_lost(slice(None)))
    np.testing.assert_array_equal(found.rigid, np.eye(2, 3))
    assert found.rigid_error == 0
    assert found.residual.max() == 0


def test_without_the_rigid_points_the_rest_of_the_face_tells_the_head() -> None:
    found = displaced_brow(points_lost(slice(0, RIGID_COUNT)))
    np.testing.assert_allclose(found.rigid, np.eye(2, 3), atol=0.05)
    assert found.residual[0] > 1


@pytest.mark.parametrize("x", [0.0, 4.0, -11.0])
def test_head_motion_is_where_the_head_went(x: float) -> None:
    shift = np.array([[1.0, 0, x], [0, 1, 2.0]])
    grey = cv2.warpAffine(still().grey, shift, (224, 224), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    went = head_motion(still(), np.asarray(grey, dtype=np.uint8), SPEC)
    assert went is not None and went.rigid_error < 0.1
    np.testing.assert_allclose(went.rigid, shift, atol=0.02)


def test_there_is_no_head_motion_without_a_head() -> None:
    assert head_motion(still(), np.full((224, 224), 90, np.uint8), SPEC) is None


def test_patches_of_unequal_size_are_refused() -> None:
    small = face_patch(
        astronaut().pixels, astronaut().landmarks_px, AlignSpec(size_px=128, iod_px=60.0, eye_row_px=40.0)
    )
    with pytest.raises(ContractError, match=r"\(224, 224\) and \(128, 128\)"):
        displacement(still(), small, SPEC)


def test_a_patch_refuses_other_arrays() -> None:
    grey: UInt8Array = np.zeros((224, 224, 3), np.uint8)
    with pytest.raises(ContractError, match=r"FacePatch\.grey"):
        dataclasses.replace(still(), grey=grey)
    with pytest.raises(ContractError, match=r"FacePatch\.points_px"):
        dataclasses.replace(still(), points_px=still().points_px[1:])


def reweighted_least_squares(before: Float32Array, after: Float32Array, settled_px: float) -> Float64Array:
    """The fit as it is described: centred sums over all points, anew each time, eight times or until it has settled."""
    source, target = (points.astype(np.float64) @ (1, 1j) for points in (before, after))
    centre = source.mean()
    reach = np.abs(source - centre).max()
    weights = np.full(len(source), 1 / len(source))
    fits: list[tuple[complex, complex]] = []
    for _ in range(8):
        middle, aim = weights @ source, weights @ target
        centred = source - middle
        turn = (weights * centred.conj()) @ (target - aim) / (weights @ np.abs(centred) ** 2)
        fits.append((turn, aim + turn * (centre - middle)))
        if len(fits) > 1 and abs(turn - fits[-2][0]) * reach + abs(fits[-1][1] - fits[-2][1]) < settled_px:
            break
        away = np.abs(target - aim - turn * centred)
        weights = 1 / (1 + (away / (2 * max(float(np.median(away)), 0.03))) ** 2) ** 2
        weights /= weights.sum()
    shift = aim - turn * middle
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


@pytest.mark.parametrize("lost", [0, 1, 30])
@pytest.mark.parametrize("noise_px", [0.0, 0.02, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_reweighted_least_squares(seed: int, noise_px: float, lost: int) -> None:
    rng = np.random.default_rng(seed)
    before = still().points_px
    motion = around_the_middle(rng.normal(0, 10), 1 + rng.normal(0, 0.05), *rng.normal(0, 5, 2))
    after = apply_transform(motion, before) + rng.normal(0, noise_px, before.shape).astype(np.float32)
    after[rng.choice(len(after), 15, replace=False)] += rng.normal(0, 4, (15, 2)).astype(np.float32)
    found = np.ones(len(before), dtype=bool)
    found[rng.choice(len(before), lost, replace=False)] = False
    fitted = _fit_rigid(before, after, found)
    np.testing.assert_allclose(fitted, reweighted_least_squares(before[found], after[found], 0.003), atol=1e-9)
    # It ends early where that is where it would have ended anyway.
    to_the_end = reweighted_least_squares(before[found], after[found], 0.0)
    np.testing.assert_allclose(apply_transform(fitted, before), apply_transform(to_the_end, before), atol=0.005)
    if noise_px == 0:
        np.testing.assert_allclose(fitted, motion, atol=1e-3)


def test_points_in_one_place_say_nothing_of_the_head() -> None:
    before = np.full_like(still().points_px, 50.0)
    fitted = _fit_rigid(before, before + 3, np.ones(len(before), dtype=bool))
    assert np.array_equal(fitted, [[1, 0, 0], [0, 1, 0]])


def test_a_point_is_found_where_opencv_measures_its_error() -> None:
    rng = np.random.default_rng(0)
    moved = looked_up(np.full_like(COLUMNS, 3.0), np.zeros_like(ROWS))
    points = rng.uniform(-30, SPEC.size_px + 30, (4_000, 2)).astype(np.float32)
    guesses = (points + rng.normal(0, 15, points.shape)).astype(np.float32)
    tracked, status, _ = cv2.calcOpticalFlowPyrLK(
        still().grey, moved.grey, points, guesses.copy(), winSize=(21, 21), maxLevel=2,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01), flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )  # fmt: skip
    followed, found = _followed(still().grey, moved.grey, points, guesses)
    np.testing.assert_array_equal(followed, tracked)
    np.testing.assert_array_equal(found, status[:, 0] == 1)
    assert 0 < found.sum() < len(found)
