"""TSFmicro with late fusion: what moved and where the face is, summed on one 14x14 map (TSFmicro paper, eq. 9-11)."""

from __future__ import annotations

from torch import Tensor, nn

from tsfmicro.models.config import ModelConfig
from tsfmicro.models.layers import init_linear, over_map
from tsfmicro.models.spatial import SpatialBranch
from tsfmicro.models.temporal import TemporalBranch


class ClassifierHead(nn.Module):
    """Token-wise widening, batch norm, SiLU, mean over the map, classes (TSFmicro paper, eq. 10-11)."""

    def __init__(self, width: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, hidden)
        self.norm = nn.BatchNorm2d(hidden)
        self.activation = nn.SiLU()
        self.classify = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, classes) logits."""
        wide = self.activation(over_map(self.norm, self.widen(x)))  # (B, H, W, hidden)
        logits: Tensor = self.classify(wide.mean(dim=(1, 2)))
        return logits


class TSFmicro(nn.Module):
    """The network that is trained and whose state dict is saved."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.temporal = TemporalBranch(config)
        self.spatial = SpatialBranch(config)
        self.head = ClassifierHead(config.fused_width, config.head_width, config.classes)
        self.apply(init_linear)

    def forward(self, difference: Tensor, onset: Tensor) -> Tensor:
        """Logits of a batch of pairs.

        Args:
            difference: (B, 3, 224, 224) normalised apex minus normalised onset.
            onset: (B, 3, 224, 224) normalised onset.

        Returns:
            (B, classes) logits.
        """
        logits: Tensor = self.head(self.temporal(difference) + self.spatial(onset))
        return logits


def build(config: ModelConfig) -> TSFmicro:
    """A freshly initialised network, in training mode; seed torch first for a repeatable one."""
    return TSFmicro(config)
