"""Rectangles: search tiles leave nothing out, and one face is not counted twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tsfmicro.landmarks.boxes import FINEST_TILE_PX, Box, tiles


@given(width=st.integers(16, 4000), height=st.integers(16, 4000), seed=st.integers(0, 2**31))
def test_a_face_of_any_size_lies_whole_in_a_tile_that_shows_it_large_enough(width: int, height: int, seed: int) -> None:
    parts = tiles(width, height)
    assert parts[0] == Box(0, 0, width, height)
    rng = np.random.default_rng(seed)
    assume(min(width, height) > FINEST_TILE_PX / 7)
    side = rng.uniform(FINEST_TILE_PX / 7, min(width, height))
    x, y = rng.uniform(0, width - side), rng.uniform(0, height - side)
    face = Box(x, y, x + side, y + side)
    assert any(face.covered_by(tile) > 0.999 and side >= max(tile.width, tile.height) / 7.1 for tile in parts)
    for tile in parts:
        assert 0 <= tile.left < tile.right <= width
        assert 0 <= tile.top < tile.bottom <= height


def test_small_pictures_are_searched_once() -> None:
    assert len(tiles(480, 360)) == 1
    assert len(tiles(640, 480)) == 1 + 2
    assert len(tiles(1280, 720)) == 1 + 3 * 2 + 4 * 2


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
