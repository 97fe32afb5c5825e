"""What others do offline, on the same takes: dense optical flow with peak rules, and grey-level differences with peaks.

*flow* follows the rules of the hand-made methods that led the challenges of 2021 and 2022 (He, 2021; Yu et al., 2022):
dense flow from the first picture of a sliding window, averaged in small regions, the nose's taken off as the head's;
a peak that rises and falls within the window is a movement. *grey* is the magnitude of the frame difference as the
learned spotters of the challenges post-process theirs: smoothed, peaks over a share of the video's own maximum, each as
long as micro-expressions usually are. Both see the whole video before they decide, and the steadied crops of the live
path, without which neither would get far; neither can say what it decides while a camera runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import cv2
import numpy as np

from tsfmicro.benchmarks.spotting.filming import Spotted, TakeResult
from tsfmicro.benchmarks.spotting.takes import Staged, Take
from tsfmicro.intervals import iou
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.motion import MOTION_POINTS
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime.course import measure_course, smoothed
from tsfmicro.realtime.pipeline import PipelineSpec
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.realtime.watch import FaceWatch
from tsfmicro.values import Float32Array, Float64Array

_PLACES = {
    "left_brow": (66, 107), "left_outer_brow": (63, 105), "right_brow": (296, 336), "right_outer_brow": (293, 334),
    "left_nose": (129, 98), "right_nose": (358, 327), "left_mouth_corner": (61,), "right_mouth_corner": (291,),
    "upper_lip": (0,), "lower_lip": (17,), "chin": (199, 175), "left_cheek": (50, 205), "right_cheek": (280, 425),
}  # fmt: skip
_NOSE = (195, 5, 4)
_HALF_PX = 9
"""Half the side of a region in the crop."""
_WINDOW_S, _STEP_S = 1.0, 0.15
_MOST_FPS = 30.0
"""Faster footage is thinned out to this: dense flow is slow."""
_SHARE = 0.55
"""Threshold of a video: mean + share times (maximum - mean), as SOFTNet and its kin have it."""
_FLOOR_PERCENT_IOD = 0.8
_MAX_ONSET_PHASE_S = 0.30
_HALF_EVENT_S = 0.21
"""Half of a usual micro-expression (k of the challenges' code, in seconds)."""
_SAME_IOU = 0.2


@dataclass(frozen=True, slots=True)
class Peak:
    """One movement by a yardstick."""

    onset_s: float
    apex_s: float
    offset_s: float
    size: float
    region: str


def measure(take: Take, staged: Staged) -> tuple[TakeResult, ...]:
    """A take through each of ``METHODS``."""
    faces: dict[int, list[FaceSample]] = {}
    times: list[float] = []
    spec = PipelineSpec()
    with FaceMeshDetector() as detector:
        watch = FaceWatch(
            detector, PreprocessSpec().align, spec.landmark_interval_s, spec.close_interval_s, StageClock()
        )
        for frame in staged.frames:
            times.append(frame.t_s)
            for face_id, seen in watch.look(frame, closely=False).faces.items():
                samples = faces.setdefault(face_id, [])
                if not samples or frame.t_s - samples[-1].moment.t_s >= 1 / _MOST_FPS - 2e-3:
                    samples.append(replace(seen.sample, pixels=seen.sample.pixels[:1, :1]))  # the rest is not needed
    step_s = float(np.median(np.diff(times)))
    results = []
    for method, find in METHODS.items():
        spotted: list[Spotted] = []
        for samples in faces.values():
            if len(samples) > _MOST_FPS / 2:
                x, y = samples[0].centre_px
                face = int(np.argmin([np.hypot(x - px, y - py) for px, py in staged.places_px]))
                spotted += [_spotted(peak, face, times[-1]) for peak in find(samples)]
        results.append(TakeResult(take, staged.truth, tuple(spotted), staged.blinks, staged.watched_s, step_s, method))
    return tuple(results)


def flow_peaks(samples: Sequence[FaceSample]) -> list[Peak]:
    """Movements by dense flow and peak rules over the whole of a face's samples."""
    times_s = np.array([s.moment.t_s for s in samples])
    found: list[Peak] = []
    sizes: list[float] = []
    for start in _window_starts(times_s):
        end = int(np.searchsorted(times_s, times_s[start] + _WINDOW_S))
        curves = _flow_curves(samples[start:end])
        for index, region in enumerate(_PLACES):
            curve = smoothed(curves[:, index])
            apex = int(curve.argmax())
            sizes.append(float(curve[apex]))
            course = measure_course(times_s[start:end], curve, apex)
            size = min(course.rise, course.fall)
            apex_s = float(times_s[start + apex])
            if course.returned and size >= _FLOOR_PERCENT_IOD and apex_s - course.onset_s <= _MAX_ONSET_PHASE_S:
                found.append(Peak(course.onset_s, apex_s, course.offset_s, size, region))
    return _best_apart([peak for peak in found if peak.size >= _threshold(sizes)])


def grey_peaks(samples: Sequence[FaceSample]) -> list[Peak]:
    """Movements by the mean grey-level difference of the strongest region to half an event earlier."""
    times_s = np.array([s.moment.t_s for s in samples])
    curve = np.zeros(len(samples))
    for i, sample in enumerate(samples):
        earlier = samples[max(int(np.searchsorted(times_s, times_s[i] - _HALF_EVENT_S)), 0)]
        curve[i] = max(_grey_difference(earlier, sample))
    width = max(round(2 * _HALF_EVENT_S / float(np.median(np.diff(times_s)))), 1)
    smooth = np.convolve(np.pad(curve, width // 2, mode="edge"), np.ones(width) / width, mode="same")
    smooth = smooth[width // 2 : width // 2 + len(curve)]
    threshold = _threshold(smooth.tolist())
    peaks = []
    for i, t_s in enumerate(times_s):
        near = smooth[np.abs(times_s - t_s) <= _HALF_EVENT_S]
        if smooth[i] >= threshold and smooth[i] == near.max():
            span = max(t_s - _HALF_EVENT_S, 0.0), t_s + _HALF_EVENT_S
            peaks.append(Peak(float(span[0]), float(t_s), float(span[1]), float(smooth[i]), "face"))
    return _best_apart(peaks)


METHODS: Mapping[str, Callable[[Sequence[FaceSample]], list[Peak]]] = MappingProxyType(
    {"flow": flow_peaks, "grey": grey_peaks}
)
"""How each finds the movements of one face."""


def _window_starts(times_s: Float64Array) -> Iterator[int]:
    next_s = times_s[0]
    for index, t_s in enumerate(times_s):
        if t_s >= next_s - 1e-6 and times_s[-1] - t_s >= _WINDOW_S / 2:
            yield index
            next_s = t_s + _STEP_S


def _flow_curves(window: Sequence[FaceSample]) -> Float64Array:
    """(N, regions) how far each region moved since the first picture, the nose's motion taken off.

    Percent of the inter-ocular distance.
    """
    first = window[0].patch
    scale = 100.0 / PreprocessSpec().align.iod_px
    flow_of = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    curves = np.zeros((len(window), len(_PLACES)))
    empty = np.zeros((*first.grey.shape, 2), dtype=np.float32)
    for i, sample in enumerate(window[1:], start=1):
        flow = np.asarray(flow_of.calc(first.grey, sample.patch.grey, empty), dtype=np.float64)
        head = _mean_at(flow, first.points_px, _NOSE)
        for j, points in enumerate(_PLACES.values()):
            curves[i, j] = float(np.hypot(*(_mean_at(flow, first.points_px, points) - head))) * scale
    return curves


def _mean_at(picture: Float64Array, points_px: Float32Array, landmarks: tuple[int, ...]) -> Float64Array:
    """Mean of the picture over small squares around landmarks."""
    means = []
    for landmark in landmarks:
        x, y = np.round(points_px[MOTION_POINTS.index(landmark)]).astype(int)
        part = picture[max(y - _HALF_PX, 0) : y + _HALF_PX + 1, max(x - _HALF_PX, 0) : x + _HALF_PX + 1]
        means.append(part.reshape(-1, *picture.shape[2:]).mean(axis=0))
    return np.asarray(np.mean(means, axis=0), dtype=np.float64)


def _grey_difference(earlier: FaceSample, later: FaceSample) -> list[float]:
    """Mean absolute difference of each region, brightness of the face taken out."""
    before, after = (s.patch.grey.astype(np.float64) for s in (earlier, later))
    difference = np.abs(after * (before.mean() / max(after.mean(), 1.0)) - before)
    return [float(_mean_at(difference, earlier.patch.points_px, points)) for points in _PLACES.values()]


def _threshold(values: Sequence[float]) -> float:
    mean = float(np.mean(values)) if len(values) else 0.0
    return mean + _SHARE * (max(values, default=0.0) - mean)


def _best_apart(peaks: Sequence[Peak]) -> list[Peak]:
    """The largest of those that overlap."""
    kept: list[Peak] = []
    for peak in sorted(peaks, key=lambda p: (-p.size, p.onset_s)):
        span = peak.onset_s, peak.offset_s
        if all(iou(span, (k.onset_s, k.offset_s)) <= _SAME_IOU for k in kept):
            kept.append(peak)
    return sorted(kept, key=lambda p: p.onset_s)


def _spotted(peak: Peak, face: int, end_s: float) -> Spotted:
    return Spotted(
        peak.onset_s, peak.apex_s, peak.offset_s, end_s, None, None, (), face, peak.region, magnitude=peak.size
    )
