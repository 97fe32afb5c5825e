"""The typed values that cross stage boundaries.

All are frozen and checked when built. Pictures are RGB everywhere; times are seconds in the source's own
media time (``t_s``) and never mixed with the monotonic clock (``captured_s``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tsfmicro.errors import ContractError

UInt8Array: TypeAlias = NDArray[np.uint8]
Float32Array: TypeAlias = NDArray[np.float32]
Float64Array: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
AnyArray: TypeAlias = NDArray[Any]

LANDMARK_COUNT = 468
"""Points of one MediaPipe face mesh."""


def require_array(name: str, array: AnyArray, shape: tuple[int | None, ...], dtype: type[np.generic]) -> None:
    """Check rank, sizes and dtype; ``None`` in ``shape`` leaves that axis free.

    Raises:
        ContractError: naming the value, what it is and what was expected.
    """
    fits = array.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits or array.dtype != dtype:
        wanted = "(" + ", ".join("*" if n is None else str(n) for n in shape) + ")"
        raise ContractError(f"{name} is {array.shape} {array.dtype}; expected {wanted} {np.dtype(dtype).name}")


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of one source."""

    pixels: UInt8Array
    """(H, W, 3) RGB."""
    index: int
    """Position in the source, counted from 0; frames that were dropped are counted too."""
    t_s: float
    """Media time of capture, seconds from the first frame of the source."""
    captured_s: float
    """Monotonic clock when the frame was taken, seconds; only for latency."""
    source: str
    """Name of the source, free of credentials."""

    def __post_init__(self) -> None:
        require_array("Frame.pixels", self.pixels, (None, None, 3), np.uint8)
        if self.index < 0:
            raise ContractError(f"Frame.index is {self.index}; expected 0 or more")
        if not np.isfinite(self.t_s) or self.t_s < 0:
            raise ContractError(f"Frame.t_s is {self.t_s}; expected seconds from the first frame, 0 or more")

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        return f"Frame({self.source!r}, index={self.index}, t_s={self.t_s:.4f}, {width}x{height})"


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face found in one frame."""

    landmarks_px: Float32Array
    """(468, 2) x, y of the face mesh in frame pixels."""
    yaw_deg: float = 0.0
    """How far the face is turned; to the picture's right is positive, 0 is frontal."""
    pitch_deg: float = 0.0
    """How far it is lowered; down is positive."""

    def __post_init__(self) -> None:
        require_array("Face.landmarks_px", self.landmarks_px, (LANDMARK_COUNT, 2), np.float32)

    @property
    def box_px(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the landmarks, frame pixels."""
        left, top = self.landmarks_px.min(axis=0)
        right, bottom = self.landmarks_px.max(axis=0)
        return float(left), float(top), float(right), float(bottom)


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFace:
    """A face with the identity it keeps while it stays in view."""

    face_id: int
    face: Face
    is_new: bool
    """True in the first frame of this identity."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant of an event."""

    frame: int
    t_s: float
    """Media time, seconds."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Onset, apex and offset of one movement of a face."""

    onset: Moment
    apex: Moment
    offset: Moment

    def __post_init__(self) -> None:
        times = (self.onset.t_s, self.apex.t_s, self.offset.t_s)
        if not 0 <= times[0] <= times[1] <= times[2] < float("inf"):
            raise ContractError(f"Interval has onset, apex, offset at {times} s; expected them in this order, from 0")

    @property
    def onset_phase_s(self) -> float:
        """Onset to apex, seconds: the length that tells micro from macro."""
        return self.apex.t_s - self.onset.t_s

    @property
    def duration_s(self) -> float:
        """Onset to offset, seconds."""
        return self.offset.t_s - self.onset.t_s


@dataclass(frozen=True, slots=True, eq=False)
class CropPair:
    """What a recogniser sees of one event: the two aligned crops as they come."""

    onset: UInt8Array
    """(S, S, 3) RGB."""
    apex: UInt8Array
    """(S, S, 3) RGB, held on the onset crop."""

    def __post_init__(self) -> None:
        require_array("CropPair.onset", self.onset, (None, None, 3), np.uint8)
        require_array("CropPair.apex", self.apex, self.onset.shape, np.uint8)


@dataclass(frozen=True, slots=True)
class Recognition:
    """Calibrated probabilities over the classes of one protocol, or an abstention."""

    probabilities: Mapping[str, float]
    """Probability by label, in the protocol's order; they sum to 1."""
    abstain: tuple[str, ...]
    """Why no label is given; empty when one is."""

    def __post_init__(self) -> None:
        total = sum(self.probabilities.values())
        if not abs(total - 1.0) <= 1e-3 or min(self.probabilities.values()) < 0:
            raise ContractError(f"Recognition.probabilities sum to {total:.4f}; expected 1, and none below 0")

    @property
    def top_label(self) -> str:
        """The most probable label, abstained from or not."""
        return max(self.probabilities, key=lambda label: self.probabilities[label])

    @property
    def label(self) -> str | None:
        """The label, or None where the recogniser abstains."""
        return None if self.abstain else self.top_label
