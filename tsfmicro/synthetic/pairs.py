"""Pairs and clips for training: one random person, one random emotion, as a camera might have seen them."""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Stage:
    """What one picture of a clip shows."""

    contraction: float
    """0 at rest, 1 at the apex."""
    drift: float
    """How much of what changes slowly (the head's turn, the light) has come about; 1 at the apex."""


ONSET, APEX = Stage(0.0, 0.0), Stage(1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledClip:
    """One training sample of any number of pictures."""

    crops: tuple[UInt8Array, ...]
    """(S, S, 3) RGB each."""
    emotion: str
    person: str
    """Name of the photograph it was made from."""
    contractions: Float32Array
    """As in :class:`LabelledPair`."""


def draw_pair(
    portraits: tuple[Portrait, ...], spec: PairSpec, preprocessor: Preprocessor, rng: np.random.Generator
) -> LabelledPair:
    """Draw one pair. The same generator state gives the same pair, bit for bit.

    The pictures pass through :class:`Preprocessor`, the code the live loop uses, from a small frame around the face in
    which they stand at a random size.
    """
    clip = draw_clip(portraits, spec, preprocessor, rng, (ONSET, APEX))
    return LabelledPair(CropPair(*clip.crops), clip.emotion, clip.person, clip.contractions)


def draw_clip(
    portraits: tuple[Portrait, ...],
    spec: PairSpec,
    preprocessor: Preprocessor,
    rng: np.random.Generator,
    stages: Sequence[Stage],
) -> LabelledClip:
    """Draw one clip, a picture a stage; the first is the one that the others are aligned with."""
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
    contracted, turned = expression.values_px * np.float32(peak_px), depth_field(person)[..., None] * turn
    pictures = [
        person.pixels
        if stage == ONSET
        else _displaced(
            person.pixels,
            contracted * np.float32(stage.contraction) + turned * np.float32(stage.drift),
            expression.step_px,
        )
        for stage in stages
    ]
    pictures = _photographed(pictures, stages, spec, rng)
    shared = compose(
        _jitter(rng, spec.crop_jitter, preprocessor.spec.align.size_px),
        crop_transform(person.landmarks_px, preprocessor.spec.align),
    )
    crops = [preprocessor.crop(pictures[0], shared)]
    for picture in pictures[1:]:
        own = shared.copy()
        own[:, 2] += rng.normal(0, spec.misalignment_px, 2)
        crops.append(preprocessor.crop(picture, own))
    if rng.random() < 0.5:
        crops = [np.ascontiguousarray(crop[:, ::-1]) for crop in crops]
        contractions = contractions[::-1].copy()
    return LabelledClip(tuple(crops), emotion, original.name, contractions)


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
    pictures: Sequence[UInt8Array], stages: Sequence[Stage], spec: PairSpec, rng: np.random.Generator
) -> list[UInt8Array]:
    """A light that drifts, and for each picture its own noise and compression."""
    sigma = rng.uniform(*spec.noise_sigma)
    quality = int(rng.integers(*spec.jpeg_quality)) if rng.random() < spec.jpeg_share else None
    gain, offset = rng.normal(0, 0.01), rng.normal(0, 1.0)
    photographs: list[UInt8Array] = []
    for picture, stage in zip(pictures, stages, strict=True):
        light = np.float32(1 + gain * stage.drift), np.float32(offset * stage.drift)
        noise = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(sigma)
        taken = np.clip(picture * light[0] + light[1] + noise + 0.5, 0, 255).astype(np.uint8)
        photographs.append(taken if quality is None else jpeg_round_trip(taken, quality))
    return photographs


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
