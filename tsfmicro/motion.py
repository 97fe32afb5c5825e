"""What moved in a face between two frames once the head's own motion is taken out.

The displacement residual: points are followed by pyramidal Lucas-Kanade between two aligned patches, the rigid
motion that most of them follow is fitted robustly, and what is left over per region, in percent of the
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

_UNSTEADY = frozenset({10, 67, 297, 109, 338, 103, 332, 54, 284, 151})
"""Rigid enough to place a crop, but forehead skin, which the brows take with them (AU 1, AU 2)."""
_RIGID_EXTRA = (195, 5, 4, 139, 368, 34, 264, 143, 372, 116, 345)
_RIGID = (*(p for p in RIGID_POINTS if p not in _UNSTEADY), *_RIGID_EXTRA)
MOTION_POINTS: tuple[int, ...] = (*_RIGID, *(p for points in _REGION_POINTS.values() for p in points))
"""Face-mesh indices that are followed: the rigid ones first, then region by region."""

_RIGID_COUNT = len(_RIGID)
_REGION_SIZES = np.array([len(points) for points in _REGION_POINTS.values()])
_REGION_MEMBERS = np.full((len(REGIONS), int(_REGION_SIZES.max())), len(MOTION_POINTS))
"""(R, P) places of each region's points in ``MOTION_POINTS``, filled up with the place after the last."""
for _row, (_start, _size) in enumerate(
    zip(_RIGID_COUNT + np.cumsum(_REGION_SIZES) - _REGION_SIZES, _REGION_SIZES, strict=True)
):
    _REGION_MEMBERS[_row, :_size] = np.arange(_start, _start + _size)
_LK_WINDOW = (21, 21)
_LK_LEVELS = 2
_LK_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01)
_LK_FLAGS = cv2.OPTFLOW_USE_INITIAL_FLOW | cv2.OPTFLOW_LK_GET_MIN_EIGENVALS
"""Eigenvalues are there anyway; the other measure of error, which nobody reads, costs time."""
_LK_HALF = _LK_WINDOW[0] // 2
_LK_REACH = _LK_WINDOW[0] - _LK_HALF
"""How far outside of the picture a point may end: as long as its window touches it."""
_MIN_RIGID = 12
_REWEIGHTINGS = 8
_FINEST_PX = 0.03
"""Points are not told apart by less than they are followed to."""
_SETTLED_PX = _FINEST_PX / 10
"""A fit that moves no point by more than this has converged."""
_NOT_AT_ALL: Float64Array = np.array([[1.0, 0, 0], [0, 1.0, 0]])


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
    grey = aligned_grey(grey_of(pixels), to_crop, spec)
    return FacePatch(grey, to_crop, apply_transform(to_crop, landmarks_px[list(MOTION_POINTS)]))


