"""Clips: the same scene gives the same bytes, and what is put in can be measured."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest

from tests.factories import astronaut
from tsfmicro.align import AlignSpec, apply_transform
from tsfmicro.errors import ContractError
from tsfmicro.motion import REGIONS, Displacement, displacement, face_patch
from tsfmicro.synthetic.action_units import EMOTIONS
from tsfmicro.synthetic.blink import Blink
from tsfmicro.synthetic.portrait import Portrait, framed
from tsfmicro.synthetic.scene import Nuisance, Scene, SceneRenderer, jpeg_round_trip
from tsfmicro.synthetic.timecourse import TimeCourse, TrueEvent
from tsfmicro.values import UInt8Array

SPEC = AlignSpec(size_px=224, iod_px=100.0, eye_row_px=76.0)
COURSE = TimeCourse(onset_s=0.4, apex_s=0.6, offset_s=0.8)
SURPRISE = TrueEvent(COURSE, "surprise", (1, 2), 3.0)
FROWN = TrueEvent(COURSE, "repression", (15, 17), 4.0)
STILL = Nuisance(sway_iod=0, tilt_deg=0, turn_deg=0, zoom=0, noise_sigma=0, light_drift=0)
LIVELY = Scene(duration_s=1.0, fps=10.0, events=(SURPRISE,), seed=3)


@functools.cache
def portrait() -> Portrait:
    return framed(astronaut(), 240, 240, 80.0, (0.5, 0.4))


def render(scene: Scene, t_s: float, index: int = 0) -> UInt8Array:
    return SceneRenderer(portrait(), scene).render(index, t_s)


def clip(scene: Scene) -> bytes:
    return b"".join(pixels.tobytes() for _, pixels in SceneRenderer(portrait(), scene).frames())


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert clip(LIVELY) == clip(LIVELY)


def test_another_seed_gives_other_bytes() -> None:
    assert clip(LIVELY) != clip(replace(LIVELY, seed=4))


def test_frames_are_even_and_do_not_depend_on_the_order() -> None:
    renderer = SceneRenderer(portrait(), LIVELY)
    frames = list(renderer.frames())
    assert [t_s for t_s, _ in frames] == [i / 10 for i in range(10)]
    assert LIVELY.frame_count == 10
    np.testing.assert_array_equal(SceneRenderer(portrait(), LIVELY).render(7, 0.7), frames[7][1])
    assert frames[0][1].shape == portrait().pixels.shape
    assert frames[0][1].dtype == np.uint8


@pytest.mark.parametrize("seed", [0, 11])
def test_outside_events_the_clip_is_the_event_free_one(seed: int) -> None:
    with_event, without = replace(LIVELY, seed=seed), replace(LIVELY, seed=seed, events=())
    there = list(SceneRenderer(portrait(), with_event).frames())
    plain = list(SceneRenderer(portrait(), without).frames())
    for (t_s, pixels), (_, quiet) in zip(there, plain, strict=True):
        at_rest = not COURSE.onset_s < t_s < COURSE.offset_s
        assert np.array_equal(pixels, quiet) == at_rest, f"at {t_s} s"


@pytest.mark.parametrize("offset_s", [1.01, 5.0])
def test_an_event_beyond_the_clip_is_refused(offset_s: float) -> None:
    late = replace(SURPRISE, course=TimeCourse(0.4, 0.6, offset_s))
    with pytest.raises(ContractError, match="ends after"):
        Scene(duration_s=1.0, fps=30.0, events=(late,))


@pytest.mark.parametrize(("duration_s", "fps"), [(0.0, 30.0), (1.0, 0.0), (-1.0, 30.0), (1.0, -5.0)])
def test_a_clip_without_frames_is_refused(duration_s: float, fps: float) -> None:
    with pytest.raises(ContractError, match="above 0"):
        Scene(duration_s=duration_s, fps=fps, events=())


def test_a_combination_of_another_emotion_is_refused() -> None:
    scene = Scene(1.0, 30.0, (replace(SURPRISE, action_units=(6, 12)),))
    with pytest.raises(ContractError, match="no combination of surprise"):
        SceneRenderer(portrait(), scene)


def test_without_nuisance_the_frame_is_the_portrait() -> None:
    frame = render(Scene(1.0, 30.0, (), nuisance=STILL), 0.3)
    np.testing.assert_array_equal(frame, portrait().pixels)


@pytest.mark.parametrize(
    "nuisance",
    [
        replace(STILL, sway_iod=0.05),
        replace(STILL, tilt_deg=3.0),
        replace(STILL, turn_deg=4.0),
        replace(STILL, zoom=0.05),
        replace(STILL, noise_sigma=2.0),
        replace(STILL, light_drift=0.2),
        replace(STILL, jpeg_quality=50),
    ],
    ids=["sway", "tilt", "turn", "zoom", "noise", "light", "jpeg"],
)
def test_every_nuisance_shows(nuisance: Nuisance) -> None:
    frames = [render(Scene(9.0, 30.0, (), nuisance=nuisance, seed=1), t_s) for t_s in (0.5, 2.5, 4.5)]
    differences = [float(np.abs(frame.astype(int) - portrait().pixels).mean()) for frame in frames]
    assert max(differences) > 0.4


def test_noise_has_the_asked_strength_and_is_new_in_every_frame() -> None:
    scene = Scene(1.0, 30.0, (), nuisance=replace(STILL, noise_sigma=3.0))
    renderer = SceneRenderer(portrait(), scene)
    middling = (portrait().pixels > 30) & (portrait().pixels < 225)
    first, second = (renderer.render(i, 0.0).astype(int) for i in (0, 1))
    assert (first - portrait().pixels)[middling].std() == pytest.approx(3.0, rel=0.05)
    assert (first - second)[middling].std() == pytest.approx(3.0 * 2**0.5, rel=0.1)
    assert abs((first - portrait().pixels)[middling].mean()) < 0.1


def test_blinks_close_the_eyes_only_while_they_last() -> None:
    blinking = Scene(2.0, 30.0, (), blinks=(Blink(0.5, 0.3), Blink(1.4, 0.3)), nuisance=STILL)
    renderer = SceneRenderer(portrait(), blinking)
    changed = [not np.array_equal(renderer.render(0, t), portrait().pixels) for t in (0.4, 0.62, 0.9, 1.52, 1.8)]
    assert changed == [False, True, False, True, False]


def apex_motion(emotion: str, amplitude: float, who: Portrait, nuisance: Nuisance = STILL) -> Displacement:
    event = TrueEvent(COURSE, emotion, EMOTIONS[emotion][0].units, amplitude)
    renderer = SceneRenderer(who, Scene(1.0, 60.0, (event,), nuisance=nuisance, seed=2))
    onset, apex = (
        face_patch(renderer.render(i, t_s), who.landmarks_px, SPEC) for i, t_s in ((24, COURSE.onset_s), (36, 0.6))
    )
    return displacement(onset, apex, SPEC)


@pytest.mark.parametrize(
    ("emotion", "amplitude", "least", "regions"),
    [  # the lower bounds are what optical flow makes of this photograph: hair over the brows, smooth cheeks
        ("surprise", 2.0, 0.45, {"left_brow", "right_brow", "lower_lip", "chin"}),
        ("surprise", 4.0, 0.70, {"left_brow", "right_brow", "lower_lip", "chin"}),
        ("happiness", 2.0, 0.50, {"left_mouth_corner", "right_mouth_corner", "left_cheek", "right_cheek"}),
        ("happiness", 4.0, 0.50, {"left_mouth_corner", "right_mouth_corner", "left_cheek", "right_cheek"}),
        ("disgust", 2.0, 0.70, {"left_nose", "right_nose", "upper_lip", "left_brow", "right_brow"}),
        ("disgust", 4.0, 0.70, {"left_nose", "right_nose", "upper_lip", "left_brow", "right_brow"}),
        ("repression", 2.0, 0.70, {"left_mouth_corner", "right_mouth_corner", "chin", "lower_lip"}),
        ("repression", 4.0, 0.70, {"left_mouth_corner", "right_mouth_corner", "chin", "lower_lip"}),
    ],
)
def test_the_amplitude_can_be_measured_where_it_was_put(
    emotion: str, amplitude: float, least: float, regions: set[str]
) -> None:
    moved = apex_motion(emotion, amplitude, framed(astronaut(), 320, 320, 100.0, (0.5, 0.4)))
    assert least * amplitude < moved.residual.max() < 1.15 * amplitude
    assert REGIONS[int(moved.residual.argmax())] in regions


@pytest.mark.parametrize("emotion", sorted(EMOTIONS))
@pytest.mark.parametrize("amplitude", [6.0, 12.0])
def test_pixels_move_by_exactly_the_amplitude(emotion: str, amplitude: float) -> None:
    """On a picture whose red is its column and whose green is its row, grey levels are positions."""
    who = framed(astronaut(), 256, 256, 80.0, (0.5, 0.4))
    ys, xs = np.mgrid[0:256, 0:256]
    ruler = replace(who, pixels=np.stack([xs, ys, 0 * xs], axis=2).astype(np.uint8))
    event = TrueEvent(COURSE, emotion, EMOTIONS[emotion][0].units, amplitude)
    apex = SceneRenderer(ruler, Scene(1.0, 30.0, (event,), nuisance=STILL)).render(18, COURSE.apex_s)
    moved_px = ruler.pixels[4:-4, 4:-4, :2].astype(float) - apex[4:-4, 4:-4, :2]
    assert np.linalg.norm(moved_px, axis=2).max() == pytest.approx(amplitude / 100 * who.iod_px, abs=0.75)


def test_the_amplitude_does_not_depend_on_the_size_of_the_face() -> None:
    sizes = [framed(astronaut(), side, side, iod, (0.5, 0.4)) for side, iod in ((200, 65.0), (400, 130.0))]
    small, large = (apex_motion("disgust", 3.0, who).residual.max() for who in sizes)
    assert small == pytest.approx(large, rel=0.2)


def test_contraction_follows_the_course() -> None:
    renderer = SceneRenderer(portrait(), Scene(1.0, 60.0, (FROWN,), nuisance=STILL))
    rest = face_patch(renderer.render(0, 0.0), portrait().landmarks_px, SPEC)
    at = {
        t_s: displacement(rest, face_patch(renderer.render(0, t_s), portrait().landmarks_px, SPEC), SPEC).residual.max()
        for t_s in (0.3, 0.5, 0.6, 0.7, 0.9)
    }
    assert at[0.3] == at[0.9] == pytest.approx(0.0, abs=1e-6)
    assert at[0.5] == pytest.approx(at[0.6] / 2, rel=0.2)
    assert at[0.7] == pytest.approx(at[0.6] / 2, rel=0.2)


def test_the_event_moves_with_the_swaying_head() -> None:
    sway = replace(STILL, sway_iod=0.3, tilt_deg=10.0, zoom=0.1)
    moved = apex_motion("repression", 4.0, framed(astronaut(), 320, 320, 100.0, (0.5, 0.4)), sway)
    assert 0.65 * 4 < moved.residual.max() < 1.25 * 4
    nothing = np.array([[10, 10], [200, 10], [112, 112]], dtype=np.float32)
    assert np.abs(apply_transform(moved.rigid, nothing) - nothing).max() > 0.5  # the head did move


def test_the_event_is_where_the_head_went() -> None:
    sway = replace(STILL, sway_iod=1.5)
    raised = TrueEvent(COURSE, "repression", (17,), 5.0)
    far: list[float] = []
    for seed in range(6):
        scene = Scene(1.0, 30.0, (raised,), nuisance=sway, seed=seed)
        renderer, calm = SceneRenderer(portrait(), scene), SceneRenderer(portrait(), replace(scene, events=()))
        moved, still = (r.render(0, COURSE.apex_s).astype(int) for r in (renderer, calm))
        changed = np.abs(moved - still).sum(axis=2) > 12
        head = renderer._head_pose(renderer._sway.at(COURSE.apex_s))
        chin = apply_transform(head, portrait().landmarks_px[[17, 199, 175]]).mean(axis=0)
        if not 30 < chin[1] < 210 or not 40 < chin[0] < 200:
            continue
        middle = np.median(np.argwhere(changed)[:, ::-1], axis=0)
        assert np.linalg.norm(middle - chin) < 16
        far.append(float(np.linalg.norm(head[:, 2])))
    assert max(far) > 25


def test_jpeg_costs_little_and_keeps_the_channels() -> None:
    picture = portrait().pixels
    packed = jpeg_round_trip(picture, 95)
    assert packed.shape == picture.shape
    fine = np.abs(packed.astype(int) - picture)
    assert 0 < fine.mean() < 3
    assert np.abs(jpeg_round_trip(picture, 20).astype(int) - picture).mean() > 2 * fine.mean()
