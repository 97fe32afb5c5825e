"""What an evidence picture is made of: little enough to wait until the event is named."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tsfmicro.align import AlignSpec
from tsfmicro.models.fdp.config import WINDOW_PX, harmonic_coefficients
from tsfmicro.motion import REGIONS, grey_of
from tsfmicro.values import CropPair, Float32Array, Float64Array, UInt8Array

_GRID_PX = 4
"""Distance of the points that are followed, crop pixels."""
_MARGIN_PX = 8
"""Around the outermost points of the face."""
_LK_WINDOW = (21, 21)
_LK_LEVELS = 2
_LK_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01)


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """One movement."""

    crops: CropPair
    """As the recogniser sees them: the apex held on the onset by the head's motion."""
    align: AlignSpec
    """Geometry of the crops."""
    points_px: Float32Array
    """(K, 2) points of the face in the onset crop."""
    times_s: Float64Array
    """(N,) media time of everything from the anchor to the confirmation."""
    traces: Float64Array
    """(N, R) displacement of each region against the anchor, percent of the inter-ocular distance."""
    window: UInt8Array | None = None
    """(T, S, S, 3) RGB frames from onset to offset as a recogniser of windows sees them; None where there is none."""


def pooled_by_rank(window: UInt8Array) -> Float32Array:
    """The dynamic image by its closed form: what FDP's second head learns to draw.

    Bilen et al. (2016), eq. 5: the grey frames summed with the harmonic coefficients, stretched to 0..1.

    Args:
        window: (T, S, S, 3) RGB.

    Returns:
        (64, 64); 0 everywhere where nothing changes.
    """
    frames = np.stack([
        cv2.resize(grey_of(crop), (WINDOW_PX, WINDOW_PX), interpolation=cv2.INTER_AREA) for crop in window
    ]).astype(np.float64)  # fmt: skip
    pooled = np.tensordot(harmonic_coefficients(len(window)), frames - frames[0], axes=1)
    low, high = float(pooled.min()), float(pooled.max())
    return ((pooled - low) / max(high - low, float(np.finfo(np.float32).tiny))).astype(np.float32)


def region_trace(material: Material, region: str) -> Float64Array:
    """(N,) displacement of one region, percent of the inter-ocular distance."""
    trace: Float64Array = material.traces[:, REGIONS.index(region)]
    return trace


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What moved between onset and apex, everywhere in the face."""

    magnitude: Float32Array
    """(S, S) percent of the inter-ocular distance; 0 outside the face."""
    points_px: Float32Array
    """(M, 2) x, y of the points that were followed."""
    moves_px: Float32Array
    """(M, 2) how far each went, crop pixels."""


def motion_of(material: Material) -> Motion:
    """Follow a grid of points from the onset to the apex crop, as the spotter follows its few.

    The head's motion is out of the crops already. A point that strays from its neighbours is put right by their median.
    """
    before, after = grey_of(material.crops.onset), grey_of(material.crops.apex)
    side = before.shape[0]
    steps = np.arange(_GRID_PX // 2, side, _GRID_PX, dtype=np.float32)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1)  # (G, G, 2)
    points = grid.reshape(-1, 2)
    followed, status, _ = cv2.calcOpticalFlowPyrLK(
        before, after, points, points.copy(), winSize=_LK_WINDOW, maxLevel=_LK_LEVELS, criteria=_LK_CRITERIA,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )  # fmt: skip
    moves = np.where(status == 1, followed - points, 0.0).astype(np.float32).reshape(grid.shape)
    moves = np.stack([cv2.medianBlur(np.ascontiguousarray(moves[..., axis]), 5) for axis in (0, 1)], axis=-1)
    # Each grid point stands in the middle of its square, which is how a picture is enlarged.
    length = np.hypot(moves[..., 0], moves[..., 1]) * np.float32(100.0 / material.align.iod_px)
    dense = cv2.resize(length, (len(steps) * _GRID_PX,) * 2, interpolation=cv2.INTER_CUBIC)[:side, :side]
    dense = np.maximum(dense, 0.0)
    if dense.shape[0] < side:
        dense = np.pad(dense, ((0, side - dense.shape[0]),) * 2, mode="edge")
    inside = face_mask(material.points_px, side)
    kept = inside[grid[..., 1].astype(int), grid[..., 0].astype(int)] > 0.5
    return Motion((dense * inside).astype(np.float32), grid[kept], moves[kept])


def face_mask(points_px: Float32Array, side: int) -> Float32Array:
    """(side, side) 1 in the face, softly 0 around it."""
    hull = cv2.convexHull(np.round(points_px).astype(np.int32))
    mask: UInt8Array = np.zeros((side, side), dtype=np.uint8)
    cv2.fillConvexPoly(mask, hull, (255,))
    mask = np.asarray(cv2.dilate(mask, np.ones((2 * _MARGIN_PX + 1,) * 2, np.uint8)), np.uint8)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), _MARGIN_PX / 2), dtype=np.float32) / np.float32(255)
