"""MMNet, TSFmicro's parent: a convolutional main branch with continuous attention, and position calibration.

Li et al., *MMNet: Muscle motion-guided network for micro-expression recognition* (2022), from its formulas. Position
calibration is the spatial branch of this package; what differs is the main branch and the head. Convolutions have the
bias torch gives them, though batch norm cancels it: so 9,442,097 parameters for five classes, published as 9.44 M.
"""

from __future__ import annotations

from torch import Tensor, cat, nn

from tsfmicro.models.config import SPATIAL_PX, ModelConfig
from tsfmicro.models.interface import Head, Network
from tsfmicro.models.layers import init_linear
from tsfmicro.models.spatial import SpatialBranch

_STRIDES = (1, 2, 2, 2)


def conv_norm(width: int, next_width: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the size of the map at stride 1, and batch norm."""
    convolution = nn.Conv2d(width, next_width, kernel, stride=stride, padding=kernel // 2)
    return nn.Sequential(convolution, nn.BatchNorm2d(next_width))


class MotionAttention(nn.Module):
    """Where the muscles move: a map in (0, 1) from the mean and the largest channel, scaled by the map before it."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = conv_norm(2, 1, 1)
        self.reduce = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, x: Tensor, before: Tensor | None) -> Tensor:
        """(B, C, H, W), and the attention of the previous block, (B, 1, 2H, 2W) -> (B, 1, H, W)."""
        summary = cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)  # (B, 2, H, W)
        attention: Tensor = self.weigh(summary).sigmoid()
        return attention if before is None else attention * self.reduce(before)


class ContinuousAttentionBlock(nn.Module):
    """Residual convolutions, then attention that continues from block to block."""

    def __init__(self, width: int, next_width: int, stride: int) -> None:
        super().__init__()
        self.convolve = nn.Sequential(
            *conv_norm(width, next_width, 3, stride), nn.ReLU(), *conv_norm(next_width, next_width, 1)
        )
        self.shortcut = nn.Identity() if stride == 1 else conv_norm(width, next_width, 1, stride)
        self.attention = MotionAttention()

    def forward(self, x: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) and the previous attention -> attended map (B, C', H', W') and this attention."""
        moved = (self.convolve(x) + self.shortcut(x)).relu()
        attention = self.attention(moved, before)
        return moved * attention, attention


class MuscleMotionBranch(nn.Module):
    """Difference image to a 14x14 map."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        first, second = config.muscle_stem_widths
        self.stem = nn.Sequential(*conv_norm(3, first, 3, stride=2), nn.ReLU(), *conv_norm(first, second, 3), nn.ReLU())
        widths = config.muscle_widths
        self.blocks = nn.ModuleList(
            ContinuousAttentionBlock(width, next_width, stride)
            for width, next_width, stride in zip((second, *widths), widths, _STRIDES, strict=False)
        )

    def forward(self, difference: Tensor) -> Tensor:
        """(B, 3, 224, 224) normalised apex minus normalised onset -> (B, 14, 14, C)."""
        x: Tensor = self.stem(difference)  # (B, C, 112, 112)
        attention: Tensor | None = None
        for block in self.blocks:
            x, attention = block(x, attention)  # 112x112, 56x56, 28x28, 14x14
        return x.permute(0, 2, 3, 1)


class FlattenedHead(Head):
    """One linear layer over the whole map, without pooling."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.classify = nn.Linear(config.fused_width * SPATIAL_PX * SPATIAL_PX, config.classes)

    def pool(self, x: Tensor) -> Tensor:
        """(B, 14, 14, C) -> (B, 196 C): every token counts for itself."""
        return x.flatten(1)


class MMNet(Network):
    """Main branch plus position calibration, summed as in TSFmicro's late fusion."""

    head: FlattenedHead

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.motion = MuscleMotionBranch(config)
        self.spatial = SpatialBranch(config)
        self.head = FlattenedHead(config)

    def fuse(self, difference: Tensor, onset: Tensor) -> Tensor:
        """See ``Network.fuse``."""
        fused: Tensor = self.motion(difference) + self.spatial(onset)
        return fused

    def draw_weights(self) -> None:
        """Kaiming's normal for the main branch; the position branch as in TSFmicro, the head as torch made it."""
        self.spatial.apply(init_linear)
        for module in self.motion.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
