"""What FDP is built from: a frozen configuration, the widths that follow from it, and the order of its frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from tsfmicro.errors import ContractError

WINDOW_PX = 64
"""Side the grey frames are resized to inside the network, as in the released program."""
DYNAMIC_PX = 16
"""Side of the dynamic representation; the first stage has it, too."""
STAGE_PX = (16, 8, 4, 2)
"""Side of the token map in each stage."""
STAGE_HEADS = (3, 6, 12, 24)
"""Heads of every convolution and attention: 32 channels each in ``base``, 8 in ``small``."""
FFN_RATIO = 3
FRAMES = 8
"""Frames of a window, as in the released program."""

SIZES = ("base", "small")
OPTIONS = ("frames", "global_blocks", "rank_scorer", "dynamic_image")
"""Names of the judgement calls."""

_WIDTHS = (96, 192, 384, 768)
_STEM_WIDTHS = (64, 32, 64, 64)
_LOCAL_DEPTHS = {"base": (2, 3, 9, 2), "small": (1, 1, 3, 1)}
_DYNAMIC_WIDTH = 16
_HEAD_WIDTH = 256
_CONSTRUCTION_WIDTHS = (64, 128, 256)
_DIVISORS = {"base": 1, "small": 4}


@dataclass(frozen=True, slots=True)
class FdpConfig:
    """One FDP. The fields after ``drop_path`` are judgement calls and ablations."""

    size: str = "base"
    """``"base"``: widths and depths of the released program; ``"small"``: every width divided by 4, fewer blocks."""
    classes: int = 5
    """Width of the last layer."""
    drop_path: float = 0.1
    """Stochastic depth of the last block, rising linearly from 0 at the first. Has no part in inference."""
    frames: int = FRAMES
    """Frames of a window, spread evenly over it in time."""
    global_blocks: str = "last"
    """``"last"``: every stage ends with a block of global attention (the paper); ``"none"``: a local block stands in
    its place, so that the depth is the same (what the released program runs)."""
    rank_scorer: str = "pairwise"
    """``"pairwise"``: frames are scored, in the order of time (the paper); ``"none"``: pooled without scores."""
    dynamic_image: str = "constructed"
    """``"constructed"``: a second head draws the dynamic image (the paper); ``"none"``: recognition alone."""

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ContractError(
                    f"FdpConfig.{name} is {getattr(self, name)!r}; expected one of {', '.join(allowed)}"
                )
        if self.classes < 2:
            raise ContractError(f"FdpConfig.classes is {self.classes}; expected 2 or more")
        if not (isinstance(self.frames, int) and 2 <= self.frames <= 64):
            raise ContractError(f"FdpConfig.frames is {self.frames}; expected a whole number from 2 to 64")
        if not (math.isfinite(self.drop_path) and 0.0 <= self.drop_path < 1.0):
            raise ContractError(f"FdpConfig.drop_path is {self.drop_path}; expected a number in [0, 1)")

    @property
    def model(self) -> str:
        """``"fdp"``, the name on the command line and in a bundle."""
        return "fdp"

    @property
    def fusion(self) -> str:
        """``"window"``: stands in a model card where TSFmicro says how its branches meet."""
        return "window"

    @property
    def options(self) -> dict[str, str | int]:
        """The judgement calls that differ from their defaults, by field name."""
        return {name: getattr(self, name) for name in OPTIONS if getattr(self, name) != _DEFAULTS[name]}

    @property
    def stem_widths(self) -> tuple[int, ...]:
        """Output channels of the four stem convolutions."""
        return self._scaled(_STEM_WIDTHS)

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Channels of the four stages."""
        return self._scaled(_WIDTHS)

    @property
    def local_depths(self) -> tuple[int, ...]:
        """Local blocks of each stage, before its one global block."""
        return _LOCAL_DEPTHS[self.size]

    @property
    def dynamic_width(self) -> int:
        """Channels of a frame's features and of the dynamic representation."""
        return _DYNAMIC_WIDTH // _DIVISORS[self.size]

    @property
    def head_width(self) -> int:
        """Hidden width of the recognition head and of the rank scorer."""
        return _HEAD_WIDTH // _DIVISORS[self.size]

    @property
    def construction_widths(self) -> tuple[int, ...]:
        """Channels of the encoder of the dynamic-image head, at 16x16, 8x8 and 4x4."""
        return self._scaled(_CONSTRUCTION_WIDTHS)

    def _scaled(self, widths: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(width // _DIVISORS[self.size] for width in widths)


_CHOICES: dict[str, tuple[str, ...]] = {
    "size": SIZES,
    "global_blocks": ("last", "none"),
    "rank_scorer": ("pairwise", "none"),
    "dynamic_image": ("constructed", "none"),
}
_DEFAULTS = {field.name: field.default for field in fields(FdpConfig)}


@dataclass(frozen=True, slots=True)
class LossWeights:
    """L = recognition * CE + order * L_order + dynamic_image * MSE. The parts a network lacks are left out."""

    recognition: float = 1.0
    """Of the cross-entropy, as released."""
    order: float = 0.1
    """Of the pairwise order loss, which the released program has not; chosen so that it starts below recognition."""
    dynamic_image: float = 100.0
    """Of the mean squared error of images in 0..1, as released."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not (math.isfinite(value) and value >= 0):
                raise ContractError(f"LossWeights.{entry.name} is {value}; expected a finite number, 0 or more")


def harmonic_coefficients(frames: int) -> tuple[float, ...]:
    """Weights of approximate rank pooling over raw frames (Bilen et al., 2016, eq. 5).

    alpha_t = 2 (T - t + 1) - (T + 1) (H_T - H_{t-1}) with the harmonic numbers H and t = 1..T. They sum to 0, so that
    whatever stands still cancels.

    Raises:
        ContractError: for fewer than two frames, which have no order.
    """
    if frames < 2:
        raise ContractError(f"{frames} frames have no order; expected 2 or more")
    return tuple(
        2.0 * (frames - t + 1) - (frames + 1) * sum(1.0 / k for k in range(t, frames + 1)) for t in range(1, frames + 1)
    )


def window_positions(first: int, last: int, frames: int) -> tuple[int, ...]:
    """Frame numbers spread evenly over a clip, ends included; a short clip repeats some.

    Raises:
        ContractError: if ``last`` is before ``first``, or for fewer than two frames.
    """
    if last < first or frames < 2:
        raise ContractError(f"frames {first} to {last} cannot give {frames}; expected first <= last and 2 or more")
    step = (last - first) / (frames - 1)
    return tuple(first + math.floor(index * step + 0.5) for index in range(frames))


def fdp_family() -> tuple[FdpConfig, ...]:
    """FDP in both sizes."""
    return tuple(FdpConfig(size=size) for size in SIZES)
