"""Displacement fields: one pixel at their peak, alike on both sides, and where the anchors are."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from tests.factories import astronaut
from tsfmicro.synthetic.action_units import _MIRROR, ACTION_UNITS, EMOTIONS, Combination
from tsfmicro.synthetic.field import DisplacementField, depth_field, expression_field
from tsfmicro.synthetic.portrait import Portrait, framed
from tsfmicro.values import Float32Array

SIDE = 241  # a whole number of grid steps, so that the mirrored grid falls on the grid
COMBINATIONS = [(emotion, i) for emotion, combinations in EMOTIONS.items() for i in range(len(combinations))]


@functools.cache
def portrait() -> Portrait:
    return framed(astronaut(), SIDE, SIDE, 80.0, (0.47, 0.4))


def mirrored(original: Portrait) -> Portrait:
    """The portrait in a mirror: pixels flipped, and every left landmark where the right one was."""
    flipped = original.landmarks_px * np.array([-1, 1], np.float32) + np.array([SIDE - 1, 0], np.float32)
    twins = flipped.copy()
    for left, right in {**_MIRROR, 33: 263}.items():
        twins[left], twins[right] = flipped[right], flipped[left]
    return Portrait(original.name, np.ascontiguousarray(original.pixels[:, ::-1]), twins)


def dense(field: DisplacementField) -> Float32Array:
    return field.sampled(np.eye(2, 3), SIDE, SIDE)


@pytest.mark.parametrize(("emotion", "index"), COMBINATIONS)
@pytest.mark.parametrize("width_iod", [0.08, 0.15])
def test_the_peak_is_one_pixel(emotion: str, index: int, width_iod: float) -> None:
    field = expression_field(portrait(), EMOTIONS[emotion][index], width_iod=width_iod)
    assert np.linalg.norm(field.values_px, axis=2).max() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("unit", sorted(ACTION_UNITS))
def test_a_mirrored_face_moves_mirrored(unit: int) -> None:
    alone = Combination((unit,), (1.0,))
    field = dense(expression_field(portrait(), alone))
    there = dense(expression_field(mirrored(portrait()), alone))
    back = there[:, ::-1] * np.array([-1, 1], np.float32)
    inner = slice(8, -8)
    assert np.abs(field - back)[inner, inner].max() < 0.01
    assert np.abs(field).max() > 0.5


@pytest.mark.parametrize(("gains", "weak"), [((1.0, 0.0), "right"), ((0.0, 1.0), "left")])
def test_side_gains_still_one_half_of_the_picture(gains: tuple[float, float], weak: str) -> None:
    field = np.linalg.norm(dense(expression_field(portrait(), EMOTIONS["happiness"][1], side_gains=gains)), axis=2)
    middle = int(portrait().landmarks_px[168, 0])
    left, right = field[:, : middle - 15].max(), field[:, middle + 15 :].max()
    assert (right if weak == "right" else left) < 0.3
    assert (left if weak == "right" else right) > 0.95


def test_an_anchor_goes_where_its_unit_says_and_the_rest_stays() -> None:
    field = dense(expression_field(portrait(), Combination((26,), (1.0,))))
    x, y = portrait().landmarks_px[152].round().astype(int)
    assert field[y, x, 1] > 0.7
    assert abs(field[y, x, 0]) < 0.1
    x, y = portrait().landmarks_px[10].round().astype(int)
    assert np.abs(field[y, x]).max() < 1e-3


def test_neighbouring_anchors_do_not_add_up() -> None:
    """The nose wrinkler has three anchors on each side of the nose and one, half as strong, on each brow."""
    field = np.linalg.norm(dense(expression_field(portrait(), Combination((9,), (1.0,)), width_iod=0.11)), axis=2)
    (brow_x, brow_y), (nose_x, nose_y) = portrait().landmarks_px[[55, 129]].round().astype(int)
    assert 0.4 < field[brow_y, brow_x] / field[nose_y, nose_x] < 0.7


def test_the_width_is_in_interocular_distances() -> None:
    def reach(width_iod: float, who: Portrait) -> float:
        field = expression_field(who, Combination((17,), (1.0,)), width_iod=width_iod)
        moving = (np.linalg.norm(field.values_px, axis=2) > 0.5).sum()
        return float(moving) * (field.step_px / who.iod_px) ** 2

    large = framed(astronaut(), 2 * SIDE, 2 * SIDE, 160.0, (0.47, 0.4))
    assert reach(0.15, portrait()) > 1.5 * reach(0.08, portrait())
    assert reach(0.11, large) == pytest.approx(reach(0.11, portrait()), rel=0.1)


def test_weights_balance_the_units() -> None:
    lips = portrait().landmarks_px[61].round().astype(int)
    brow = portrait().landmarks_px[55].round().astype(int)

    def share(weights: tuple[float, float]) -> float:
        field = np.linalg.norm(dense(expression_field(portrait(), Combination((1, 15), weights))), axis=2)
        return float(field[brow[1], brow[0]] / field[lips[1], lips[0]])

    assert share((1.0, 0.5)) == pytest.approx(4 * share((0.5, 1.0)), rel=0.01)


def test_sampled_follows_the_frame_but_keeps_portrait_pixels() -> None:
    field = expression_field(portrait(), EMOTIONS["surprise"][0])
    zoomed = field.sampled(np.array([[2.0, 0, 30], [0, 2.0, -10]]), 2 * SIDE + 30, 2 * SIDE)
    there = dense(field)
    for x, y in ((100, 60), (140, 64), (60, 90)):
        np.testing.assert_allclose(zoomed[2 * y - 10, 2 * x + 30], there[y, x], atol=0.02)
    assert np.abs(there).max() > 0.9


def test_depth_is_a_head_with_a_nose() -> None:
    depth = depth_field(portrait())
    field = expression_field(portrait(), EMOTIONS["surprise"][0])
    assert depth.shape == field.values_px.shape[:2]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    peak = np.array([x, y]) * field.step_px
    assert np.linalg.norm(peak - portrait().landmarks_px[1]) < 0.25 * portrait().iod_px
    assert depth.min() == pytest.approx(0.0, abs=0.01)
    assert depth[0, 0] == pytest.approx(0.0, abs=1e-6)
    assert 0.5 * portrait().iod_px < depth.max() < 1.0 * portrait().iod_px
    nose_x, nose_y = (portrait().landmarks_px[1] / field.step_px).round().astype(int)
    beside = nose_x + round(0.3 * portrait().iod_px / field.step_px)
    assert depth[nose_y, nose_x] - depth[nose_y, beside] > 0.15 * portrait().iod_px
