"""What a network is built from: a frozen configuration and the widths that follow from it. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tsfmicro.errors import ContractError

INPUT_PX = 224
"""Side of the crops the network takes, pixels."""
SPATIAL_PX = 14
"""Side the onset is resized to for the spatial branch, and side of the map where the branches meet."""
STAGE_DEPTHS = (1, 1, 2, 1)
"""Retention blocks per stage: the paper's five layers, as a pyramid."""
STAGE_PX = (112, 56, 28, 14)
"""Side of the token map in each stage."""
TEMPORAL_HEADS = 2
SPATIAL_HEADS = 4
SPATIAL_DEPTH = 2
TEMPORAL_FFN_RATIO = 3
SPATIAL_FFN_RATIO = 4

_BASE_WIDTHS = (64, 128, 256, 512)
_BASE_STEM_WIDTHS = (32, 32, 64, 64)
_BASE_HEAD_WIDTH = 1024
_DIVISORS = {"base": 1, "small": 4}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One member of the family. Two equal configurations build networks with the same parameters."""

    size: str = "base"
    """``"base"`` as published (12.8 M parameters), ``"small"`` with every width divided by 4 (0.84 M)."""
    fusion: str = "late"
    """Where the branches meet; this version has ``"late"``: the sum of the two 14x14 maps (TSFmicro paper, eq. 9)."""
    classes: int = 5
    """Width of the last layer."""
    drop_path: float = 0.1
    """Stochastic depth of the last retention block, rising linearly from 0 at the first."""

    def __post_init__(self) -> None:
        if self.size not in _DIVISORS:
            raise ContractError(f"ModelConfig.size is {self.size!r}; expected one of {', '.join(_DIVISORS)}")
        if self.fusion != "late":
            raise ContractError(f"ModelConfig.fusion is {self.fusion!r}; this version has only 'late'")
        if self.classes < 2:
            raise ContractError(f"ModelConfig.classes is {self.classes}; expected 2 or more")
        if not (math.isfinite(self.drop_path) and 0.0 <= self.drop_path < 1.0):
            raise ContractError(f"ModelConfig.drop_path is {self.drop_path}; expected a number in [0, 1)")

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Channels of the four stages of the temporal branch."""
        return tuple(width // _DIVISORS[self.size] for width in _BASE_WIDTHS)

    @property
    def stem_widths(self) -> tuple[int, ...]:
        """Output channels of the four stem convolutions."""
        return tuple(width // _DIVISORS[self.size] for width in _BASE_STEM_WIDTHS)

    @property
    def fused_width(self) -> int:
        """Channels of the map where the branches meet, and of every spatial block."""
        return self.stage_widths[-1]

    @property
    def head_width(self) -> int:
        """Channels the head widens each token to before pooling."""
        return _BASE_HEAD_WIDTH // _DIVISORS[self.size]

    @property
    def drop_path_rates(self) -> tuple[float, ...]:
        """Stochastic depth of each retention block, in order."""
        last = sum(STAGE_DEPTHS) - 1
        return tuple(self.drop_path * index / last for index in range(last + 1))
