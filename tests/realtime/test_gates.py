"""Every limit rejects for its own reason, and none of them without one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.factories import make_finished, make_sample, make_samples
from tsfmicro.motion import REGIONS, Displacement
from tsfmicro.realtime.gates import GateSpec, Verdict, judge
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.spot import Finished

SPEC = GateSpec(
    max_onset_phase_s=0.30,
    max_duration_s=1.0,
    min_fps=20.0,
    max_gap_s=0.12,
    min_eye_opening_ratio=0.70,
    blink_margin_s=0.10,
    max_head_shift_percent_iod=18.0,
    max_head_roll_deg=6.0,
    max_head_zoom_percent=6.0,
    max_rigid_error_percent_iod=0.9,
    min_iod_px=40.0,
    max_turn_deg=35.0,
    max_mouth_range_percent_iod=9.0,
    max_light_step_percent=4.0,
    max_overlap=0.25,
)


def still(rigid_error: float = 0.1) -> Displacement:
    return Displacement(np.zeros(len(REGIONS)), np.eye(2, 3), rigid_error)


def verdict(finished: Finished, spec: GateSpec = SPEC, rigid_error: float = 0.1) -> Verdict:
    return judge(finished, still(rigid_error), spec)


def at_50_fps(duration_s: float = 1.0) -> list[FaceSample]:
    return make_samples(50.0, duration_s)


def changed(t_s: float, **looks: float) -> list[FaceSample]:
    """Even samples of which the one at ``t_s`` looks different."""
    samples = at_50_fps()
    index = round(t_s * 50)
    samples[index] = make_sample(index, index / 50, **looks)  # type: ignore[arg-type]
    return samples


def shifted(t_s: float, percent: float) -> list[FaceSample]:
    samples = at_50_fps()
    index = round(t_s * 50)
    samples[index] = make_sample(index, index / 50, centre_px=(320.0, 240.0 + percent))
    return samples


def test_a_clean_movement_passes() -> None:
    clean = verdict(make_finished(at_50_fps()))
    assert clean.reasons == ()
    for name, wanted in {
        "onset_phase_s": 0.2,
        "duration_s": 0.4,
        "fps_measured": 50.0,
        "longest_step_s": 0.02,
        "eye_opening_ratio": 1.0,
        "head_shift_percent_iod": 0.0,
        "head_roll_deg": 0.0,
        "head_zoom_percent": 0.0,
        "rigid_error_percent_iod": 0.1,
        "iod_px": 100.0,
        "turn_deg": 0.0,
        "mouth_range_percent_iod": 0.0,
        "light_step_percent": 0.0,
        "overlap": 0.0,
    }.items():
        assert clean.evidence[name] == pytest.approx(wanted), name


VIOLATIONS: dict[str, tuple[str, Finished, float]] = {
    "no return": ("no_return", make_finished(at_50_fps(), returned=False), 0.1),
    "slow": ("slow_onset", make_finished(at_50_fps(), (0.1, 0.44, 0.7)), 0.1),
    "long": ("too_long", make_finished(at_50_fps(1.8), (0.3, 0.5, 1.4)), 0.1),
    "slow stream": ("frame_rate", make_finished(make_samples(15.0, 1.0)), 0.1),
    "very slow stream": ("frame_rate", make_finished(make_samples(6.0, 1.0)), 0.1),  # and no gap: all steps are long
    "gap": ("stream_gap", make_finished([s for s in at_50_fps() if not 0.35 < s.moment.t_s < 0.49]), 0.1),
    "blink inside": ("blink", make_finished(changed(0.4, opening=0.1)), 0.1),
    "blink just before": ("blink", make_finished(changed(0.22, opening=0.1)), 0.1),
    "blink just after": ("blink", make_finished(changed(0.78, opening=0.1)), 0.1),
    "shift": ("head_motion", make_finished(shifted(0.6, 20.0)), 0.1),
    "roll": ("head_motion", make_finished(changed(0.6, roll_deg=-7.0)), 0.1),
    "zoom in": ("head_motion", make_finished(changed(0.6, scale=1.08)), 0.1),
    "zoom out": ("head_motion", make_finished(changed(0.6, scale=0.92)), 0.1),
    "turn": ("head_motion", make_finished(at_50_fps()), 1.0),
    "repeating camera": (
        "frame_rate",
        make_finished([make_sample(i, i / 50, shows=i // 3) for i in range(51)]),
        0.1,
    ),
    "small": ("face_too_small", make_finished(make_samples(50.0, 1.0, iod_px=39.0)), 0.1),
    "turned": ("face_turned", make_finished(make_samples(50.0, 1.0, yaw_deg=-40.0)), 0.1),
    "talking": ("speech", make_finished(changed(0.4, mouth_opening=12.0)), 0.1),
    "flash": ("light_jump", make_finished(changed(0.4, brightness=105)), 0.1),
    "covered": ("identity_switch", make_finished(changed(0.4, overlap=0.3)), 0.1),
}


@pytest.mark.parametrize("case", VIOLATIONS)
def test_one_violated_limit_gives_one_reason(case: str) -> None:
    reason, finished, rigid_error = VIOLATIONS[case]
    assert verdict(finished, rigid_error=rigid_error).reasons == (reason,)


@pytest.mark.parametrize(
    ("case", "looser"),
    [
        ("slow", {"max_onset_phase_s": 0.36}),
        ("long", {"max_duration_s": 1.2}),
        ("slow stream", {"min_fps": 14.0}),
        ("repeating camera", {"min_fps": 14.0}),
        ("gap", {"max_gap_s": 0.2}),
        ("blink inside", {"min_eye_opening_ratio": 0.3}),
        ("blink just before", {"blink_margin_s": 0.05}),
        ("shift", {"max_head_shift_percent_iod": 21.0}),
        ("roll", {"max_head_roll_deg": 8.0}),
        ("zoom in", {"max_head_zoom_percent": 9.0}),
        ("turn", {"max_rigid_error_percent_iod": 1.1}),
        ("small", {"min_iod_px": 38.0}),
        ("turned", {"max_turn_deg": 41.0}),
        ("talking", {"max_mouth_range_percent_iod": 10.5}),
        ("flash", {"max_light_step_percent": 6.0}),
        ("covered", {"max_overlap": 0.31}),
    ],
)
def test_a_looser_limit_lets_it_pass(case: str, looser: dict[str, float]) -> None:
    _, finished, rigid_error = VIOLATIONS[case]
    assert verdict(finished, replace(SPEC, **looser), rigid_error).reasons == ()


def test_reasons_add_up() -> None:
    both = make_finished(changed(0.4, opening=0.1, roll_deg=9.0), returned=False)
    assert set(verdict(both).reasons) == {"no_return", "blink", "head_motion"}


@pytest.mark.parametrize(
    "samples",
    [
        changed(0.1, opening=0.05),
        changed(0.9, opening=0.05),
        changed(0.2, roll_deg=20.0),
        shifted(0.8, 50.0),
        changed(0.1, brightness=200),
        changed(0.9, mouth_opening=40.0),
        changed(0.2, overlap=1.0),
    ],
    ids=["blink before", "blink after", "roll before", "shift after", "flash before", "speech after", "cover before"],
)
def test_what_happens_far_from_the_movement_does_not_count(samples: list[FaceSample]) -> None:
    assert verdict(make_finished(samples)).reasons == ()


def test_head_motion_below_the_limits_passes() -> None:
    for samples in (shifted(0.6, 16.0), changed(0.6, roll_deg=5.0), changed(0.6, scale=1.05)):
        assert verdict(make_finished(samples)).reasons == ()


def test_slow_light_is_no_jump() -> None:
    samples = [make_sample(i, i / 50, brightness=100 + i) for i in range(51)]
    slow = verdict(make_finished(samples))
    assert slow.reasons == ()
    assert slow.evidence["light_step_percent"] == 0.0  # as much as in every other frame


@pytest.mark.parametrize(("flash", "reasons"), [(0, ()), (25, ("light_jump",))])
def test_a_flickering_lamp_is_no_jump_and_hides_none(flash: int, reasons: tuple[str, ...]) -> None:
    """Six per cent in every frame; a jump has to stand out from that."""
    samples = [make_sample(i, i / 50, brightness=100 + 6 * (i % 2) + (flash if i == 20 else 0)) for i in range(51)]
    assert verdict(make_finished(samples)).reasons == reasons


def test_shift_is_relative_to_the_size_of_the_face() -> None:
    samples = make_samples(50.0, 1.0, iod_px=200.0)
    samples[30] = make_sample(30, 0.6, iod_px=200.0, centre_px=(350.0, 240.0))
    assert verdict(make_finished(samples)).evidence["head_shift_percent_iod"] == pytest.approx(15.0)


def test_roll_takes_the_short_way_round() -> None:
    samples = make_samples(50.0, 1.0, roll_deg=179.0)
    samples[25] = make_sample(25, 0.5, roll_deg=-179.0)
    assert verdict(make_finished(samples)).evidence["head_roll_deg"] == pytest.approx(2.0)


def test_a_limit_that_is_just_kept_is_kept() -> None:
    assert verdict(make_finished(at_50_fps(), (0.2, 0.5, 0.7))).reasons == ()
    assert verdict(make_finished(at_50_fps(1.4), (0.3, 0.5, 1.3))).reasons == ()
    assert verdict(make_finished(make_samples(50.0, 1.0, iod_px=40.0))).reasons == ()


@pytest.mark.parametrize("fps", [20.0, 25.0, 30.0])
def test_the_slowest_rate_allowed_is_allowed(fps: float) -> None:
    for first in (0, 37, 1001):
        samples = [make_sample(first + i, (first + i) / fps) for i in range(round(1.4 * fps))]
        start_s = first / fps
        finished = make_finished(samples, (start_s + 0.4, start_s + 0.6, start_s + 0.8))
        assert verdict(finished, replace(SPEC, min_fps=fps)).reasons == (), f"from frame {first}"
