"""What is put into footage is where and when its truth says."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.factories import astronaut, make_landmarks
from tsfmicro.align import apply_transform
from tsfmicro.benchmarks.spotting.clips import Clip, Kind, Side, read_split, require_media
from tsfmicro.benchmarks.spotting.footage import Footage, blinks_in
from tsfmicro.benchmarks.spotting.inject import moved_face, plan_events
from tsfmicro.benchmarks.spotting.takes import Condition, Take, stage_footage
from tsfmicro.errors import UsageError
from tsfmicro.synthetic.portrait import framed
from tsfmicro.synthetic.timecourse import TimeCourse, TrueEvent
from tsfmicro.values import Float64Array, UInt8Array

EVENT = TrueEvent(TimeCourse(1.0, 1.2, 1.4), "surprise", (1, 2), 3.0)
CLIP = Clip("c", "c.mp4", "p", Side.TRAIN, Kind.QUIET, 0, 4, 0, 1, nuisances=False, rates=False)


def textured(height: int = 480, width: int = 640) -> UInt8Array:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.asarray(coarse.repeat(8, axis=0).repeat(8, axis=1), dtype=np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_planned_events_are_apart_inside_and_of_all_classes(seed: int) -> None:
    events = plan_events(20.0, 3.0, seed)
    assert len(events) >= 8
    assert {event.emotion for event in events} == {"happiness", "disgust", "repression", "surprise", "others"}
    assert events[0].course.onset_s >= 1.6
    assert events[-1].course.offset_s <= 19.1
    for earlier, later in pairwise(events):
        assert later.course.onset_s - earlier.course.offset_s >= 1.0
    assert plan_events(20.0, 3.0, seed) == events


def test_other_amplitudes_move_at_the_same_times_and_none_not_at_all() -> None:
    assert [e.course for e in plan_events(9.0, 1.0, 4)] == [e.course for e in plan_events(9.0, 5.0, 4)]
    assert plan_events(9.0, 0.0, 4) == ()


@pytest.mark.parametrize("t_s", [0.5, 1.0, 1.4, 2.0])
def test_a_face_at_rest_is_left_as_it_is(t_s: float) -> None:
    picture = textured()
    assert moved_face(picture, make_landmarks((320, 240), 100, 0, (0.3, 0.3)), EVENT, t_s) is picture


@pytest.mark.parametrize("roll_deg", [0.0, 30.0])
def test_brows_rise_by_the_amplitude_in_the_heads_own_axes(roll_deg: float) -> None:
    """A dot on the brow is found where the truth puts it."""
    upright = framed(astronaut(), 640, 480, 120.0, (0.5, 0.45)).landmarks_px
    turn = np.asarray(cv2.getRotationMatrix2D((320.0, 240.0), -roll_deg, 1.0), dtype=np.float64)
    landmarks = apply_transform(turn, upright)
    up = np.array([np.sin(np.deg2rad(roll_deg)), -np.cos(np.deg2rad(roll_deg))])
    moves = []
    for landmark in (55, 107, 65, 66, 70, 63):
        x, y = landmarks[landmark].round().astype(int)
        picture = np.full((480, 640, 3), 60, dtype=np.uint8)
        cv2.circle(picture, (int(x), int(y)), 3, (220, 220, 220), -1, cv2.LINE_AA)
        moves.append(middle(moved_face(picture, landmarks, EVENT, 1.2)) - middle(picture))
    assert max(move @ up for move in moves) == pytest.approx(0.03 * 120.0, rel=0.1)
    for move in moves:
        assert abs(move @ np.array([-up[1], up[0]])) < 0.3


def middle(pixels: UInt8Array) -> Float64Array:
    """Of a bright dot."""
    weight = pixels[..., 0].astype(np.float64) - 60
    ys, xs = np.mgrid[0:480, 0:640]
    return np.array([(weight * xs).sum(), (weight * ys).sum()]) / float(weight.sum())


def test_only_the_face_moves() -> None:
    picture = textured()
    moved = moved_face(picture, make_landmarks((320, 240), 60, 0, (0.3, 0.3)), EVENT, 1.2)
    assert (moved != picture).any()
    np.testing.assert_array_equal(moved[:, :120], picture[:, :120])
    np.testing.assert_array_equal(moved[400:], picture[400:])


def footage(frames: int = 120, fps: float = 30.0) -> Footage:
    picture, landmarks = textured(), make_landmarks((320, 240), 100, 0, (0.3, 0.3))
    return Footage(tuple(i / fps for i in range(frames)), (picture,) * frames, ((landmarks,),) * frames, ((0.5, 0.6),))


def test_untouched_footage_is_delivered_as_it_is() -> None:
    staged = stage_footage(Take(CLIP, Condition(0.0)), footage())
    frames = list(staged.frames)
    assert staged.truth == ()
    assert len(frames) == 120
    assert staged.watched_s == pytest.approx(4.0)
    assert all(frame.pixels is frames[0].pixels for frame in frames)


def test_events_where_the_face_is_not_seen_are_left_out() -> None:
    whole = footage()
    gone = tuple((None,) if 30 <= i < 90 else faces for i, faces in enumerate(whole.landmarks_px))
    hidden = Footage(whole.times_s, whole.pictures, gone, ())
    assert len(stage_footage(Take(CLIP, Condition(3.0)), whole).truth) == 1
    assert stage_footage(Take(CLIP, Condition(3.0)), hidden).truth == ()


@pytest.mark.parametrize(
    ("condition", "steady"),
    [
        (Condition(0.0, noise_sigma=4.0), False),
        (Condition(0.0, jpeg_quality=40), True),
        (Condition(0.0, flicker=0.03), False),
    ],
)
def test_nuisances_change_the_pictures(condition: Condition, steady: bool) -> None:
    frames = list(stage_footage(Take(CLIP, condition), footage(12)).frames)
    assert (frames[1].pixels != textured()).any()
    assert (frames[1].pixels == frames[2].pixels).all() == steady


def test_flicker_is_the_alias_of_the_lamp() -> None:
    """100 Hz seen 25 times a second stands still; 30 times, it beats."""

    def means(fps: float) -> list[float]:
        take = Take(CLIP, Condition(0.0, flicker=0.05))
        return [float(frame.pixels.mean()) for frame in stage_footage(take, footage(30, fps)).frames]

    assert np.ptp(means(25.0)) < 0.5
    assert np.ptp(means(30.0)) > 5


def test_backwards_is_the_mirror_of_time() -> None:
    there = footage()
    back = there.backwards()
    assert back.times_s[0] == 0.0
    assert back.duration_s == pytest.approx(there.duration_s)
    ((start_s, end_s),) = back.blinks
    assert (start_s, end_s) == pytest.approx((there.times_s[-1] - 0.6, there.times_s[-1] - 0.5))


def test_faster_footage_is_shorter_and_shows_the_same() -> None:
    usual, faster = footage(), footage().at_speed(1.25)
    assert faster.duration_s == pytest.approx(usual.duration_s / 1.25)
    assert len(faster.pictures) == len(usual.pictures)
    ((start_s, end_s),) = faster.blinks
    assert (start_s, end_s) == pytest.approx((0.5 / 1.25, 0.6 / 1.25))


def test_blinks_are_short_closures() -> None:
    times_s = [i / 30 for i in range(150)]
    openings: list[float | None] = [0.3] * 150
    for i in (40, 41, 42):
        openings[i] = 0.1
    openings[90:115] = [0.12] * 25  # eyes lowered for 0.8 s
    openings[20] = None
    assert list(blinks_in(times_s, openings)) == [pytest.approx((40 / 30, 42 / 30))]


def test_missing_media_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        require_media(tmp_path / "none", read_split())
    with pytest.raises(UsageError, match=r"lacks derived_\S+, lp_d18\.mp4"):
        require_media(tmp_path, read_split(Side.TRAIN))


def test_the_portrait_acts_too() -> None:
    portrait = astronaut()
    moved = moved_face(portrait.pixels, portrait.landmarks_px, EVENT, 1.2)
    assert (moved != portrait.pixels).any()
