"""Windows of synthetic movements: what each frame shows, and that a pair is a clip of two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import astronaut
from tsfmicro.align import AlignSpec
from tsfmicro.preprocess import Preprocessor, PreprocessSpec
from tsfmicro.synthetic.pairs import APEX, ONSET, LabelledClip, PairSpec, Stage, draw_clip, draw_pair
from tsfmicro.synthetic.timecourse import TimeCourse, random_course
from tsfmicro.synthetic.windows import random_window, recorded
from tsfmicro.values import Float64Array

PREPROCESSOR = Preprocessor(PreprocessSpec(align=AlignSpec(size_px=64, iod_px=28.0, eye_row_px=21.0)))
STILL = PairSpec(
    amplitude_percent_iod=(4.0, 4.0), iod_px=(60.0, 60.0), identity_strength=0.0, misalignment_px=0.0, turn_deg=0.0,
    noise_sigma=(0.0, 0.0), jpeg_share=0.0,
)  # fmt: skip


def clip(stages: tuple[Stage, ...], seed: int = 1, spec: PairSpec = STILL) -> LabelledClip:
    return draw_clip((astronaut(),), spec, PREPROCESSOR, np.random.default_rng(seed), stages)


def changes(drawn: LabelledClip) -> Float64Array:
    first = drawn.crops[0].astype(float)
    return np.array([np.abs(crop - first).mean() for crop in drawn.crops])


def test_a_pair_is_a_clip_of_two() -> None:
    spec = PairSpec(iod_px=(50.0, 55.0))
    pair = draw_pair((astronaut(),), spec, PREPROCESSOR, np.random.default_rng(3))
    two = clip((ONSET, APEX), seed=3, spec=spec)
    np.testing.assert_array_equal(pair.crops.onset, two.crops[0])
    np.testing.assert_array_equal(pair.crops.apex, two.crops[1])
    assert (pair.emotion, pair.person) == (two.emotion, two.person)


def test_frames_show_how_far_the_movement_has_got() -> None:
    stages = tuple(Stage(c, 0.0) for c in (0.0, 0.5, 1.0, 0.5, 0.0))
    rising, half, apex, falling, back = changes(clip(stages))
    assert rising == 0 and back == 0
    assert 0 < half < apex
    assert falling == pytest.approx(half, rel=0.02)


def test_the_light_drifts_with_time() -> None:
    drifting = changes(clip(tuple(Stage(0.0, share) for share in (0.0, 0.5, 1.0, 2.0)), seed=5))
    assert list(drifting) == sorted(drifting) and drifting[-1] > 0


@given(st.integers(0, 10_000), st.integers(2, 16))
def test_a_window_holds_the_movement(seed: int, frames: int) -> None:
    window = random_window(frames, np.random.default_rng(seed))
    assert len(window) == frames and window[0].drift == 0.0
    drifts = [stage.drift for stage in window]
    assert drifts == sorted(drifts) and drifts[-1] > 1.0  # the apex lies inside
    assert all(0 <= stage.contraction <= 1 for stage in window)
    assert window[0].contraction < 0.4 and window[-1].contraction < 0.4
    if frames >= 8:
        assert max(stage.contraction for stage in window) > 0.5


@given(st.integers(0, 10_000), st.sampled_from([25.0, 30.0, 60.0, 200.0]))
def test_a_recording_has_one_frame_at_the_apex_and_rests_at_its_ends(seed: int, fps: float) -> None:
    course = random_course(np.random.default_rng(seed), 1.0)
    frames, apex = recorded(course, fps)
    assert frames[apex].contraction == pytest.approx(1.0) and frames[apex].drift == pytest.approx(1.0)
    assert frames[0].contraction == frames[-1].contraction == 0.0
    assert frames[0].drift == 0.0
    assert abs((len(frames) - 1) / fps - (course.offset_s - course.onset_s)) < 2 / fps


def test_a_recording_is_sampled_at_its_rate() -> None:
    frames, apex = recorded(TimeCourse(1.0, 1.2, 1.5), 10.0)
    assert apex == 2
    assert [round(stage.contraction, 3) for stage in frames] == [0.0, 0.5, 1.0, 0.75, 0.25, 0.0]
