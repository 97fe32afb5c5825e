"""Onset-apex pairs for training: one random person, one random emotion, as a camera might have seen them."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from tsfmicro.align import compose, crop_transform
from tsfmicro.preprocess import Preprocessor, PreprocessSpec
from tsfmicro.synthetic.action_units import ACTION_UNITS, EMOTIONS, Combination
from tsfmicro.synthetic.field import depth_field, expression_field
from tsfmicro.synthetic.portrait import Portrait, framed, morphed
from tsfmicro.synthetic.scene import jpeg_round_trip
from tsfmicro.values import CropPair, Float32Array, Float64Array, UInt8Array

UNITS: tuple[int, ...] = tuple(sorted(ACTION_UNITS))
"""FACS numbers in the order of ``LabelledPair.contractions``."""


@dataclass(frozen=True, slots=True)
class PairSpec:
    """The distribution that pairs are drawn from."""

    amplitude_percent_iod: tuple[float, float] = (1.5, 5.0)
    width_iod: tuple[float, float] = (0.08, 0.15)
    one_sided: float = 0.3
    """Share of pairs in which one half of the face moves less or not at all."""
    iod_px: tuple[float, float] = (70.0, 160.0)
    """Size of the face in its frame."""
    identity_strength: float = 0.8
    """How far a person may differ from the photograph; see :func:`morphed`."""
    crop_jitter: tuple[float, float, float] = (2.5, 0.04, 4.0)
    """Degrees, relative scale and pixels that both crops share."""
    misalignment_px: float = 0.3
    """Standard deviation of the apex crop's own shift, crop pixels."""
    turn_deg: float = 0.25
    """Standard deviation of the head's turn between onset and apex, rendered as parallax."""
    noise_sigma: tuple[float, float] = (0.0, 2.0)
    """Of the sensor, grey levels."""
    jpeg_share: float = 0.25
    """Share of pairs that went through JPEG."""
    jpeg_quality: tuple[int, int] = (75, 97)
    """Lowest and one above the highest quality."""
    classes: tuple[str, ...] = field(default_factory=lambda: tuple(EMOTIONS))


USUAL = PairSpec()
"""Webcams and recordings in fair light."""
HARD = PairSpec(
    amplitude_percent_iod=(1.2, 5.0),
    iod_px=(55.0, 160.0),
    identity_strength=1.0,
    misalignment_px=0.35,
    turn_deg=0.5,
    noise_sigma=(0.0, 2.5),
    jpeg_share=0.4,
    jpeg_quality=(60, 97),
)
"""Smaller faces, weaker movements, more noise and compression, stranger people."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPair:
    """One training sample."""

    crops: CropPair
    emotion: str
    person: str
    """Name of the photograph it was made from."""
    contractions: Float32Array
    """(2, U) peak of each unit of ``UNITS`` in the picture's left and right half, percent of the inter-ocular
    distance."""


def draw_pair(
    portraits: tuple[Portrait, ...], spec: PairSpec, preprocessor: Preprocessor, rng: np.random.Generator
) -> LabelledPair:
    """Draw one pair. The same generator state gives the same pair, bit for bit.

    The pictures pass through :meth:`Preprocessor.crop_pair`, the code the live loop uses, from a small frame around
    the face in which they stand at a random size.
    """
    emotion = spec.classes[rng.integers(len(spec.classes))]
    combinations = EMOTIONS[emotion]
    combination = combinations[rng.integers(len(combinations))]
    original = portraits[rng.integers(len(portraits))]
    iod = float(np.exp(rng.uniform(*np.log(spec.iod_px))))
    side = int(2.9 * iod)
    person = morphed(framed(original, side, side, iod, (0.5, 0.36)), rng, spec.identity_strength)
    weak = rng.uniform(0.0, 0.5) if rng.random() < spec.one_sided else rng.uniform(0.75, 1.0)
    gains = (1.0, weak) if rng.random() < 0.5 else (weak, 1.0)
    expression = expression_field(person, combination, width_iod=rng.uniform(*spec.width_iod), side_gains=gains)
    amplitude = rng.uniform(*spec.amplitude_percent_iod)
    peak_px = amplitude / 100 * person.iod_px
    contractions = _contractions(combination, amplitude, gains)
    turn = np.sin(np.deg2rad(rng.normal(0, spec.turn_deg, 2))).astype(np.float32)
    moved = expression.values_px * np.float32(peak_px) + depth_field(person)[..., None] * turn
    onset = person.pixels
    apex = _displaced(onset, moved, expression.step_px)
    onset, apex = _photographed(onset, apex, spec, rng)
    shared = compose(
        _jitter(rng, spec.crop_jitter, preprocessor.spec.align.size_px),
        crop_transform(person.landmarks_px, preprocessor.spec.align),
    )
    own = shared.copy()
    own[:, 2] += rng.normal(0, spec.misalignment_px, 2)
    pair = preprocessor.crop_pair(onset, shared, apex, own)
    if rng.random() < 0.5:
        pair = CropPair(np.ascontiguousarray(pair.onset[:, ::-1]), np.ascontiguousarray(pair.apex[:, ::-1]))
        contractions = contractions[::-1].copy()
    return LabelledPair(pair, emotion, original.name, contractions)


def _contractions(combination: Combination, amplitude_percent_iod: float, gains: tuple[float, float]) -> Float32Array:
    strengths = np.zeros((2, len(UNITS)), dtype=np.float32)
    for unit, weight in zip(combination.units, combination.weights, strict=True):
        strengths[:, UNITS.index(unit)] = amplitude_percent_iod * weight * np.array(gains)
    return strengths


def _displaced(pixels: UInt8Array, values_px: Float32Array, step_px: float) -> UInt8Array:
    height, width = pixels.shape[:2]
    to_full = np.array([[step_px, 0, 0], [0, step_px, 0]], dtype=np.float64)
    dense = cv2.warpAffine(values_px, to_full, (width, height), flags=cv2.INTER_LINEAR)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(
        pixels, columns - dense[..., 0], rows - dense[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(moved, dtype=np.uint8)


def _photographed(
    onset: UInt8Array, apex: UInt8Array, spec: PairSpec, rng: np.random.Generator
) -> tuple[UInt8Array, UInt8Array]:
    """Independent light change, noise and compression."""
    sigma = rng.uniform(*spec.noise_sigma)
    quality = int(rng.integers(*spec.jpeg_quality)) if rng.random() < spec.jpeg_share else None
    gain, offset = 1 + rng.normal(0, 0.01), rng.normal(0, 1.0)
    pictures: list[UInt8Array] = []
    for picture, light in ((onset, (1.0, 0.0)), (apex, (gain, offset))):
        noise = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(sigma)
        taken = np.clip(picture * np.float32(light[0]) + np.float32(light[1]) + noise + 0.5, 0, 255).astype(np.uint8)
        pictures.append(taken if quality is None else jpeg_round_trip(taken, quality))
    return pictures[0], pictures[1]


def _jitter(rng: np.random.Generator, spread: tuple[float, float, float], size_px: int) -> Float64Array:
    degrees, scale, shift_px = spread
    angle = np.deg2rad(rng.uniform(-degrees, degrees))
    zoom = 1 + rng.uniform(-scale, scale)
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.full(2, size_px / 2)
    return np.column_stack([linear, centre - linear @ centre + rng.uniform(-shift_px, shift_px, 2)])


def default_preprocessor() -> Preprocessor:
    """The preprocessing that new bundles are trained with."""
    return Preprocessor(PreprocessSpec())
