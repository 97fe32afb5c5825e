"""Temporal branch: a four-stage pyramid of retention blocks over the difference of apex and onset.

TSFmicro paper, section 3.2, eq. 3-5 (stem) and figure 2; stages and ratios are those of RMT-T with five blocks.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn

from tsfmicro.models.config import STAGE_DEPTHS, STAGE_PX, TEMPORAL_FFN_RATIO, TEMPORAL_HEADS, ModelConfig
from tsfmicro.models.geometry import AxialGeometry, FullGeometry, Precomputed, StageGeometry
from tsfmicro.models.layers import over_map
from tsfmicro.models.retention import AxialRetention, FullRetention, Retention, RetentionBlock


class _StageForm(NamedTuple):
    """How one stage attends. The early ones are axial: all pairs of 112x112 tokens would be 157 M scores per head."""

    geometry: type[StageGeometry]
    retention: type[Retention]
    decay_span: float


_DECAY_FIRST = 2.0
_AXIAL = _StageForm(AxialGeometry, AxialRetention, 4.0)
_FULL = _StageForm(FullGeometry, FullRetention, 6.0)
_STAGE_FORMS = (_AXIAL, _AXIAL, _FULL, _FULL)


class ConvStem(nn.Sequential):
    """Four 3x3 convolutions with batch norm, the first halving the side; GELU after the first three or all four."""

    def __init__(self, config: ModelConfig) -> None:
        layers: list[nn.Module] = []
        before = 3
        for index, width in enumerate(config.stem_widths):
            layers += [nn.Conv2d(before, width, 3, stride=2 if index == 0 else 1, padding=1), nn.BatchNorm2d(width)]
            if index < config.stem_gelus:
                layers.append(nn.GELU())
            before = width
        super().__init__(*layers)


class PatchMerging(nn.Sequential):
    """Halves the side of a map: 3x3 convolution with stride 2, then batch norm."""

    def __init__(self, width: int, next_width: int) -> None:
        super().__init__(nn.Conv2d(width, next_width, 3, stride=2, padding=1), nn.BatchNorm2d(next_width))


class RetentionStage(nn.Module):
    """Blocks on one grid; positions and decay are computed when it is built, and shared by all of them."""

    def __init__(self, form: _StageForm, side: int, width: int, drop_path: tuple[float, ...]) -> None:
        super().__init__()
        head_width = width // TEMPORAL_HEADS
        formula = form.geometry(side, side, TEMPORAL_HEADS, head_width, _DECAY_FIRST, form.decay_span)
        self.geometry: Precomputed | StageGeometry = Precomputed(formula)
        self.blocks = nn.ModuleList(
            RetentionBlock(width, form.retention(width, TEMPORAL_HEADS), TEMPORAL_FFN_RATIO, rate) for rate in drop_path
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        context = self.geometry()
        for block in self.blocks:
            x = block(x, context)
        return x


class TemporalBranch(nn.Module):
    """Difference image to a 14x14 map."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = config.stage_widths
        rates = iter(config.drop_path_rates)
        self.stem = ConvStem(config)
        self.stages = nn.ModuleList(
            RetentionStage(form, side, width, tuple(next(rates) for _ in range(depth)))
            for form, side, width, depth in zip(_STAGE_FORMS, STAGE_PX, widths, STAGE_DEPTHS, strict=True)
        )
        self.merges = nn.ModuleList(PatchMerging(width, next_width) for width, next_width in pairwise(widths))

    def forward(self, difference: Tensor) -> Tensor:
        """(B, 3, 224, 224) normalised apex minus normalised onset -> (B, 14, 14, C)."""
        return self.stages_from(self.stem(difference))

    def stages_from(self, stem_map: Tensor) -> Tensor:
        """Retention stages over what the stem gave: (B, C, 112, 112) -> (B, 14, 14, 8 C)."""
        x: Tensor = stem_map.permute(0, 2, 3, 1).contiguous()  # (B, C, 112, 112) -> (B, 112, 112, C)
        x = self.stages[0](x)
        for merge, stage in zip(self.merges, list(self.stages)[1:], strict=True):
            x = stage(over_map(merge, x))  # (B, H, W, C) -> (B, H/2, W/2, 2C)
        return x
