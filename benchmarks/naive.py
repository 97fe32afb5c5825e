"""TSFmicro with late fusion once more, written down as plainly as the formulas read.

It is what the network's speed is measured against (``tsf-bench step``), and, in float64, what its outputs and
gradients are tested against. Nothing here is clever on purpose, nothing slow on purpose: scores are a matrix product,
decay is added, softmax, a second product. It shares no code with ``tsfmicro.models`` but the names of its parameters,
so that one state dict fits both. Formulas: RMT (Fan et al., 2024), section 3; TSFmicro paper, section 3.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTHS = (64, 128, 256, 512)
_STEM_WIDTHS = (32, 32, 64, 64)
_HEADS = 2


def nchw(module: nn.Module, x: Tensor) -> Tensor:
    """A module for (B, C, H, W) over (B, H, W, C)."""
    mapped: Tensor = module(x.permute(0, 3, 1, 2))
    return mapped.permute(0, 2, 3, 1)


def rotated(x: Tensor) -> Tensor:
    """(B, N, H, W, d): rotate the pairs (2m, 2m+1) of token n by n * 10000^(-m / (d/2 - 1))."""
    height, width, d = x.shape[2:]
    m = torch.arange(d // 2, dtype=torch.float64)
    n = torch.arange(height * width, dtype=torch.float64).reshape(height, width, 1)
    angle = n * 10000.0 ** (-m / (d // 2 - 1))  # (H, W, d/2)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


class Retention(nn.Module):
    """Softmax attention with log-decay added; along rows and then columns, or between all tokens."""

    def __init__(self, width: int, axial: bool) -> None:
        super().__init__()
        self.axial = axial
        self.qkv = nn.Linear(width, 3 * width)
        self.local = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        batch, height, width, channels = x.shape
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (
            t.reshape(batch, height, width, _HEADS, -1).permute(0, 3, 1, 2, 4) for t in (query, key, value)
        )  # (B, N, H, W, d)
        q, k = rotated(q), rotated(k) * k.shape[-1] ** -0.5
        span = 4.0 if self.axial else 6.0
        log_gamma = torch.tensor([math.log(1 - 2 ** -(2 + span * h / _HEADS)) for h in range(_HEADS)], dtype=x.dtype)
        rows, columns = torch.arange(height, dtype=x.dtype), torch.arange(width, dtype=x.dtype)
        if self.axial:
            decay = log_gamma[:, None, None] * (columns[:, None] - columns).abs()  # (N, W, W)
            v = torch.softmax(q @ k.transpose(-1, -2) + decay[:, None], dim=-1) @ v
            q, k, v = (t.transpose(2, 3) for t in (q, k, v))  # (B, N, W, H, d)
            decay = log_gamma[:, None, None] * (rows[:, None] - rows).abs()  # (N, H, H)
            attended = (torch.softmax(q @ k.transpose(-1, -2) + decay[:, None], dim=-1) @ v).transpose(2, 3)
        else:
            i, j = rows.repeat_interleave(width), columns.repeat(height)
            distance = (i[:, None] - i).abs() + (j[:, None] - j).abs()
            q, k, v = (t.flatten(2, 3) for t in (q, k, v))  # (B, N, H*W, d)
            attended = torch.softmax(q @ k.transpose(-1, -2) + log_gamma[:, None, None] * distance, dim=-1) @ v
            attended = torch.unflatten(attended, 2, (height, width))
        merged = attended.permute(0, 2, 3, 1, 4).reshape(batch, height, width, channels)
        out: Tensor = self.out(merged + nchw(self.local, value))
        return out


class FeedForward(nn.Module):
    """W_2 (u + DWConv3x3(u)), u = GELU(W_1 x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, 3 * width)
        self.local = nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width)
        self.narrow = nn.Linear(3 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        u = functional.gelu(self.widen(x))
        out: Tensor = self.narrow(u + nchw(self.local, u))
        return out


class Block(nn.Module):
    """Conditional position, retention, feed-forward."""

    def __init__(self, width: int, axial: bool) -> None:
        super().__init__()
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.retention_norm = nn.LayerNorm(width, eps=1e-6)
        self.retention = Retention(width, axial)
        self.ffn_norm = nn.LayerNorm(width, eps=1e-6)
        self.ffn = FeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        x = x + nchw(self.position, x)
        x = x + self.retention(self.retention_norm(x))
        x = x + self.ffn(self.ffn_norm(x))
        return x


class Stage(nn.Module):
    """Blocks of one resolution."""

    def __init__(self, width: int, depth: int, axial: bool) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(width, axial) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        out: Tensor = self.blocks(x)
        return out


class Temporal(nn.Module):
    """Stem and four stages."""

    def __init__(self, divisor: int) -> None:
        super().__init__()
        stem: list[nn.Module] = []
        for index, width in enumerate(_STEM_WIDTHS):
            before = 3 if index == 0 else _STEM_WIDTHS[index - 1] // divisor
            convolution = nn.Conv2d(before, width // divisor, 3, stride=2 if index == 0 else 1, padding=1)
            stem += [convolution, nn.BatchNorm2d(width // divisor)]
            stem += [nn.GELU()] if index < 3 else []
        self.stem = nn.Sequential(*stem)
        widths = [width // divisor for width in _WIDTHS]
        self.stages = nn.ModuleList(
            Stage(width, depth, axial)
            for width, depth, axial in zip(widths, (1, 1, 2, 1), (True, True, False, False), strict=True)
        )
        self.merges = nn.ModuleList(
            nn.Sequential(nn.Conv2d(widths[i], widths[i + 1], 3, stride=2, padding=1), nn.BatchNorm2d(widths[i + 1]))
            for i in range(3)
        )

    def forward(self, difference: Tensor) -> Tensor:
        """(B, 3, 224, 224) -> (B, 14, 14, C)."""
        x: Tensor = self.stem(difference).permute(0, 2, 3, 1)
        for index, stage in enumerate(self.stages):
            x = stage(x if index == 0 else nchw(self.merges[index - 1], x))
        return x


class SpatialBlock(nn.Module):
    """Pre-norm transformer block with four heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=1e-6)
        self.attention = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "out": nn.Linear(width, width)})
        self.ffn_norm = nn.LayerNorm(width, eps=1e-6)
        self.ffn = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        qkv = torch.unflatten(self.attention["qkv"](self.attention_norm(x)), 2, (3, 4, -1))  # (B, L, 3, N, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, N, L, d) each
        attended = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1) @ v
        x = x + self.attention["out"](attended.transpose(1, 2).flatten(2))
        x = x + self.ffn(self.ffn_norm(x))
        return x


class Spatial(nn.Module):
    """Two transformer blocks over the onset at 14x14."""

    def __init__(self, divisor: int) -> None:
        super().__init__()
        width = _WIDTHS[-1] // divisor
        self.embed = nn.Conv2d(3, width, 1)
        self.position = nn.Parameter(torch.zeros(1, 196, width))
        self.blocks = nn.Sequential(*(SpatialBlock(width) for _ in range(2)))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, onset: Tensor) -> Tensor:
        """(B, 3, 224, 224) -> (B, 14, 14, C)."""
        reduced = functional.interpolate(onset, size=(14, 14), mode="bilinear", antialias=True)
        x = self.embed(reduced).flatten(2).transpose(1, 2) + self.position
        normed: Tensor = self.norm(self.blocks(x))
        return torch.unflatten(normed, 1, (14, 14))


class NaiveTSFmicro(nn.Module):
    """Late fusion and head. ``divisor`` 1 is ``base``, 4 is ``small``; there is no stochastic depth."""

    def __init__(self, divisor: int, classes: int) -> None:
        super().__init__()
        width, hidden = _WIDTHS[-1] // divisor, 1024 // divisor
        self.temporal = Temporal(divisor)
        self.spatial = Spatial(divisor)
        self.head = nn.ModuleDict(
            {"widen": nn.Linear(width, hidden), "norm": nn.BatchNorm2d(hidden), "classify": nn.Linear(hidden, classes)}
        )

    def forward(self, difference: Tensor, onset: Tensor) -> Tensor:
        """(B, 3, 224, 224) twice -> (B, classes) logits."""
        fused = self.temporal(difference) + self.spatial(onset)
        wide = functional.silu(nchw(self.head["norm"], self.head["widen"](fused)))
        logits: Tensor = self.head["classify"](wide.mean(dim=(1, 2)))
        return logits
