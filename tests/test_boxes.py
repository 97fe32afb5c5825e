"""Rectangles: search tiles leave nothing out, and one face is not counted twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsfmicro.landmarks.boxes import TILE_PX, Box, tiles


@given(width=st.integers(16, 6000), height=st.integers(16, 6000))
def test_a_face_that_may_be_seen_lies_whole_in_some_tile(width: int, height: int) -> None:
    parts = tiles(width, height)
    assert parts[0] == Box(0, 0, width, height)
    small = 119  # a larger face is found in the whole picture or lies in a tile with it
    rng = np.random.default_rng(width * 7919 + height)
    for _ in range(20):
        if width <= small or height <= small:
            break
        x, y = rng.integers(0, width - small), rng.integers(0, height - small)
        face = Box(x, y, x + small, y + small)
        assert any(face.covered_by(tile) == 1.0 for tile in parts[1:] or parts)
    for tile in parts[1:]:
        assert 0 <= tile.left < tile.right <= width and tile.width <= TILE_PX
        assert 0 <= tile.top < tile.bottom <= height and tile.height <= TILE_PX


def test_small_pictures_are_searched_once() -> None:
    assert len(tiles(640, 480)) == 1
    assert len(tiles(1280, 720)) == 1 + 2
    assert len(tiles(1920, 1080)) == 1 + 3 * 2


def test_coverage_is_a_share_of_the_first() -> None:
    large, small = Box(0, 0, 100, 100), Box(50, 50, 150, 100)
    assert small.covered_by(large) == pytest.approx(0.5)
    assert large.covered_by(small) == pytest.approx(0.25)
    assert large.covered_by(Box(200, 0, 300, 100)) == 0.0
    assert Box(5, 5, 5, 9).covered_by(large) == 0.0  # nothing to cover


def test_a_box_inside_another_is_the_same_face() -> None:
    mesh, detection = Box(0, 0, 100, 140), Box(10, 30, 90, 120)
    assert detection.same_face_as(mesh) and mesh.same_face_as(detection)
    assert not mesh.same_face_as(mesh.shifted(80, 0))


@given(
    x=st.floats(-50, 700), y=st.floats(-50, 500), side=st.floats(5, 400), factor=st.floats(1.0, 3.0)
)  # fmt: skip
def test_around_stays_in_the_picture_and_holds_the_box(x: float, y: float, side: float, factor: float) -> None:
    box = Box(x, y, x + side, y + side * 0.8)
    region = box.around(factor, 640, 480)
    inside = Box(max(box.left, 0), max(box.top, 0), min(box.right, 640), min(box.bottom, 480))
    if inside.width and inside.height:
        assert region.left <= inside.left + 1 and region.right >= inside.right - 1
        assert region.top <= inside.top + 1 and region.bottom >= inside.bottom - 1
    assert region.left >= 0 and region.top >= 0 and region.right <= 640 and region.bottom <= 480


def test_cut_is_that_part_of_the_picture() -> None:
    pixels = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    part = Box(4, 5, 14, 9).cut(pixels)
    np.testing.assert_array_equal(part, pixels[5:9, 4:14])
    assert part.flags["C_CONTIGUOUS"]
