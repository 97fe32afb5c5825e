"""The one preprocessing: a frozen spec with a digest, and the only code that turns faces into network input.

The spec is the cache key in training, a field of every bundle, and the live loop can get one only from a bundle,
so what a network was trained on and what it is shown cannot drift apart.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from tsfmicro.align import AlignSpec, warp_crop
from tsfmicro.errors import ContractError
from tsfmicro.values import CropPair, Float64Array, UInt8Array

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class PreprocessSpec:
    """Everything between a frame and the first layer."""

    align: AlignSpec = field(default_factory=AlignSpec)
    """Similarity crop from rigid landmarks."""
    colour: str = "rgb"
    """Channel order of the crops."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from crop / 255, per channel; done inside the exported graph."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Divided by, per channel; done inside the exported graph."""
    difference: str = "apex-onset"
    """Temporal input: normalised apex minus normalised onset, signed (TSFmicro paper, section 3.1)."""
    spatial_px: int = 14
    """Side the onset is resized to for the spatial branch, bilinear with antialiasing."""

    def __post_init__(self) -> None:
        if self.colour != "rgb" or self.difference != "apex-onset":
            raise ContractError(
                f"PreprocessSpec has colour={self.colour!r}, difference={self.difference!r}; "
                "this version knows 'rgb' and 'apex-onset'"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or not all(map(math.isfinite, (*self.mean, *self.std))):
            raise ContractError("PreprocessSpec needs three means and three standard deviations, all finite")
        if min(self.std) <= 0 or self.spatial_px < 1:
            raise ContractError("PreprocessSpec needs standard deviations above 0 and spatial_px of at least 1")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PreprocessSpec:
        """Read what :meth:`to_dict` wrote.

        Raises:
            ContractError: on unknown, missing or impossible fields.
        """
        try:
            rest: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "align"
            }
            return cls(align=AlignSpec(**values["align"]), **rest)
        except (KeyError, TypeError) as error:
            raise ContractError(f"preprocess spec cannot be read: {error}") from error

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, hex."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """Turns pictures of one face into what the fused graph takes."""

    spec: PreprocessSpec

    def crop_pair(
        self, onset: UInt8Array, onset_to_crop: Float64Array, apex: UInt8Array, apex_to_crop: Float64Array
    ) -> CropPair:
        """Crop the onset and the apex picture.

        Args:
            onset, apex: (H, W, 3) uint8 RGB pictures.
            onset_to_crop, apex_to_crop: (2, 3) similarity transforms from each picture to the crop.
        """
        return CropPair(onset=self.crop(onset, onset_to_crop), apex=self.crop(apex, apex_to_crop))

    def crop(self, picture: UInt8Array, to_crop: Float64Array) -> UInt8Array:
        """Crop one picture of a face: an onset, an apex, or a frame of a window.

        Args:
            picture: (H, W, 3) uint8 RGB.
            to_crop: (2, 3) similarity transform from the picture to the crop.

        Returns:
            (S, S, 3) uint8 RGB.
        """
        return warp_crop(picture, to_crop, self.spec.align)
