"""A face photograph with its landmarks, and the people who can be made of one photograph."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from tsfmicro.align import apply_transform, fit_similarity, interocular_distance_px
from tsfmicro.errors import SourceError
from tsfmicro.landmarks import LandmarkDetector, landmarks_of_photo
from tsfmicro.values import LANDMARK_COUNT, Float32Array, Float64Array, UInt8Array, require_array

_EYES = (33, 263)
_FULL_RESHAPE = 0.08
"""Displacement of features at strength 1, inter-ocular distances."""


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A photograph of one face."""

    name: str
    pixels: UInt8Array
    """(H, W, 3) RGB."""
    landmarks_px: Float32Array
    """(468, 2) pixels of this picture."""

    def __post_init__(self) -> None:
        require_array("Portrait.pixels", self.pixels, (None, None, 3), np.uint8)
        require_array("Portrait.landmarks_px", self.landmarks_px, (LANDMARK_COUNT, 2), np.float32)

    @property
    def iod_px(self) -> float:
        """Inter-ocular distance, pixels."""
        return interocular_distance_px(self.landmarks_px)


def portrait_of(name: str, pixels: UInt8Array, detector: LandmarkDetector) -> Portrait:
    """Find the face of a photograph.

    Raises:
        SourceError: if there is none.
    """
    face = landmarks_of_photo(pixels, detector)
    if face is None:
        raise SourceError(f"no face found in {name}; expected a photograph with one frontal face")
    return Portrait(name, pixels, face.landmarks_px)


def framed(portrait: Portrait, width_px: int, height_px: int, iod_px: float, eyes_at: tuple[float, float]) -> Portrait:
    """The portrait upright in a picture of the given size, its eyes' middle at a fraction of width and height."""
    middle = np.array([width_px * eyes_at[0], height_px * eyes_at[1]])
    half = np.array([iod_px / 2, 0.0])
    target = np.stack([middle - half, middle + half])
    transform = fit_similarity(portrait.landmarks_px[list(_EYES)].astype(np.float64), target)
    pixels = _warp(portrait.pixels, transform, width_px, height_px)
    return Portrait(portrait.name, pixels, apply_transform(transform, portrait.landmarks_px))


def _warp(pixels: UInt8Array, transform: Float64Array, width_px: int, height_px: int) -> UInt8Array:
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    if scale < 0.7:  # keep fine texture from folding into false texture
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 0.5 / scale), dtype=np.uint8)
    warped = cv2.warpAffine(
        pixels, transform, (width_px, height_px), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(warped, dtype=np.uint8)


def morphed(portrait: Portrait, rng: np.random.Generator, strength: float = 1.0) -> Portrait:
    """Another person: other proportions, skin, light and sharpness, from the same photograph.

    Proportions change by a smooth random displacement of the face's features (up to about 8 % of the inter-ocular
    distance at strength 1), skin and light by gain and gamma per channel and a lighting ramp, texture by fine
    grain; blur, sharpening and brightness are drawn the same at any strength. Strength 0 gives the photograph itself.
    """
    if strength == 0:
        return portrait
    shaped = _reshaped(portrait, rng, _FULL_RESHAPE * strength)
    return replace(shaped, pixels=_retouched(shaped.pixels, rng, strength))


def _reshaped(portrait: Portrait, rng: np.random.Generator, amount: float) -> Portrait:
    height, width = portrait.pixels.shape[:2]
    iod = portrait.iod_px
    centre = portrait.landmarks_px[168].astype(np.float64)
    knots = centre + rng.uniform((-0.8, -0.7), (0.8, 1.3), size=(7, 2)) * iod
    moves = rng.normal(0.0, amount * iod, size=(7, 2))
    radius = 0.45 * iod
    stretch = np.array([rng.normal(0, 0.05), rng.normal(0, 0.06)]) * (amount / _FULL_RESHAPE)

    def displacement(points: Float64Array) -> Float64Array:
        nearness = np.exp(-((points[:, None, :] - knots) ** 2).sum(-1) / (2 * radius**2))
        moved: Float64Array = nearness @ moves + (points - centre) * stretch
        return moved

    step = max(int(iod / 10), 2)
    ys, xs = np.mgrid[0 : height + step : step, 0 : width + step : step]
    coarse = np.stack([xs.ravel(), ys.ravel()], axis=1).astype(np.float64)
    field = (coarse - displacement(coarse)).reshape(*xs.shape, 2).astype(np.float32)
    to_full = np.array([[step, 0, 0], [0, step, 0]], dtype=np.float64)
    lookup = cv2.warpAffine(field, to_full, (width, height), flags=cv2.INTER_LINEAR)
    pixels = cv2.remap(
        portrait.pixels, lookup[..., 0], lookup[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    # The picture looks up q = p - d(p); a landmark at q is therefore found at the p that solves it.
    start = portrait.landmarks_px.astype(np.float64)
    moved = start.copy()
    for _ in range(12):
        moved = start + displacement(moved)
    return Portrait(portrait.name, np.asarray(pixels, dtype=np.uint8), moved.astype(np.float32))


def _retouched(pixels: UInt8Array, rng: np.random.Generator, strength: float) -> UInt8Array:
    height, width = pixels.shape[:2]
    picture = pixels.astype(np.float32) / 255
    if rng.random() < 0.5:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.2)), dtype=np.float32)
    else:
        soft = cv2.GaussianBlur(picture, (0, 0), 2.0)
        picture = picture + rng.uniform(0.0, 1.2) * (picture - soft)
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + (picture - grey) * rng.uniform(1 - 0.8 * strength, 1 + 0.3 * strength)
    picture = np.clip(picture, 0, 1) ** np.exp(rng.normal(0, 0.35 * strength))
    picture = picture * np.exp(rng.normal(0, 0.08 * strength, 3)) * rng.uniform(0.6, 1.1)
    angle, slope = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.25 * strength)
    ramp_x = np.linspace(-1, 1, width, dtype=np.float32) * np.cos(angle)
    ramp_y = np.linspace(-1, 1, height, dtype=np.float32) * np.sin(angle)
    picture = picture * (1 + slope * (ramp_x[None, :, None] + ramp_y[:, None, None]))
    cells = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), rng.uniform(0.8, 2.5))
    picture = picture * (1 + rng.uniform(0, 0.06) * strength * (cells / cells.std())[..., None])
    retouched: UInt8Array = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
    return retouched
