"""What the rolling buffer keeps of one face in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsfmicro.align import AlignSpec, interocular_distance_px
from tsfmicro.landmarks import eye_opening
from tsfmicro.motion import FacePatch, face_patch
from tsfmicro.values import Face, Float64Array, Frame, Moment, UInt8Array

_MARGIN_IOD = 0.9
"""How far the kept picture reaches beyond the landmarks, so that the crop never runs out of it."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceSample:
    """One face in one frame: enough to measure motion and to cut the recogniser's crops later."""

    moment: Moment
    patch: FacePatch
    pixels: UInt8Array
    """(h, w, 3) RGB, the frame around the face; a copy, so that the frame can go."""
    pixels_to_crop: Float64Array
    """(2, 3) similarity from those pixels to the crop."""
    centre_px: tuple[float, float]
    """Middle of the eyes in the frame."""
    iod_px: float
    """Inter-ocular distance in the frame."""
    eye_opening: float
    """Eye aspect ratio; see :func:`tsfmicro.landmarks.eye_opening`."""


def take_sample(frame: Frame, face: Face, align: AlignSpec) -> FaceSample:
    """Cut a face out of a frame."""
    patch = face_patch(frame.pixels, face.landmarks_px, align)
    iod = interocular_distance_px(face.landmarks_px)
    left, top, right, bottom = face.box_px
    margin = _MARGIN_IOD * iod
    height, width = frame.pixels.shape[:2]
    x0, y0 = max(int(left - margin), 0), max(int(top - margin), 0)
    x1, y1 = min(int(right + margin), width), min(int(bottom + margin), height)
    if x1 - x0 < 2 or y1 - y0 < 2:  # landmarks may lie outside the picture
        x0, y0, x1, y1 = 0, 0, width, height
    shifted = patch.to_crop.copy()
    shifted[:, 2] += patch.to_crop[:, :2] @ np.array([x0, y0], dtype=np.float64)
    eyes = (face.landmarks_px[33] + face.landmarks_px[263]) / 2
    return FaceSample(
        moment=Moment(frame.index, frame.t_s),
        patch=patch,
        pixels=frame.pixels[y0:y1, x0:x1].copy(),
        pixels_to_crop=shifted,
        centre_px=(float(eyes[0]), float(eyes[1])),
        iod_px=iod,
        eye_opening=eye_opening(face),
    )
