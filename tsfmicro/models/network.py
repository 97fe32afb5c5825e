"""TSFmicro: what moved and where the face is, joined in one of six ways (TSFmicro paper, figure 2, eq. 9-12).

All six are compositions of the same parts. Names in a state dict are those of the attributes: ``temporal.*``,
``spatial.*``, ``head.*``, and ``onset_stem.*`` (early) or ``raise_spatial.*`` (s2t) where there is one.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from tsfmicro.models.config import ModelConfig
from tsfmicro.models.interface import Head, Network
from tsfmicro.models.layers import init_linear, over_map
from tsfmicro.models.mmnet import MMNet
from tsfmicro.models.spatial import SpatialBranch
from tsfmicro.models.temporal import ConvStem, TemporalBranch


class ClassifierHead(Head):
    """Token-wise widening, batch norm, SiLU, mean over the map, classes (TSFmicro paper, eq. 10-12)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.widen = nn.Linear(config.fused_width, config.head_width)
        self.norm = nn.BatchNorm2d(config.head_width)
        self.activation = nn.SiLU()
        self.classify = nn.Linear(config.head_width, config.classes)

    def pool(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, hidden)."""
        wide = self.activation(over_map(self.norm, self.widen(x)))  # (B, H, W, hidden)
        pooled: Tensor = wide.mean(dim=(1, 2))
        return pooled


class TSFmicro(Network):
    """What the six variants have in common: their head and where its linear layers start from."""

    head: ClassifierHead

    def draw_weights(self) -> None:
        """Truncated normal for every linear layer; all else as torch made it."""
        self.apply(init_linear)


class LateFusion(TSFmicro):
    """Both branches to their ends, then the sum of their maps (eq. 9)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.temporal = TemporalBranch(config)
        self.spatial = SpatialBranch(config)
        self.head = ClassifierHead(config)

    def fuse(self, difference: Tensor, onset: Tensor) -> Tensor:
        """See ``Network.fuse``."""
        fused: Tensor = self.temporal(difference) + self.spatial(onset)
        return fused


class EarlyFusion(TSFmicro):
    """One stem for each picture, their sum through the retention stages (figure 2 c)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.temporal = TemporalBranch(config)
        self.onset_stem = ConvStem(config)
        self.head = ClassifierHead(config)

    def fuse(self, difference: Tensor, onset: Tensor) -> Tensor:
        """See ``Network.fuse``."""
        return self.temporal.stages_from(self.temporal.stem(difference) + self.onset_stem(onset))


class TemporalToSpatial(TSFmicro):
    """The temporal map joins the onset's tokens ahead of the transformer (figure 2 d)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.temporal = TemporalBranch(config)
        self.spatial = SpatialBranch(config)
        self.head = ClassifierHead(config)

    def fuse(self, difference: Tensor, onset: Tensor) -> Tensor:
        """See ``Network.fuse``."""
        moved = self.temporal(difference).flatten(1, 2)  # (B, 14, 14, C) -> (B, 196, C)
        return self.spatial.normed_map(self.spatial.blocks(self.spatial.tokens(onset) + moved))


class TemporalAfterSpatial(TemporalToSpatial):
    """The same parts, joined after the transformer and ahead of its last norm (as released)."""

    def fuse(self, difference: Tensor, onset: Tensor) -> Tensor:
        """See ``Network.fuse``."""
        moved = self.temporal(difference).flatten(1, 2)  # (B, 14, 14, C) -> (B, 196, C)
        return self.spatial.normed_map(self.spatial.blocks(self.spatial.tokens(onset)) + moved)


class SpatialToTemporal(TSFmicro):
    """The spatial map, raised to the resolution of the temporal stem, goes through the retention stages.

    Figure 2 e draws no way from 14x14 to 112x112; three transposed convolutions with stride 2 are as released.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.temporal = TemporalBranch(config)
        self.spatial = SpatialBranch(config)
        widths = reversed(config.stage_widths)
        self.raise_spatial = nn.Sequential(
            *(nn.ConvTranspose2d(width, next_width, 4, stride=2, padding=1) for width, next_width in pairwise(widths))
        )
        self.head = ClassifierHead(config)

    def fuse(self, difference: Tensor, onset: Tensor) -> Tensor:
        """See ``Network.fuse``."""
        raised = self.raise_spatial(self.spatial(onset).permute(0, 3, 1, 2))  # (B, 14, 14, C) -> (B, C/8, 112, 112)
        return self.temporal.stages_from(self.temporal.stem(difference) + raised)


class TemporalOnly(TSFmicro):
    """The ablation without the spatial branch (W/O S)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.temporal = TemporalBranch(config)
        self.head = ClassifierHead(config)

    def fuse(self, difference: Tensor, onset: Tensor) -> Tensor:
        """See ``Network.fuse``; the onset is not looked at."""
        moved: Tensor = self.temporal(difference)
        return moved


class SpatialOnly(TSFmicro):
    """The ablation without the temporal branch (W/O T), fed by the onset."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.spatial = SpatialBranch(config)
        self.head = ClassifierHead(config)

    def fuse(self, difference: Tensor, onset: Tensor) -> Tensor:
        """See ``Network.fuse``; the difference is not looked at."""
        seen: Tensor = self.spatial(onset)
        return seen


class SpatialOnlyApex(SpatialOnly):
    """The same parts, fed by the apex (as released)."""

    def fuse(self, difference: Tensor, onset: Tensor) -> Tensor:
        """See ``Network.fuse``; the sum of the two pictures is the normalised apex."""
        seen: Tensor = self.spatial(onset + difference)
        return seen


def build(config: ModelConfig) -> Network:
    """A freshly initialised network, in training mode; seed torch first for a repeatable one."""
    network = _kind_of(config)(config)
    network.draw_weights()
    return network


def _kind_of(config: ModelConfig) -> type[Network]:
    if config.model == "mmnet":
        return MMNet
    if (config.fusion, config.t2s_add) == ("t2s", "after_blocks"):
        return TemporalAfterSpatial
    if (config.fusion, config.spatial_input) == ("spatial", "apex"):
        return SpatialOnlyApex
    return _FUSIONS[config.fusion]


_FUSIONS: dict[str, type[TSFmicro]] = {
    "late": LateFusion,
    "early": EarlyFusion,
    "t2s": TemporalToSpatial,
    "s2t": SpatialToTemporal,
    "temporal": TemporalOnly,
    "spatial": SpatialOnly,
}
