"""What the rolling buffer keeps of one face in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tsfmicro.align import AlignSpec, apply_transform
from tsfmicro.motion import FacePatch
from tsfmicro.realtime.look import Look
from tsfmicro.values import Float64Array, Frame, Moment, UInt8Array

SLACK = 0.12
"""Share of the crop's side kept around it, so that an apex can be held on its onset without running out of picture."""


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
    look: Look
    """What the landmarks last said of this face."""
    overlap: float = 0.0
    """Largest share of this face's box that another face's box covers."""


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """The part of a frame that holds a crop."""

    pixels: UInt8Array
    """(h, w, 3) RGB; a copy."""
    origin_px: tuple[int, int]
    """Left, top of it in the frame."""

    def to_crop(self, frame_to_crop: Float64Array) -> Float64Array:
        """(2, 3) from these pixels, where ``frame_to_crop`` starts from the frame's."""
        shifted = frame_to_crop.copy()
        shifted[:, 2] += frame_to_crop[:, :2] @ np.array(self.origin_px, dtype=np.float64)
        return shifted


def cut_out(frame: Frame, to_crop: Float64Array, align: AlignSpec) -> Cutout:
    """Copy what the crop under ``to_crop`` needs of the frame, and a little more."""
    low, high = -SLACK * align.size_px, (1 + SLACK) * align.size_px
    corners = np.array([[low, low], [high, low], [low, high], [high, high]], dtype=np.float32)
    back = np.asarray(cv2.invertAffineTransform(to_crop), dtype=np.float64)
    corners = apply_transform(back, corners)
    height, width = frame.pixels.shape[:2]
    left, top = np.floor(corners.min(axis=0)).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if x1 - x0 < 2 or y1 - y0 < 2:  # landmarks may lie outside the picture
        x0, y0, x1, y1 = 0, 0, width, height
    return Cutout(frame.pixels[y0:y1, x0:x1].copy(), (int(x0), int(y0)))
