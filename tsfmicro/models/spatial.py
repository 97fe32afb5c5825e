"""Spatial branch: a two-block vision transformer over the onset at 14x14, one token per pixel.

TSFmicro paper, section 3.3, eq. 6-8, with patches of one pixel as in MMNet's position calibration.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsfmicro.models.config import INPUT_PX, SPATIAL_DEPTH, SPATIAL_FFN_RATIO, SPATIAL_HEADS, SPATIAL_PX, ModelConfig
from tsfmicro.models.layers import INIT_STD, NORM_EPS, attention, split_heads, split_qkv


def resize_matrix(source: int, target: int) -> Tensor:
    """Weights of an antialiased bilinear reduction from ``source`` to ``target`` samples.

    A triangle filter of half-width source/target around each target centre, cut at the border and normalised: what
    torch calls ``interpolate(mode="bilinear", antialias=True)``. As a product it exports to every engine.

    Returns:
        (target, source) float64, rows summing to 1.
    """
    scale = source / target
    centres = (torch.arange(target, dtype=torch.float64) + 0.5) * scale
    samples = torch.arange(source, dtype=torch.float64) + 0.5
    weights = (1.0 - (samples - centres[:, None]).abs() / scale).clamp(min=0.0)  # (target, source)
    return weights / weights.sum(dim=1, keepdim=True)


def sampling_matrix(source: int, target: int) -> Tensor:
    """Weights of a bilinear reduction that only looks at the two nearest samples of each target centre.

    What torch calls ``interpolate(mode="bilinear", antialias=False)``.

    Returns:
        (target, source) float64, rows summing to 1.
    """
    centres = (torch.arange(target, dtype=torch.float64) + 0.5) * (source / target)
    samples = torch.arange(source, dtype=torch.float64) + 0.5
    return (1.0 - (samples - centres[:, None]).abs()).clamp(min=0.0)  # (target, source)


_RESIZES = {"antialiased": resize_matrix, "plain": sampling_matrix}


class SelfAttention(nn.Module):
    """Plain multi-head attention over a sequence of tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        # (B, L, C) -> (B, L, N, d) -> (B, N, L, d)
        query, key, value = (split_heads(t, self.heads).transpose(1, 2) for t in split_qkv(self.qkv(x)))
        attended = attention(query, key, value)  # (B, N, L, d)
        out: Tensor = self.out(attended.transpose(1, 2).flatten(2, 3))  # (B, L, N, d) -> (B, L, C)
        return out


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward, both residual."""

    def __init__(self, width: int, heads: int, ffn_ratio: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = SelfAttention(width, heads)
        self.ffn_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.ffn = nn.Sequential(nn.Linear(width, ffn_ratio * width), nn.GELU(), nn.Linear(ffn_ratio * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        x = x + self.attention(self.attention_norm(x))
        x = x + self.ffn(self.ffn_norm(x))
        return x


class ResizedPixels(nn.Conv2d):
    """Patches of one pixel: the onset reduced to 14x14, each pixel embedded by a 1x1 convolution."""

    resize: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(3, config.fused_width, 1)
        matrix = _RESIZES[config.resize](INPUT_PX, SPATIAL_PX).float()  # (14, 224)
        self.register_buffer("resize", matrix, persistent=False)

    def forward(self, onset: Tensor) -> Tensor:
        """(B, 3, 224, 224) -> (B, C, 14, 14)."""
        # (14, 224) x (B, 3, 224, 224) x (224, 14) -> (B, 3, 14, 14)
        return super().forward(self.resize @ onset @ self.resize.T)


class SlicedPatches(nn.Conv2d):
    """Patches of 16x16 pixels of the onset as it is (eq. 6 with P = 16)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(3, config.fused_width, config.patch_px, stride=config.patch_px)


class SpatialBranch(nn.Module):
    """Onset frame to a 14x14 map."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.fused_width
        self.embed = ResizedPixels(config) if config.patch_px == 1 else SlicedPatches(config)
        self.position = nn.Parameter(torch.zeros(1, SPATIAL_PX * SPATIAL_PX, width))
        self.blocks = nn.Sequential(
            *(TransformerBlock(width, SPATIAL_HEADS, SPATIAL_FFN_RATIO) for _ in range(SPATIAL_DEPTH))
        )
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        nn.init.trunc_normal_(self.position, std=INIT_STD)

    def forward(self, onset: Tensor) -> Tensor:
        """(B, 3, 224, 224) normalised onset -> (B, 14, 14, C)."""
        return self.normed_map(self.blocks(self.tokens(onset)))

    def tokens(self, onset: Tensor) -> Tensor:
        """Embedded patches with their positions (eq. 6-8): (B, 3, 224, 224) -> (B, 196, C)."""
        embedded: Tensor = self.embed(onset)  # (B, C, 14, 14)
        return embedded.flatten(2).transpose(1, 2) + self.position  # (B, C, 196) -> (B, 196, C)

    def normed_map(self, tokens: Tensor) -> Tensor:
        """Last norm, and the sequence as a map again: (B, 196, C) -> (B, 14, 14, C)."""
        normed: Tensor = self.norm(tokens)
        return normed.reshape(-1, SPATIAL_PX, SPATIAL_PX, normed.shape[2])
