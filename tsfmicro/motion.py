"""What moved in a face between two frames once the head's own motion is taken out.

The displacement residual: points are followed by pyramidal Lucas-Kanade between two aligned patches, the rigid
motion is fitted to points that facial muscles hardly move, and what is left over per region, in percent of the
inter-ocular distance, is the motion of the face itself. Measured against alternatives, it separates
micro-expressions where grey-level differences and raw landmarks cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tsfmicro.align import RIGID_POINTS, AlignSpec, apply_transform, crop_transform
from tsfmicro.errors import ContractError
from tsfmicro.values import BoolArray, Float32Array, Float64Array, UInt8Array, require_array

_REGION_POINTS: dict[str, tuple[int, ...]] = {
    "left_brow": (70, 63, 105, 66, 107, 55, 52),
    "right_brow": (300, 293, 334, 296, 336, 285, 282),
    "left_mouth_corner": (61, 57, 76, 186, 43, 91),
    "right_mouth_corner": (291, 287, 306, 410, 273, 321),
    "upper_lip": (0, 37, 267, 39, 269, 164),
    "lower_lip": (17, 84, 314, 181, 405, 18),
    "left_nose": (129, 98, 49, 203, 64),
    "right_nose": (358, 327, 279, 423, 294),
    "left_cheek": (50, 101, 118, 36, 205),
    "right_cheek": (280, 330, 347, 266, 425),
    "chin": (152, 199, 175, 200, 148, 377),
}

REGIONS: tuple[str, ...] = tuple(_REGION_POINTS)
"""Regions in the order of every residual. Left and right are the picture's."""

_UNSTEADY = frozenset({151})
"""Rigid enough to place a crop, but raised with the inner brows (AU 1)."""
_RIGID_EXTRA = (195, 5, 4, 139, 368, 34, 264, 143, 372, 116, 345)
_RIGID = (*(p for p in RIGID_POINTS if p not in _UNSTEADY), *_RIGID_EXTRA)
MOTION_POINTS: tuple[int, ...] = (*_RIGID, *(p for points in _REGION_POINTS.values() for p in points))
"""Face-mesh indices that are followed: the rigid ones first, then region by region."""

_RIGID_COUNT = len(_RIGID)
_REGION_SLICES = tuple(
    slice(start, start + len(points))
    for start, points in zip(
        np.cumsum([_RIGID_COUNT, *(len(p) for p in _REGION_POINTS.values())])[:-1].tolist(),
        _REGION_POINTS.values(),
        strict=True,
    )
)
_LK_WINDOW = (21, 21)
_LK_LEVELS = 2
_LK_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01)
_MIN_RIGID = 12
_RIGID_TOLERANCE_PX = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class FacePatch:
    """A face in one frame, aligned and grey: all that motion is measured on."""

    grey: UInt8Array
    """(S, S)."""
    to_crop: Float64Array
    """(2, 3) similarity from frame pixels to the patch."""
    points_px: Float32Array
    """(K, 2) positions of ``MOTION_POINTS`` in the patch, as the landmark component sees them."""

    def __post_init__(self) -> None:
        require_array("FacePatch.points_px", self.points_px, (len(MOTION_POINTS), 2), np.float32)
        require_array("FacePatch.grey", self.grey, (None, None), np.uint8)


def face_patch(pixels: UInt8Array, landmarks_px: Float32Array, spec: AlignSpec) -> FacePatch:
    """Align a face of an (H, W, 3) RGB picture by its landmarks."""
    to_crop = crop_transform(landmarks_px, spec)
    side = (spec.size_px, spec.size_px)
    colour = cv2.warpAffine(pixels, to_crop, side, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    grey = np.asarray(cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return FacePatch(grey, to_crop, apply_transform(to_crop, landmarks_px[list(MOTION_POINTS)]))


@dataclass(frozen=True, slots=True, eq=False)
class Displacement:
    """What moved between two patches of one face."""

    residual: Float64Array
    """(R,) displacement left over per region of ``REGIONS``, percent of the inter-ocular distance."""
    rigid: Float64Array
    """(2, 3) similarity: the motion of the head, patch pixels of the first to patch pixels of the second."""
    rigid_error: float
    """Median distance of the rigid points from that motion, percent of the inter-ocular distance."""


def displacement(reference: FacePatch, current: FacePatch, spec: AlignSpec) -> Displacement:
    """Follow the points of ``reference`` into ``current``.

    A region of which fewer than half the points could be followed has moved 0: it cannot say that anything moved.

    Raises:
        ContractError: if the patches differ in size.
    """
    if reference.grey.shape != current.grey.shape:
        raise ContractError(f"patches are {reference.grey.shape} and {current.grey.shape}; expected equal sizes")
    tracked, status, _ = cv2.calcOpticalFlowPyrLK(
        reference.grey,
        current.grey,
        reference.points_px,
        current.points_px.copy(),
        winSize=_LK_WINDOW,
        maxLevel=_LK_LEVELS,
        criteria=_LK_CRITERIA,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    followed = np.asarray(tracked, dtype=np.float32)
    found = status[:, 0] == 1
    rigid = _fit_rigid(reference.points_px[:_RIGID_COUNT], followed[:_RIGID_COUNT], found[:_RIGID_COUNT])
    left_over = (followed - apply_transform(rigid, reference.points_px)) * (100.0 / spec.iod_px)
    residual = np.array([_region_motion(left_over[part], found[part]) for part in _REGION_SLICES])
    error = np.linalg.norm(left_over[:_RIGID_COUNT][found[:_RIGID_COUNT]], axis=1)
    return Displacement(residual, rigid, float(np.median(error)) if error.size else 0.0)


def _fit_rigid(before: Float32Array, after: Float32Array, found: BoolArray) -> Float64Array:
    # A similarity, not an affine fit: the rigid points end at the cheeks, and two more degrees of freedom, swayed by a
    # raised brow, would be extrapolated to the chin.
    if int(found.sum()) >= _MIN_RIGID:
        fitted, _ = cv2.estimateAffinePartial2D(
            before[found], after[found], method=cv2.RANSAC, ransacReprojThreshold=_RIGID_TOLERANCE_PX
        )
        if fitted is not None:
            return np.asarray(fitted, dtype=np.float64)
    return np.array([[1.0, 0, 0], [0, 1.0, 0]])


def _region_motion(moves: Float32Array, found: BoolArray) -> float:
    if 2 * int(found.sum()) < len(found):
        return 0.0
    return float(np.linalg.norm(np.median(moves[found], axis=0)))
