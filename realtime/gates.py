"""What turns a spotted movement into a reported micro-expression, or into a rejection with its reasons.

Some limits decide alone: where the stream or the face cannot show a micro-expression, and where a movement did not come
back in its time. The others, a blink or a moving mouth near by, do not exclude one: there the confidence decides
(:mod:`tsfmicro.realtime.confidence`), and what exceeded its limit is given as the reason where it decided against.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from tsfmicro.motion import Displacement
from tsfmicro.realtime.confidence import Scorer, features_of, shipped_scorer
from tsfmicro.realtime.events import SAME_MOVEMENT
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.spot import Finished
from tsfmicro.values import Float64Array, UInt8Array

LOW_CONFIDENCE = "low_confidence"
LEFT_TO_CONFIDENCE = frozenset({"too_weak", "too_strong", "blink", "head_motion", "speech"})
"""Reasons that do not reject alone where a movement has a confidence."""


@dataclass(frozen=True, slots=True)
class GateSpec:
    """Limits of what may be called a micro-expression."""

    min_confidence: float = 0.75
    """Probability from which a movement is reported: the operating point. Higher misses more and errs less. On people
    left out of the fit, this one gives at most one false event a minute of talking faces (docs/spotting.md)."""

    max_onset_phase_s: float = 0.30
    """Onset to apex. 0.27 s tells micro from macro across data sets; one frame at 30 fps on top."""
    max_duration_s: float = 1.0
    """Onset to offset."""
    min_magnitude_percent_iod: float = 0.8
    """Peak displacement; below, it is the noise of the measurement."""
    max_magnitude_percent_iod: float = 10.0
    """Above, it is a full expression, speech, or points that were lost."""
    min_fps: float = 20.0
    """Distinct pictures a second; below, phases of 1/25 s cannot be resolved at all."""
    max_gap_s: float = 0.12
    """Longest step between two frames of the movement."""
    min_eye_opening_ratio: float = 0.78
    """Eye opening near the event over its usual value; below is a blink."""
    blink_margin_s: float = 0.10
    """How near a blink may come."""
    max_head_shift_percent_iod: float = 18.0
    """Way of the eyes' middle across the frame from onset to offset."""
    max_head_roll_deg: float = 6.0
    """In-plane rotation from onset to offset."""
    max_head_zoom_percent: float = 6.0
    """Change of size from onset to offset."""
    max_rigid_error_percent_iod: float = 0.9
    """What a similarity cannot explain of the head: a turn in depth."""
    min_iod_px: float = 40.0
    """Smaller faces do not show the movement."""
    max_turn_deg: float = 35.0
    """Yaw or pitch; beyond, half of the face is not seen."""
    max_mouth_range_percent_iod: float = 9.0
    """How much the opening of the mouth changes; beyond, it speaks."""
    max_light_step_percent: float = 4.0
    """Change of the face's mean brightness between two frames, beyond what is usual under a flickering lamp."""
    max_overlap: float = 0.25
    """Share of the face that another face's box covers; beyond, it may be the other one's movement."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gates' answer; an empty tuple of reasons lets the movement pass."""

    reasons: tuple[str, ...]
    evidence: Mapping[str, float]
    confidence: float | None = None
    """Probability that it is a micro-expression; None where nothing is known of the movement's shape."""


def judge(finished: Finished, onset_to_apex: Displacement, spec: GateSpec, scorer: Scorer | None = None) -> Verdict:
    """Hold one movement against every limit, and score it.

    Args:
        finished: the movement.
        onset_to_apex: displacement of its apex against its onset.
        spec: the limits.
        scorer: the one that comes with the package by default.
    """
    held = examine(finished, onset_to_apex, spec)
    if finished.shape is None:
        return held
    scorer = scorer or shipped_scorer()
    confidence = scorer.confidence(features_of(finished, held.evidence, scorer.patterns))
    alone = tuple(reason for reason in held.reasons if reason not in LEFT_TO_CONFIDENCE)
    reasons = held.reasons
    if not alone:
        reasons = () if confidence >= spec.min_confidence else (LOW_CONFIDENCE, *held.reasons)
    return Verdict(reasons, {**held.evidence, "confidence": confidence}, confidence)


def merit_of(finished: Finished, verdict: Verdict) -> float:
    """What one of several tellings of a movement is worth.

    Of those that pass, the clearest, because its times are the best; of others, the most confident. What a limit
    rejects alone is worth -1.
    """
    if set(verdict.reasons) - LEFT_TO_CONFIDENCE - {LOW_CONFIDENCE} or verdict.confidence is None:
        return -1.0
    if verdict.reasons or finished.shape is None:
        return verdict.confidence
    return 1.0 + finished.score * finished.shape.balance


def overshadowed(verdict: Verdict) -> Verdict:
    """The verdict on a movement that another one tells of better."""
    others = tuple(reason for reason in verdict.reasons if reason not in {SAME_MOVEMENT, LOW_CONFIDENCE})
    return replace(verdict, reasons=(SAME_MOVEMENT, *others))


