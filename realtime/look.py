"""What the landmarks say of a face besides where it is: eyes, mouth and how far it is turned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsfmicro.align import interocular_distance_px
from tsfmicro.landmarks import eye_opening
from tsfmicro.values import Face

_INNER_LIPS = ((13, 14), (82, 87), (312, 317))


@dataclass(frozen=True, slots=True)
class Look:
    """State of a face at its last landmarks."""

    eye_opening: float
    """Eye aspect ratio; see :func:`tsfmicro.landmarks.eye_opening`."""
    mouth_opening: float
    """Distance of the inner lips, percent of the inter-ocular distance."""
    yaw_deg: float
    """To the picture's right is positive."""
    pitch_deg: float
    """Down is positive."""


def look_of(face: Face) -> Look:
    """Read a face's landmarks."""
    points = face.landmarks_px
    lips = [float(np.linalg.norm(points[a] - points[b])) for a, b in _INNER_LIPS]
    iod_px = max(interocular_distance_px(points), 1e-6)
    return Look(eye_opening(face), float(np.mean(lips)) / iod_px * 100.0, face.yaw_deg, face.pitch_deg)
