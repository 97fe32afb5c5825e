"""Chained places of regions, and what stands out over the line between before and after."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.factories import astronaut, make_sample
from tsfmicro.align import AlignSpec
from tsfmicro.motion import REGIONS, FacePatch, displacement, face_patch, region_moves
from tsfmicro.realtime import trajectory
from tsfmicro.realtime.prominence import places_at, prominences
from tsfmicro.realtime.trajectory import RegionTrajectory
from tsfmicro.synthetic.action_units import EMOTIONS
from tsfmicro.synthetic.field import expression_field
from tsfmicro.values import Float64Array

ALIGN = AlignSpec()
TIMES_S = np.arange(90) / 60


def bump(times_s: Float64Array, apex_s: float, half_s: float = 0.18) -> Float64Array:
    result: Float64Array = np.clip(1 - np.abs(times_s - apex_s) / half_s, 0, None)
    return result


def places_of(trace: Float64Array, region: int = 3) -> Float64Array:
    places = np.zeros((len(trace), len(REGIONS), 2))
    places[:, region, 0] = trace
    return places


def moved_patches(amplitude_px: float) -> tuple[FacePatch, FacePatch]:
    portrait = astronaut()
    field = expression_field(portrait, EMOTIONS["surprise"][0])
    height, width = portrait.pixels.shape[:2]
    shift = amplitude_px * field.sampled(np.eye(2, 3), width, height)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(portrait.pixels, columns - shift[..., 0], rows - shift[..., 1], cv2.INTER_CUBIC)
    still = face_patch(portrait.pixels, portrait.landmarks_px, ALIGN)
    return still, face_patch(np.asarray(moved, dtype=np.uint8), portrait.landmarks_px, ALIGN)


def test_moves_have_the_length_of_the_displacement_and_its_direction() -> None:
    still, raised = moved_patches(0.03 * astronaut().iod_px)
    moves = region_moves(still, raised, ALIGN)
    np.testing.assert_allclose(np.hypot(*moves.T), displacement(still, raised, ALIGN).residual, atol=0.05)
    brows = moves[[REGIONS.index("left_brow"), REGIONS.index("right_brow")]]
    assert (brows[:, 1] < -0.8).all()  # up
    assert (np.abs(brows[:, 0]) < 0.5).all()
    back = region_moves(raised, still, ALIGN)
    assert (back[[REGIONS.index("left_brow"), REGIONS.index("right_brow")], 1] > 0.8).all()


@pytest.mark.parametrize("key_s", [0.1, 0.25, 1.0])
def test_links_add_up(monkeypatch: pytest.MonkeyPatch, key_s: float) -> None:
    def scripted(reference: FacePatch, current: FacePatch, align: AlignSpec) -> Float64Array:
        t0, t1 = float(reference.to_crop[0, 2]), float(current.to_crop[0, 2])
        assert t1 - t0 <= key_s + 1 / 60 + 1e-6
        return np.full((len(REGIONS), 2), np.sin(t1) - np.sin(t0))

    monkeypatch.setattr(trajectory, "region_moves", scripted)
    chained = RegionTrajectory(ALIGN, key_s)
    for i, t_s in enumerate(TIMES_S):
        np.testing.assert_allclose(chained.push(make_sample(i, float(t_s))), np.sin(t_s), atol=1e-9)


def test_a_region_that_is_not_seen_stays_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def scripted(reference: FacePatch, current: FacePatch, align: AlignSpec) -> Float64Array:
        moves = np.full((len(REGIONS), 2), float(current.to_crop[0, 2]) - float(reference.to_crop[0, 2]))
        if current.to_crop[0, 2] > 0.5:
            moves[2] = np.nan
        return moves

    monkeypatch.setattr(trajectory, "region_moves", scripted)
    chained = RegionTrajectory(ALIGN, 0.2)
    for i in range(11):
        places = chained.push(make_sample(i, i / 10))
    np.testing.assert_allclose(places[2], 0.5)
    np.testing.assert_allclose(places[3], 1.0)


def test_what_comes_and_goes_stands_out_by_its_height() -> None:
    apex = 60
    out = prominences(TIMES_S, places_of(3 * bump(TIMES_S, TIMES_S[apex])), apex)
    assert out is not None
    np.testing.assert_allclose(out[3], [3.0, 0.0], atol=0.05)
    np.testing.assert_allclose(np.delete(out, 3, axis=0), 0.0)


@pytest.mark.parametrize("slope", [-20.0, 5.0, 40.0])
def test_a_drift_does_not_stand_out(slope: float) -> None:
    out = prominences(TIMES_S, places_of(slope * TIMES_S), 60)
    assert out is not None
    np.testing.assert_allclose(out, 0.0, atol=1e-9)
    both = prominences(TIMES_S, places_of(slope * TIMES_S + 3 * bump(TIMES_S, 1.0)), 60)
    assert both is not None
    np.testing.assert_allclose(both[3], [3.0, 0.0], atol=0.05)


def test_the_way_back_is_what_is_known_of_it() -> None:
    """Only samples up to the present count: 0.05 s after the apex little has come back."""
    trace = places_of(3 * bump(TIMES_S, TIMES_S[60]))
    soon = prominences(TIMES_S[:64], trace[:64], 60)
    assert soon is not None
    assert 0.5 < soon[3, 0] < 3.0


def test_too_short_a_past_says_nothing() -> None:
    assert prominences(TIMES_S, places_of(TIMES_S), 5) is None
    assert prominences(TIMES_S, places_of(TIMES_S), 10) is not None


@pytest.mark.parametrize(
    ("t_s", "wanted"), [(-1.0, 0.0), (0.0, 0.0), (0.5, 5.0), (1.25, 20.0), (3.0, 30.0), (9.0, 30.0)]
)
def test_places_between_samples_are_on_the_line(t_s: float, wanted: float) -> None:
    times_s = np.array([0.0, 1.0, 1.5, 3.0])
    places = np.broadcast_to(np.array([0.0, 10.0, 30.0, 30.0])[:, None, None], (4, len(REGIONS), 2))
    np.testing.assert_allclose(places_at(times_s, places, t_s), wanted)


def test_patches_of_other_sizes_are_refused() -> None:
    still, _ = moved_patches(1.0)
    small = replace(still, grey=np.zeros((32, 32), np.uint8))
    with pytest.raises(ValueError, match="equal sizes"):
        region_moves(still, small, ALIGN)
