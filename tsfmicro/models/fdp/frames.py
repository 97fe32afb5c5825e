"""The frame transformer: every frame by itself, through local convolutional and global attention blocks.

The paper's local-global feature-aware transformer, with the multi-head convolution of Next-ViT (Li et al., 2022) that
its description names: heads of a grouped 3x3 convolution, batch norm, ReLU, a pointwise convolution over all heads.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle

from tsfmicro.models.fdp.config import DYNAMIC_PX, FFN_RATIO, STAGE_HEADS, STAGE_PX, FdpConfig
from tsfmicro.models.layers import NORM_EPS
from tsfmicro.models.spatial import SelfAttention


def conv_norm(width: int, next_width: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution without bias that keeps the size of the map at stride 1, and batch norm."""
    convolution = nn.Conv2d(width, next_width, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(next_width))


class FrameStem(nn.Sequential):
    """Four 3x3 convolutions with batch norm and ReLU, the first and the last halving the side."""

    def __init__(self, config: FdpConfig) -> None:
        widths = (1, *config.stem_widths)
        strides = (2, 1, 1, 2)
        layers: list[nn.Module] = []
        for (width, next_width), stride in zip(pairwise(widths), strides, strict=True):
            layers += [*conv_norm(width, next_width, 3, stride), nn.ReLU()]
        super().__init__(*layers)


class PatchEmbedding(nn.Sequential):
    """To the side and width of the next stage: 2x2 means where the side halves, then a pointwise convolution."""

    def __init__(self, width: int, next_width: int, *, halves: bool) -> None:
        halving: list[nn.Module] = [nn.AvgPool2d(2)] if halves else []
        super().__init__(*halving, *conv_norm(width, next_width, 1))


class FeedForward(nn.Sequential):
    """Batch norm, then two pointwise convolutions with ReLU between them."""

    def __init__(self, width: int) -> None:
        wide = FFN_RATIO * width
        super().__init__(nn.BatchNorm2d(width), nn.Conv2d(width, wide, 1), nn.ReLU(), nn.Conv2d(wide, width, 1))


class WindowDropPath(nn.Module):
    """Stochastic depth that drops a residual branch for all frames of a window or for none.

    Dropped frame by frame, it would look like a movement larger than any micro-expression.
    """

    def __init__(self, rate: float, frames: int) -> None:
        super().__init__()
        self.rate = rate
        self.frames = frames

    def forward(self, x: Tensor) -> Tensor:
        """(B*T, ...) frames of B windows, one window after the other."""
        if not self.training or self.rate == 0.0:
            return x
        keep = (torch.rand(x.shape[0] // self.frames, device=x.device) >= self.rate).repeat_interleave(self.frames)
        return x * (keep.to(x.dtype) / (1.0 - self.rate)).reshape(-1, *(1 for _ in x.shape[1:]))

    def extra_repr(self) -> str:
        """Shown by ``print(network)``."""
        return f"rate={self.rate}, frames={self.frames}"


class LocalBlock(nn.Module):
    """Multi-head convolution and feed-forward, both residual."""

    def __init__(self, width: int, heads: int, drop_path: WindowDropPath) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            *conv_norm(width, width, 3, groups=heads), nn.ReLU(), nn.Conv2d(width, width, 1, bias=False)
        )
        self.ffn = FeedForward(width)
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = x + self.drop_path(self.mix(x))
        x = x + self.drop_path(self.ffn(x))
        return x


class GlobalBlock(nn.Module):
    """Pointwise convolution and multi-head attention between all places of the map, then feed-forward; residual."""

    def __init__(self, width: int, heads: int, drop_path: WindowDropPath) -> None:
        super().__init__()
        self.project = nn.Conv2d(width, width, 1)
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = SelfAttention(width, heads)
        self.ffn = FeedForward(width)
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        side = x.shape[-1]
        tokens = self.project(x).flatten(2).transpose(1, 2)  # (B, C, H, W) -> (B, H*W, C)
        attended = self.attention(self.attention_norm(tokens)).transpose(1, 2)  # (B, C, H*W)
        x = x + self.drop_path(attended.unflatten(2, (side, side)))
        x = x + self.drop_path(self.ffn(x))
        return x


class FrameTransformer(nn.Module):
    """One frame to its features: a map that keeps places, so that what moves where can be told apart later.

    The last map, whose 2x2 places have seen the whole face, is spread over 16x16 places (pixel shuffle), and joined by
    the map of the first stage, which still has the detail that small movements need.
    """

    def __init__(self, config: FdpConfig) -> None:
        super().__init__()
        widths = config.stage_widths
        self.stem = FrameStem(config)
        self.embeddings = nn.ModuleList(
            PatchEmbedding(width, next_width, halves=index > 0)
            for index, (width, next_width) in enumerate(pairwise((config.stem_widths[-1], *widths)))
        )
        self.stages = nn.ModuleList(_stages(config))
        self.norm = nn.BatchNorm2d(widths[-1])
        self._spread = DYNAMIC_PX // STAGE_PX[-1]
        self.project = nn.Conv2d(widths[-1], config.dynamic_width * self._spread**2, 1)
        self.detail = nn.Conv2d(widths[0], config.dynamic_width, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """(B*T, 1, 64, 64) normalised grey frames, window after window -> (B*T, D, 16, 16)."""
        x: Tensor = self.stem(frames)  # (B*T, C, 16, 16)
        maps: list[Tensor] = []
        for embed, stage in zip(self.embeddings, self.stages, strict=True):
            x = stage(embed(x))
            maps.append(x)
        whole = pixel_shuffle(self.project(self.norm(x)), self._spread)  # (B*T, 64 D, 2, 2) -> (B*T, D, 16, 16)
        features: Tensor = whole + self.detail(maps[0])
        return features


def _stages(config: FdpConfig) -> list[nn.Sequential]:
    last: type[LocalBlock | GlobalBlock] = GlobalBlock if config.global_blocks == "last" else LocalBlock
    blocks = sum(config.local_depths) + len(config.local_depths)
    drops = iter([WindowDropPath(config.drop_path * index / (blocks - 1), config.frames) for index in range(blocks)])
    return [
        nn.Sequential(
            *(LocalBlock(width, heads, next(drops)) for _ in range(depth)),
            last(width, heads, next(drops)),
        )
        for width, heads, depth in zip(config.stage_widths, STAGE_HEADS, config.local_depths, strict=True)
    ]