def examine(finished: Finished, onset_to_apex: Displacement, spec: GateSpec) -> Verdict:
    """Every limit that a movement exceeds, and what was measured; without a confidence."""
    interval = finished.interval
    near = _between(finished, spec.blink_margin_s)
    inside = _between(finished, 0.0)
    steps_s = np.diff([s.moment.t_s for s in finished.samples])
    gap_s = float(steps_s.max()) if steps_s.size else 0.0
    fps = _distinct_fps(inside)
    too_slow = fps < spec.min_fps - 1e-6
    usual_opening = float(np.median([s.look.eye_opening for s in finished.samples]))
    opening_ratio = min(s.look.eye_opening for s in near) / max(usual_opening, 1e-6)
    shift, roll_deg, zoom = _head_motion(inside)
    iod_px = min(s.iod_px for s in inside)
    turn_deg = max(max(abs(s.look.yaw_deg), abs(s.look.pitch_deg)) for s in inside)
    mouth_range = float(np.ptp([s.look.mouth_opening for s in inside]))
    light_step = _light_step(inside, finished.samples)
    overlap = max(s.overlap for s in inside)
    checks = {
        SAME_MOVEMENT: finished.overshadowed,
        "no_return": not finished.returned,
        "slow_onset": interval.onset_phase_s > spec.max_onset_phase_s + 1e-6,
        "too_long": interval.duration_s > spec.max_duration_s + 1e-6,
        "too_weak": finished.magnitude < spec.min_magnitude_percent_iod,
        "too_strong": finished.magnitude > spec.max_magnitude_percent_iod,
        "frame_rate": too_slow,
        "stream_gap": gap_s > spec.max_gap_s + 1e-6 and not too_slow,
        "blink": opening_ratio < spec.min_eye_opening_ratio,
        "head_motion": shift > spec.max_head_shift_percent_iod
        or roll_deg > spec.max_head_roll_deg
        or zoom > spec.max_head_zoom_percent
        or onset_to_apex.rigid_error > spec.max_rigid_error_percent_iod,
        "face_too_small": iod_px < spec.min_iod_px,
        "face_turned": turn_deg > spec.max_turn_deg,
        "speech": mouth_range > spec.max_mouth_range_percent_iod,
        "light_jump": light_step > spec.max_light_step_percent,
        "identity_switch": overlap > spec.max_overlap,
    }
    evidence = {
        "onset_phase_s": interval.onset_phase_s,
        "duration_s": interval.duration_s,
        "magnitude_percent_iod": finished.magnitude,
        "fps_measured": fps,
        "longest_step_s": gap_s,
        "eye_opening_ratio": opening_ratio,
        "head_shift_percent_iod": shift,
        "head_roll_deg": roll_deg,
        "head_zoom_percent": zoom,
        "rigid_error_percent_iod": onset_to_apex.rigid_error,
        "iod_px": iod_px,
        "turn_deg": turn_deg,
        "mouth_range_percent_iod": mouth_range,
        "light_step_percent": light_step,
        "overlap": overlap,
    }
    return Verdict(tuple(reason for reason, failed in checks.items() if failed), evidence)


def _distinct_fps(samples: Sequence[FaceSample]) -> float:
    """Pictures a second that show something new; 0 where there are not two.

    A camera that repeats its pictures to keep up a rate has not seen more for it. Only asked of samples in which the
    face moves: at rest, compressed video repeats itself.
    """
    times_s = [samples[0].moment.t_s]
    for before, after in itertools.pairwise(samples):
        if not _same_picture(before.patch.grey, after.patch.grey):
            times_s.append(after.moment.t_s)
    return 1 / float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0


def _same_picture(one: UInt8Array, other: UInt8Array) -> bool:
    """Exact; a row in the middle tells most pictures apart at no cost."""
    middle = len(one) // 2
    return np.array_equal(one[middle], other[middle]) and np.array_equal(one, other)


def _between(finished: Finished, margin_s: float) -> list[FaceSample]:
    start, end = finished.interval.onset.t_s - margin_s, finished.interval.offset.t_s + margin_s
    return [s for s in finished.samples if start - 1e-6 <= s.moment.t_s <= end + 1e-6]


def _head_motion(samples: list[FaceSample]) -> tuple[float, float, float]:
    """Largest shift (percent of the inter-ocular distance), roll (degrees) and zoom (percent) against the first."""
    first = samples[0]
    away = np.array([sample.centre_px for sample in samples]) - first.centre_px
    shifts = np.hypot(away[:, 0], away[:, 1]) / first.iod_px * 100
    turned = np.array([sample.patch.to_crop[:, 0] for sample in samples])
    scales, angles = np.hypot(turned[:, 0], turned[:, 1]), np.arctan2(turned[:, 1], turned[:, 0])
    turns = (angles - angles[0] + np.pi) % (2 * np.pi) - np.pi
    zooms = np.abs(scales / scales[0] - 1) * 100
    return float(shifts.max()), float(np.abs(np.rad2deg(turns)).max()), float(zooms.max())


def _light_step(samples: Sequence[FaceSample], around: Sequence[FaceSample]) -> float:
    """Largest change of mean brightness from one frame to the next, percent, less twice the usual one.

    A lamp that flickers changes the light in every frame; a jump is a change that stands out.
    """
    steps, usual = _light_steps(samples), _light_steps(around)
    return max(0.0, float(steps.max()) - 2.0 * float(np.median(usual))) if steps.size else 0.0


def _light_steps(samples: Sequence[FaceSample]) -> Float64Array:
    # Cheaper than numpy's mean, and the same number: whole numbers are summed exactly.
    means = np.array([cv2.sumElems(s.patch.grey)[0] / s.patch.grey.size for s in samples])
    steps: Float64Array = 100.0 * np.abs(np.diff(means)) / np.maximum(means[:-1], 1.0)
    return steps