def grey_of(pixels: UInt8Array) -> UInt8Array:
    """(H, W) luma of an (H, W, 3) RGB picture."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def aligned_grey(grey: UInt8Array, to_crop: Float64Array, spec: AlignSpec) -> UInt8Array:
    """(S, S) crop of an (H, W) grey picture."""
    side = (spec.size_px, spec.size_px)
    warped = cv2.warpAffine(grey, to_crop, side, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class HeadMotion:
    """Where the head went between a patch and a later picture of it."""

    rigid: Float64Array
    """(2, 3) similarity, pixels of the reference patch to pixels of the later crop."""
    rigid_error: float
    """What that leaves unexplained, percent of the inter-ocular distance; see :class:`Displacement`."""


def head_motion(reference: FacePatch, grey: UInt8Array, spec: AlignSpec) -> HeadMotion | None:
    """Follow the points of ``reference`` into an (S, S) crop that stands roughly like it.

    Returns:
        None where too few points could be followed: the head turned away, or something came before it.
    """
    points = reference.points_px
    followed, found = _followed(reference.grey, grey, points, points)
    if int(found.sum()) < len(points) // 2:
        return None
    rigid = _fit_rigid(points, followed, found)
    left_over = (followed - apply_transform(rigid, points)) * (100.0 / spec.iod_px)
    return HeadMotion(rigid, _rigid_error(left_over, found))


@dataclass(frozen=True, slots=True, eq=False)
class Displacement:
    """What moved between two patches of one face."""

    residual: Float64Array
    """(R,) displacement left over per region of ``REGIONS``, percent of the inter-ocular distance."""
    rigid: Float64Array
    """(2, 3) similarity: the motion of the head, patch pixels of the first to patch pixels of the second."""
    rigid_error: float
    """What the similarity does not explain, percent of the inter-ocular distance: the smaller of two medians, over the
    points that should be rigid and over those that expressions move. An expression moves one group or the other; a
    head that turns in depth moves both."""


def displacement(reference: FacePatch, current: FacePatch, spec: AlignSpec) -> Displacement:
    """Follow the points of ``reference`` into ``current``.

    A region of which fewer than half the points could be followed has moved 0: it cannot say that anything moved.

    Raises:
        ContractError: if the patches differ in size.
    """
    if reference.grey.shape != current.grey.shape:
        raise ContractError(f"patches are {reference.grey.shape} and {current.grey.shape}; expected equal sizes")
    followed, found = _followed(reference.grey, current.grey, reference.points_px, current.points_px)
    rigid = _fit_rigid(reference.points_px, followed, found)
    left_over = (followed - apply_transform(rigid, reference.points_px)) * (100.0 / spec.iod_px)
    return Displacement(_region_motions(left_over, found), rigid, _rigid_error(left_over, found))


def region_moves(reference: FacePatch, current: FacePatch, spec: AlignSpec) -> Float64Array:
    """Where each region moved once the head's motion is taken out: :func:`displacement` with its direction.

    Returns:
        (R, 2) right and down in the reference's axes, percent of the inter-ocular distance; NaN for a region of
        ``REGIONS`` that cannot be told.

    Raises:
        ContractError: if the patches differ in size.
    """
    if reference.grey.shape != current.grey.shape:
        raise ContractError(f"patches are {reference.grey.shape} and {current.grey.shape}; expected equal sizes")
    followed, found = _followed(reference.grey, current.grey, reference.points_px, current.points_px)
    rigid = _fit_rigid(reference.points_px, followed, found)
    left_over = (followed - apply_transform(rigid, reference.points_px)) * (100.0 / spec.iod_px)
    # The inverse of a similarity, transposed, is the similarity over its squared scale.
    return np.asarray(_region_moves(left_over, found) @ rigid[:, :2], dtype=np.float64) / float(
        rigid[0, 0] ** 2 + rigid[1, 0] ** 2
    )


def _followed(
    before: UInt8Array, after: UInt8Array, points_px: Float32Array, guess_px: Float32Array
) -> tuple[Float32Array, BoolArray]:
    """(K, 2) places of the points in ``after``, and (K,) whether each was found."""
    tracked, status, _ = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        points_px,
        guess_px.copy(),
        winSize=_LK_WINDOW,
        maxLevel=_LK_LEVELS,
        criteria=_LK_CRITERIA,
        flags=_LK_FLAGS,
    )
    followed = np.asarray(tracked, dtype=np.float32)
    # With these flags OpenCV does not look where a point's last step ended: too far outside, and there is no window.
    height, width = after.shape
    inside = (followed >= -_LK_REACH) & (followed < (width + _LK_HALF, height + _LK_HALF))
    return followed, np.asarray((status[:, 0] == 1) & inside[:, 0] & inside[:, 1])


def _fit_rigid(before: Float32Array, after: Float32Array, found: BoolArray) -> Float64Array:
    """Similarity that most of the face follows; the identity where too few points were found.

    Least squares over all points, reweighted until those that move on their own count for little (Geman-McClure
    weights on the median distance). No group of points is rigid in every expression: raised brows take the forehead
    and the corners of the eyes with them, a wrinkled nose takes its bridge. What most of the face does is the head.
    """
    # A similarity, not an affine fit: the rigid points end at the cheeks, and two more degrees of freedom, swayed by a
    # raised brow, would be extrapolated to the chin.
    if np.count_nonzero(found) < _MIN_RIGID:
        return _NOT_AT_ALL.copy()
    source = before[found].astype(np.float64).view(np.complex128)[:, 0]
    target = after[found].astype(np.float64).view(np.complex128)[:, 0]
    origin = complex(source.mean())
    source, target = source - origin, target - origin  # so that products keep their digits
    reach_px = float(np.abs(source).max())
    if reach_px == 0.0:  # all in one place: there is nothing to turn
        return _NOT_AT_ALL.copy()
    products = np.stack([source, target, source.conj() * target, source * source.conj()], axis=1)
    parts = products.view(np.float64)  # (K, 8): real weights sum all of it in one product
    weights = np.ones(len(source))
    turn, shift = complex(np.inf), 0j
    for _ in range(_REWEIGHTINGS):
        middle, aim, crossed, squared = ((weights @ parts).view(np.complex128) / weights.sum()).tolist()
        last_turn, last_shift = turn, shift
        turn = (crossed - middle.conjugate() * aim) / (squared.real - abs(middle) ** 2)
        shift = aim - turn * middle
        if abs(turn - last_turn) * reach_px + abs(shift - last_shift) < _SETTLED_PX:
            break
        away = np.abs(target - shift - turn * source)
        away *= 0.5 / max(_median(away), _FINEST_PX)
        away *= away
        away += 1.0
        away *= away
        weights = np.reciprocal(away, out=away)
    shift += origin - turn * origin
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _rigid_error(left_over: Float32Array, found: BoolArray) -> float:
    away = np.hypot(left_over[:, 0], left_over[:, 1])
    groups = (slice(None, _RIGID_COUNT), slice(_RIGID_COUNT, None))
    medians = [_median(away[group][found[group]]) for group in groups if found[group].any()]
    return min(medians, default=0.0)


def _median(values: Float32Array | Float64Array) -> float:
    """numpy.median of a few finite numbers without its checks: this runs twenty times in every frame."""
    ordered = np.sort(values)
    middle = len(ordered) // 2
    return float(ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)


def _region_motions(moves: Float32Array, found: BoolArray) -> Float64Array:
    """(R,) length of each region's median move; 0 where it cannot be told."""
    middle = np.nan_to_num(_region_moves(moves, found))
    return np.asarray(np.hypot(middle[:, 0], middle[:, 1]), dtype=np.float64)


def _region_moves(moves: Float32Array, found: BoolArray) -> Float64Array:
    """(R, 2) median move of each region, NaN where fewer than half of its points were found.

    Over all regions at once: this runs in every frame.
    """
    usable = np.append(found, False)[_REGION_MEMBERS]  # (R, P); the last point stands for none
    counts = usable.sum(axis=1)
    ordered = np.vstack([moves, moves[:1]])[_REGION_MEMBERS]  # (R, P, 2)
    ordered = np.sort(np.where(usable[..., None], ordered, np.inf), axis=1)
    rows = np.arange(len(REGIONS))
    lower, upper = ordered[rows, np.maximum(counts - 1, 0) // 2], ordered[rows, counts // 2 % ordered.shape[1]]
    told = 2 * counts >= _REGION_SIZES
    return np.where(told[:, None], (lower + upper) / 2, np.nan).astype(np.float64)
