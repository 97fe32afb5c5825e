"""From face landmarks to the steady crop that everything after it measures motion in.

A crop is a similarity transform (rotation, one scale, translation) of the frame. It is fitted to points that
facial muscles hardly move, so an expression does not drag its own crop along.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tsfmicro.errors import ContractError
from tsfmicro.values import Float32Array, Float64Array, UInt8Array, require_array

LEFT_EYE_OUTER, RIGHT_EYE_OUTER = 33, 263
"""Face-mesh indices of the outer eye corners; their distance is the inter-ocular distance."""

_RIGID_TEMPLATE: dict[int, tuple[float, float]] = {
    # Median over 26 frontal faces, made symmetric; units of the inter-ocular distance, origin between the eyes.
    168: (0.00, -0.044), 6: (0.00, 0.041), 197: (0.00, 0.121),
    33: (-0.50, 0.00), 263: (0.50, 0.00), 133: (-0.195, 0.014), 362: (0.195, 0.014),
    10: (0.00, -0.573), 151: (0.00, -0.393),
    67: (-0.389, -0.538), 297: (0.389, -0.538), 109: (-0.21, -0.568), 338: (0.21, -0.568),
    103: (-0.552, -0.478), 332: (0.552, -0.478), 54: (-0.655, -0.378), 284: (0.655, -0.378),
    21: (-0.716, -0.257), 251: (0.716, -0.257), 162: (-0.748, -0.127), 389: (0.748, -0.127),
    127: (-0.753, 0.043), 356: (0.753, 0.043), 234: (-0.738, 0.197), 454: (0.738, 0.197),
}  # fmt: skip

RIGID_POINTS: tuple[int, ...] = tuple(_RIGID_TEMPLATE)
"""Face-mesh indices on bridge, forehead, temples, eye corners and cheek edges."""


@dataclass(frozen=True, slots=True)
class AlignSpec:
    """Where a face stands in its square crop."""

    size_px: int = 224
    """Side of the crop."""
    iod_px: float = 100.0
    """Inter-ocular distance in the crop: 1 px is 1 % of it at the default."""
    eye_row_px: float = 76.0
    """Row of the line between the outer eye corners."""

    def __post_init__(self) -> None:
        # 100 and 100.0 are one geometry and must have one digest.
        object.__setattr__(self, "iod_px", float(self.iod_px))
        object.__setattr__(self, "eye_row_px", float(self.eye_row_px))
        if self.size_px < 32 or not 0 < self.iod_px < self.size_px or not 0 < self.eye_row_px < self.size_px:
            raise ContractError(f"{self} does not leave room for a face; expected iod_px and eye_row_px inside size_px")

    def template_px(self) -> Float64Array:
        """(K, 2) crop positions of ``RIGID_POINTS`` on an average face."""
        points = np.array(list(_RIGID_TEMPLATE.values()), dtype=np.float64) * self.iod_px
        shifted: Float64Array = points + np.array([self.size_px / 2, self.eye_row_px])
        return shifted


def interocular_distance_px(landmarks_px: Float32Array) -> float:
    """Distance of the outer eye corners, pixels of whatever the landmarks are in."""
    return float(np.linalg.norm(landmarks_px[RIGHT_EYE_OUTER] - landmarks_px[LEFT_EYE_OUTER]))


def fit_similarity(source: Float64Array, target: Float64Array) -> Float64Array:
    """Least-squares similarity that takes ``source`` (K, 2) to ``target`` (K, 2).

    Umeyama (1991) in two dimensions, written with complex numbers, so that it cannot mirror.

    Returns:
        (2, 3) float64.

    Raises:
        ContractError: if all source points coincide.
    """
    z = source[:, 0] + 1j * source[:, 1]
    w = target[:, 0] + 1j * target[:, 1]
    z0, w0 = z.mean(), w.mean()
    spread = float(np.sum(np.abs(z - z0) ** 2))
    if spread < 1e-12:
        raise ContractError("fit_similarity got points that all coincide; expected at least two different ones")
    a = np.sum((w - w0) * np.conj(z - z0)) / spread
    b = w0 - a * z0
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def crop_transform(landmarks_px: Float32Array, spec: AlignSpec) -> Float64Array:
    """(2, 3) similarity from the landmarks' pixels to the crop."""
    return fit_similarity(landmarks_px[list(RIGID_POINTS)].astype(np.float64), spec.template_px())


def compose(outer: Float64Array, inner: Float64Array) -> Float64Array:
    """(2, 3) transform that applies ``inner`` first, then ``outer``."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.column_stack([linear, outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def apply_transform(transform: Float64Array, points: Float32Array) -> Float32Array:
    """Map (K, 2) points through a (2, 3) transform."""
    mapped: Float32Array = (points @ transform[:, :2].T + transform[:, 2]).astype(np.float32)
    return mapped


def warp_crop(pixels: UInt8Array, transform: Float64Array, spec: AlignSpec) -> UInt8Array:
    """Sample the (S, S, 3) crop out of ``pixels`` (H, W, 3), edges repeated where it reaches past them."""
    require_array("warp_crop pixels", pixels, (None, None, 3), np.uint8)
    warped = cv2.warpAffine(
        pixels, transform, (spec.size_px, spec.size_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, dtype=np.uint8)
