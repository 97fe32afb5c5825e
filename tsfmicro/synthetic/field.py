"""Displacement fields: how far every pixel of a portrait moves when action units contract."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tsfmicro.align import compose
from tsfmicro.synthetic.action_units import ACTION_UNITS, Combination
from tsfmicro.synthetic.portrait import Portrait
from tsfmicro.values import Float32Array, Float64Array


@dataclass(frozen=True, slots=True, eq=False)
class DisplacementField:
    """Displacements of a portrait on a coarse grid, pixels of the portrait."""

    values_px: Float32Array
    """(h, w, 2) right and down."""
    step_px: float
    """Grid spacing, pixels; the first node is pixel (0, 0)."""

    def sampled(self, to_frame: Float64Array, width_px: int, height_px: int) -> Float32Array:
        """(H, W, 2) displacement, in portrait pixels, at every pixel of a frame the portrait is warped into."""
        from_grid = np.array([[self.step_px, 0, 0], [0, self.step_px, 0]], dtype=np.float64)
        dense = cv2.warpAffine(
            self.values_px, compose(to_frame, from_grid), (width_px, height_px), flags=cv2.INTER_LINEAR
        )
        return np.asarray(dense, dtype=np.float32)


def _grid(portrait: Portrait) -> tuple[Float64Array, tuple[int, int], float]:
    height, width = portrait.pixels.shape[:2]
    step = max(portrait.iod_px / 25, 1.0)
    shape = (int(np.ceil(height / step)) + 1, int(np.ceil(width / step)) + 1)
    ys, xs = np.mgrid[0 : shape[0], 0 : shape[1]]
    return np.stack([xs.ravel(), ys.ravel()], axis=1) * step, shape, step


def expression_field(
    portrait: Portrait,
    combination: Combination,
    *,
    width_iod: float = 0.11,
    side_gains: tuple[float, float] = (1.0, 1.0),
) -> DisplacementField:
    """The combination at full contraction, scaled so that its largest displacement is one pixel.

    Each anchor spreads as a Gaussian; where anchors overlap they are averaged, so that two neighbours moving one
    pixel make one pixel and not two.

    Args:
        portrait: whose landmarks carry the anchors.
        combination: units and their weights.
        width_iod: standard deviation of the Gaussian, inter-ocular distances.
        side_gains: contraction of the picture's left and right half of the face, 1 for both when symmetric.
    """
    nodes, shape, step = _grid(portrait)
    iod = portrait.iod_px
    middle_px = float(portrait.landmarks_px[168, 0])
    total = np.zeros_like(nodes)
    for unit, weight in zip(combination.units, combination.weights, strict=True):
        anchors = ACTION_UNITS[unit]
        at = portrait.landmarks_px[[a.landmark for a in anchors]].astype(np.float64)
        gains = np.where(at[:, 0] < middle_px, side_gains[0], side_gains[1])
        moves = np.array([(a.right, a.down) for a in anchors]) * gains[:, None]
        near = np.exp(-((nodes[:, None, :] - at) ** 2).sum(-1) / (2 * (width_iod * iod) ** 2))
        total += weight * (near @ moves) / np.maximum(near.sum(axis=1), 1.0)[:, None]
    peak = float(np.linalg.norm(total, axis=1).max())
    return DisplacementField((total / max(peak, 1e-9)).reshape(*shape, 2).astype(np.float32), step)


def depth_field(portrait: Portrait) -> Float32Array:
    """(h, w) distance of each grid node in front of the plane of the temples, pixels: an ellipsoid with a nose.

    Multiplied by the sine of a small yaw or pitch it gives the parallax of a turning head; 0 outside the face.
    """
    nodes, shape, _ = _grid(portrait)
    iod = portrait.iod_px
    u = (nodes - portrait.landmarks_px[168].astype(np.float64)) / iod
    inside = 1 - (u[:, 0] / 0.8) ** 2 - ((u[:, 1] - 0.35) / 1.0) ** 2
    skull = 0.6 * np.sqrt(np.clip(inside, 0, None))
    nose_at = (portrait.landmarks_px[1].astype(np.float64) - portrait.landmarks_px[168]) / iod
    nose = 0.22 * np.exp(-((u - nose_at) ** 2).sum(-1) / (2 * 0.13**2))
    depth: Float32Array = (iod * (skull + nose)).reshape(shape).astype(np.float32)
    return depth
