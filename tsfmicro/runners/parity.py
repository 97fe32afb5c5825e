"""Whether two implementations of one network agree, and pictures to find out with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from tsfmicro.errors import ContractError
from tsfmicro.runners.precision import Precision
from tsfmicro.values import Float32Array, Float64Array, UInt8Array

Int64Array: TypeAlias = NDArray[np.int64]

CROP_PX = 224
"""Side of the probe pictures, pixels."""
MAX_SHIFT_PX = 2.0
"""Largest movement between onset and apex of a probe pair, pixels: micro-expressions stay below it."""

_EQUAL_EVERY = 4


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a candidate may be from its reference."""

    max_abs: float
    """Of any probability."""
    rel_l2: float
    """Of all logits together. Probabilities of an untrained network hardly say anything; this does."""

    @classmethod
    def of(cls, precision: Precision) -> Tolerance:
        """What a graph or an engine of this precision is held to, against the network in float64."""
        return _TOLERANCES[precision]


_TOLERANCES = {Precision.FLOAT32: Tolerance(1e-4, 1e-4), Precision.FLOAT16: Tolerance(1e-2, 5e-3)}


@dataclass(frozen=True, slots=True)
class Parity:
    """How far a candidate is from its reference over a number of pairs."""

    max_abs: float
    """Largest difference of a probability; infinite when a value is not finite."""
    p99_abs: float
    """99th percentile of the differences of probabilities."""
    mean_abs: float
    """Mean difference of probabilities."""
    max_rel_logits: float
    """Largest difference of a logit, relative to the largest reference logit."""
    rel_l2: float
    """Length of the difference of all logits, relative to the length of the reference."""
    min_cosine: float
    """Smallest cosine between the two logit vectors of a pair."""
    label_flips: int
    """Pairs whose most probable class differs. Below a tolerance t they can only be ties closer than 2 t."""
    decision_flips: int
    """Pairs whose decision differs: the label, or the abstention below the threshold."""
    pairs: int
    """Pairs compared."""
    nan: int
    """Values of the candidate that are NaN or infinite."""

    def passed(self, tolerance: float) -> bool:
        """Whether all values are finite and no probability differs by more than ``tolerance``."""
        return self.nan == 0 and self.max_abs <= tolerance

    def within(self, tolerance: Tolerance) -> bool:
        """Whether all values are finite and both probabilities and logits are near enough."""
        return self.passed(tolerance.max_abs) and self.rel_l2 <= tolerance.rel_l2

    def __str__(self) -> str:
        if self.nan:
            return f"{self.nan} values are NaN or infinite"
        return (
            f"probabilities differ by {self.max_abs:.1e} at most, logits by {self.rel_l2:.1e} of their length, "
            f"{self.label_flips} of {self.pairs} labels and {self.decision_flips} decisions changed"
        )


def compare(
    reference: Float32Array | Float64Array, candidate: Float32Array | Float64Array, min_probability: float = 0.0
) -> Parity:
    """Compare logits, and the probabilities that follow from them, in float64.

    Args:
        reference: (B, C) logits, finite.
        candidate: (B, C) logits of the same pairs.
        min_probability: below it the recogniser abstains; see ``Calibration``.

    Raises:
        ContractError: when shapes differ, nothing is there to compare, or the reference itself is not finite.
    """
    if reference.ndim != 2 or reference.shape != candidate.shape or reference.size == 0:
        raise ContractError(f"logits are {reference.shape} and {candidate.shape}; expected the same (B, C), B above 0")
    if not np.isfinite(reference).all():
        raise ContractError("the reference has logits that are not finite; nothing can be compared with it")
    expected, found = reference.astype(np.float64), candidate.astype(np.float64)
    nan = int(np.count_nonzero(~np.isfinite(found)))
    flips = int(np.count_nonzero(expected.argmax(axis=1) != found.argmax(axis=1)))
    pairs = len(expected)
    if nan:
        return Parity(np.inf, np.inf, np.inf, np.inf, np.inf, -1.0, flips, flips, pairs, nan)
    sure, likely = _softmax(expected), _softmax(found)
    gaps = np.abs(sure - likely)
    tiny = float(np.finfo(np.float32).tiny)
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    cosines = np.where(lengths > tiny, (expected * found).sum(axis=1) / np.maximum(lengths, tiny), 1.0)
    return Parity(
        max_abs=float(gaps.max()),
        p99_abs=float(np.percentile(gaps, 99)),
        mean_abs=float(gaps.mean()),
        max_rel_logits=float(np.abs(expected - found).max()) / max(float(np.abs(expected).max()), tiny),
        rel_l2=float(np.linalg.norm(expected - found)) / max(float(np.linalg.norm(expected)), tiny),
        min_cosine=float(cosines.min()),
        label_flips=flips,
        decision_flips=int(np.count_nonzero(_decisions(sure, min_probability) != _decisions(likely, min_probability))),
        pairs=pairs,
        nan=0,
    )


