"""What a network is built from: a frozen configuration and the widths that follow from it. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

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

MODELS = ("tsfmicro", "mmnet")
SIZES = ("base", "small")
FUSIONS = ("late", "early", "t2s", "s2t", "temporal", "spatial")

_BASE_WIDTHS = (64, 128, 256, 512)
_BASE_STEM_WIDTHS = (32, 32, 64, 64)
_BASE_HEAD_WIDTH = 1024
_BASE_MUSCLE_STEM_WIDTHS = (180, 128)
_BASE_MUSCLE_WIDTHS = (128, 128, 256, 512)
_DIVISORS = {"base": 1, "small": 4}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One member of the family. Two equal configurations build networks with the same parameters.

    The fields after ``drop_path`` are the judgement calls: where the paper, its figure and the authors' released
    program differ or are silent. A value other than the default is refused where it would change nothing.
    """

    size: str = "base"
    """``"base"`` as published (12.8 M parameters with late fusion), ``"small"`` with every width divided by 4."""
    fusion: str = "late"
    """Where the two branches of TSFmicro meet (paper, figure 2 and section 4.4).

    - ``"late"``: the two 14x14 maps are summed (eq. 9); the proposed model.
    - ``"early"``: two convolutional stems, one for the difference and one for the whole onset, are summed at
      112x112; retention stages follow.
    - ``"t2s"``: temporal features enter the spatial transformer, see ``t2s_add``.
    - ``"s2t"``: spatial features, raised to 112x112 by three transposed convolutions, are added to the temporal stem.
    - ``"temporal"``, ``"spatial"``: one branch alone (the ablations W/O S and W/O T).
    """
    classes: int = 5
    """Width of the last layer."""
    drop_path: float = 0.1
    """Stochastic depth of the last retention block, rising linearly from 0 at the first. Has no part in inference."""
    model: str = "tsfmicro"
    """``"tsfmicro"``, or ``"mmnet"``: the parent it is compared with, whose only fusion is ``"late"``."""
    stem_gelus: int = 3
    """How many of the four stem convolutions end in GELU: 3 as released, 4 as drawn in figure 2."""
    patch_px: int = 1
    """Side P of a patch of eq. 6: 1 cuts the onset resized to 14x14 into its pixels, as MMNet does and the released
    program; 16 cuts the whole 224x224 onset, as the grid drawn on the face in figure 2 suggests."""
    resize: str = "antialiased"
    """How the onset gets to 14x14: ``"antialiased"`` averages (triangle filter), ``"plain"`` samples bilinearly.
    The released program leaves it to whichever default its torchvision had."""
    t2s_add: str = "before_blocks"
    """Where ``"t2s"`` adds: ``"before_blocks"`` of the transformer as in figure 2 (d) and the text,
    ``"after_blocks"`` (and before the last norm) as released."""
    spatial_input: str = "onset"
    """What ``"spatial"`` sees: ``"onset"`` as the text says, ``"apex"`` as the released ablation script."""

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                expected = ", ".join(map(str, allowed))
                raise ContractError(f"ModelConfig.{name} is {getattr(self, name)!r}; expected one of {expected}")
        if self.classes < 2:
            raise ContractError(f"ModelConfig.classes is {self.classes}; expected 2 or more")
        if not (math.isfinite(self.drop_path) and 0.0 <= self.drop_path < 1.0):
            raise ContractError(f"ModelConfig.drop_path is {self.drop_path}; expected a number in [0, 1)")
        if self.model == "mmnet" and self.fusion != "late":
            raise ContractError(f"ModelConfig.fusion is {self.fusion!r}; MMNet has only 'late'")
        for name in self.options:
            if not self._uses(name):
                raise ContractError(
                    f"ModelConfig.{name} is {getattr(self, name)!r}, which changes nothing in {self.model} with "
                    f"fusion {self.fusion!r}; leave it at {_DEFAULTS[name]!r}"
                )

    @property
    def options(self) -> dict[str, str | int]:
        """The judgement calls that differ from their defaults, by field name."""
        return {name: getattr(self, name) for name in OPTIONS if getattr(self, name) != _DEFAULTS[name]}

    def _uses(self, option: str) -> bool:
        if option == "t2s_add":
            return self.fusion == "t2s"
        if option == "spatial_input":
            return self.fusion == "spatial"
        if option == "stem_gelus":
            return self.model == "tsfmicro" and self.fusion != "spatial"
        has_spatial_branch = self.fusion not in ("early", "temporal")
        return has_spatial_branch and (option != "resize" or self.patch_px == 1)

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Channels of the four stages of the temporal branch."""
        return self._scaled(_BASE_WIDTHS)

    @property
    def stem_widths(self) -> tuple[int, ...]:
        """Output channels of the four stem convolutions."""
        return self._scaled(_BASE_STEM_WIDTHS)

    @property
    def muscle_stem_widths(self) -> tuple[int, ...]:
        """Output channels of the two convolutions MMNet's main branch begins with."""
        return self._scaled(_BASE_MUSCLE_STEM_WIDTHS)

    @property
    def muscle_widths(self) -> tuple[int, ...]:
        """Channels of MMNet's four continuous-attention blocks."""
        return self._scaled(_BASE_MUSCLE_WIDTHS)

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

    def _scaled(self, widths: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(width // _DIVISORS[self.size] for width in widths)


_CHOICES: dict[str, tuple[str | int, ...]] = {
    "model": MODELS,
    "size": SIZES,
    "fusion": FUSIONS,
    "stem_gelus": (3, 4),
    "patch_px": (1, 16),
    "resize": ("antialiased", "plain"),
    "t2s_add": ("before_blocks", "after_blocks"),
    "spatial_input": ("onset", "apex"),
}
OPTIONS = ("stem_gelus", "patch_px", "resize", "t2s_add", "spatial_input")
"""Names of the judgement calls."""
_DEFAULTS = {field.name: field.default for field in fields(ModelConfig)}


def family() -> tuple[ModelConfig, ...]:
    """Every published network in every size, with the defaults of this project."""
    variants = [*(("tsfmicro", fusion) for fusion in FUSIONS), ("mmnet", "late")]
    return tuple(ModelConfig(model=model, fusion=fusion, size=size) for size in SIZES for model, fusion in variants)
