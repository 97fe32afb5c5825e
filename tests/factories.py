"""Faces, samples and movements that several test modules are made of."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from skimage import data

from tsfmicro.align import RIGID_POINTS, AlignSpec
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.motion import MOTION_POINTS, REGIONS, FacePatch
from tsfmicro.realtime.look import Look
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.spot import Finished
from tsfmicro.synthetic.portrait import Portrait, portrait_of
from tsfmicro.values import LANDMARK_COUNT, Face, Float32Array, Frame, Interval, Moment, UInt8Array

EYES = {  # outer corner, inner corner, pairs of upper and lower lid
    "left": (33, 133, ((159, 145), (158, 153), (160, 144))),
    "right": (263, 362, ((386, 374), (385, 380), (387, 373))),
}


def make_frame(pixels: UInt8Array, index: int = 0, t_s: float | None = None) -> Frame:
    """One picture of a 30 fps source."""
    return Frame(pixels=pixels, index=index, t_s=index / 30 if t_s is None else t_s, captured_s=0.0, source="test")


@functools.cache
def astronaut() -> Portrait:
    """The public-domain portrait inside scikit-image, with its landmarks; found once per session."""
    with FaceMeshDetector(max_faces=1) as detector:
        return portrait_of("astronaut", np.asarray(data.astronaut(), dtype=np.uint8), detector)


def make_landmarks(
    centre_px: tuple[float, float] = (320.0, 240.0),
    iod_px: float = 100.0,
    roll_deg: float = 0.0,
    opening: tuple[float, float] = (0.3, 0.3),
) -> Float32Array:
    """(468, 2) landmarks of an average face: rigid points exact, eyelids as open as asked, the rest strewn about."""
    rng = np.random.default_rng(468)
    angle, radius = rng.uniform(0, 2 * np.pi, LANDMARK_COUNT), np.sqrt(rng.uniform(0, 1, LANDMARK_COUNT))
    points = np.stack([0.7 * radius * np.cos(angle), 0.3 + 0.8 * radius * np.sin(angle)], axis=1)
    unit = AlignSpec(size_px=224, iod_px=100.0, eye_row_px=76.0)
    points[list(RIGID_POINTS)] = (unit.template_px() - (unit.size_px / 2, unit.eye_row_px)) / unit.iod_px
    for (outer, inner, lids), ratio in zip(EYES.values(), opening, strict=True):
        middle = (points[outer] + points[inner]) / 2
        half = np.array([0.0, ratio * np.linalg.norm(points[outer] - points[inner]) / 2])
        for upper, lower in lids:
            points[upper], points[lower] = middle - half, middle + half
    roll = np.deg2rad(roll_deg)
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    placed: Float32Array = (iod_px * points @ turn.T + centre_px).astype(np.float32)
    return placed


def make_face(
    centre_px: tuple[float, float] = (320.0, 240.0),
    iod_px: float = 100.0,
    roll_deg: float = 0.0,
    opening: tuple[float, float] = (0.3, 0.3),
) -> Face:
    """An average face; see :func:`make_landmarks`."""
    return Face(make_landmarks(centre_px, iod_px, roll_deg, opening))


def make_sample(
    index: int,
    t_s: float,
    *,
    opening: float = 0.3,
    centre_px: tuple[float, float] = (320.0, 240.0),
    iod_px: float = 100.0,
    roll_deg: float = 0.0,
    scale: float = 1.0,
    mouth_opening: float = 2.0,
    yaw_deg: float = 0.0,
    overlap: float = 0.0,
    brightness: int = 100,
    shows: int | None = None,
) -> FaceSample:
    """A sample without a picture, or with that of another index where it ``shows`` one.

    ``patch.to_crop[0, 2]`` is the time, for stubs of ``displacement``.
    """
    roll = np.deg2rad(roll_deg)
    linear = scale * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    to_crop = np.column_stack([linear, [t_s, 0.0]])
    grey = np.full((32, 32), brightness, np.uint8)
    shown = index if shows is None else shows
    grey[shown // 31 % 32, shown % 31 : shown % 31 + 2] += np.array([1, 255], np.uint8)  # no two pictures are the same
    patch = FacePatch(grey, to_crop, np.zeros((len(MOTION_POINTS), 2), np.float32))
    return FaceSample(
        moment=Moment(index, t_s),
        patch=patch,
        pixels=np.zeros((2, 2, 3), np.uint8),
        pixels_to_crop=to_crop,
        centre_px=centre_px,
        iod_px=iod_px,
        look=Look(opening, mouth_opening, yaw_deg, 0.0),
        overlap=overlap,
    )


def make_samples(fps: float, duration_s: float, **looks: Any) -> list[FaceSample]:
    """Samples of an even stream from 0 to the duration, both included."""
    return [make_sample(i, i / fps, **looks) for i in range(round(duration_s * fps) + 1)]


def moment_at(samples: list[FaceSample], t_s: float) -> Moment:
    """The sample's moment nearest to a time."""
    return min((s.moment for s in samples), key=lambda moment: abs(moment.t_s - t_s))


def make_finished(
    samples: list[FaceSample],
    times_s: tuple[float, float, float] = (0.3, 0.5, 0.7),
    *,
    returned: bool = True,
) -> Finished:
    """A movement with onset, apex and offset at the samples nearest to the times."""
    onset, apex, offset = (moment_at(samples, t_s) for t_s in times_s)
    values: dict[str, Any] = {
        "candidate": 1,
        "interval": Interval(onset, apex, offset),
        "region": REGIONS[0],
        "magnitude": 3.0,
        "score": 8.0,
        "returned": returned,
        "samples": tuple(samples),
        "confirmed": samples[-1].moment,
    }
    neutral = {"float": 0.0, "int": 0, "bool": False, "Float64Array": np.zeros((len(samples), len(REGIONS)))}
    for field in dataclasses.fields(Finished):  # fields that the spotter has and these tests do not speak about
        if field.name not in values and field.default is dataclasses.MISSING:
            values[field.name] = neutral[str(field.type)]
    return Finished(**values)