def _decisions(probabilities: Float64Array, min_probability: float) -> Int64Array:
    """(B, C) -> (B,): the class, or -1 where the recogniser abstains."""
    decided: Int64Array = np.where(
        probabilities.max(axis=1) < min_probability, -1, probabilities.argmax(axis=1)
    ).astype(np.int64)
    return decided


def probe_pairs(count: int, seed: int) -> tuple[UInt8Array, UInt8Array]:
    """Pairs that look to the network like crops of a face: smooth textures that move by less than two pixels.

    Contrast and fineness vary from pair to pair, and every fourth pair is exactly equal: nothing moved.

    Returns:
        Onset and apex, (count, 224, 224, 3) uint8 RGB each.

    Raises:
        ContractError: when ``count`` is not positive.
    """
    if count < 1:
        raise ContractError(f"count is {count}; expected 1 or more")
    rng = np.random.default_rng(seed)
    onsets = np.empty((count, CROP_PX, CROP_PX, 3), np.uint8)
    apexes = np.empty_like(onsets)
    for index in range(count):
        texture = _texture(rng)
        moved = texture if index % _EQUAL_EVERY == _EQUAL_EVERY - 1 else _move(texture, rng)
        onsets[index], apexes[index] = _to_uint8(texture), _to_uint8(moved)
    return onsets, apexes


def probe_windows(count: int, frames: int, seed: int) -> UInt8Array:
    """Windows whose frames go from the onset of a probe pair to its apex and back.

    Returns:
        (count, frames, 224, 224, 3) uint8 RGB.

    Raises:
        ContractError: when ``count`` is not positive.
    """
    onset, apex = (pictures.astype(np.float32) for pictures in probe_pairs(count, seed))
    course = np.sin(np.linspace(0.0, np.pi, frames)).astype(np.float32)
    windows = np.stack([onset + share * (apex - onset) for share in course], axis=1)
    found: UInt8Array = np.clip(np.rint(windows), 0, 255).astype(np.uint8)
    return found


def _softmax(logits: Float64Array) -> Float64Array:
    """(B, C) -> (B, C)."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Float64Array = weights / weights.sum(axis=1, keepdims=True)
    return probabilities


def _smooth_noise(rng: np.random.Generator, channels: int, sigma_px: float) -> Float32Array:
    """(224, 224, channels) noise blurred by a Gaussian, with mean 0 and standard deviation 1."""
    noise = rng.standard_normal((CROP_PX, CROP_PX, channels)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), sigma_px).astype(np.float32)
    normalised: Float32Array = (blurred - blurred.mean()) / blurred.std()
    return normalised


def _texture(rng: np.random.Generator) -> Float32Array:
    """(224, 224, 3) picture in grey levels: coarse shading and fine detail, of low to high contrast."""
    coarse = _smooth_noise(rng, 3, float(rng.uniform(12.0, 32.0)))
    fine = _smooth_noise(rng, 3, float(rng.uniform(1.0, 4.0)))
    contrast = float(rng.choice([6.0, 20.0, 55.0]))
    brightness = float(rng.uniform(70.0, 180.0))
    picture: Float32Array = brightness + contrast * (0.85 * coarse + 0.5 * fine)
    return picture


def _move(picture: Float32Array, rng: np.random.Generator) -> Float32Array:
    """The picture under a smooth warp whose largest shift is between 0.2 and 2 px."""
    shifts = _smooth_noise(rng, 2, 24.0)  # (224, 224, 2) x, y
    shifts *= float(rng.uniform(0.2, MAX_SHIFT_PX)) / float(np.linalg.norm(shifts, axis=2).max())
    rows, columns = np.mgrid[:CROP_PX, :CROP_PX].astype(np.float32)
    moved = cv2.remap(
        picture, columns + shifts[..., 0], rows + shifts[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return moved.astype(np.float32)


def _to_uint8(picture: Float32Array) -> UInt8Array:
    """Grey levels rounded and cut to 0..255."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
