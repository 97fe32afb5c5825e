"""Pieces that both branches use."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

NORM_EPS = 1e-6
"""Epsilon of every LayerNorm."""
INIT_STD = 0.02
"""Standard deviation of the truncated normal that every Linear and the position embedding start from."""


def over_map(module: nn.Module, tokens: Tensor) -> Tensor:
    """Apply a module for (B, C, H, W) maps to (B, H, W, C) tokens."""
    mapped: Tensor = module(tokens.permute(0, 3, 1, 2))  # (B, C, H, W), channels-last in memory
    return mapped.permute(0, 2, 3, 1)  # (B, H', W', C')


def depthwise(width: int, kernel: int) -> nn.Conv2d:
    """A depthwise convolution that keeps the size of the map."""
    return nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(..., C) -> (..., N, C/N)."""
    return x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads)


def split_qkv(projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(..., 3C) -> queries, keys and values, (..., C) each. Unbound, since ``chunk`` exports as a sequence."""
    query, key, value = split_heads(projected, 3).unbind(-2)
    return query, key, value


def attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """Softmax attention with something added to the scores; (B, N, L, d) three times -> (B, N, L, d).

    Under autocast on a CPU the two products are written out: the backward pass of the fused kernel is several times
    slower in bfloat16 there, more than everything else gains.
    """
    if query.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return scaled_dot_product_attention(query, key, value, attn_mask=bias)
    scores: Tensor = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)  # (B, N, L, L)
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    # Softmax adds up in float32 whatever it is given, and rounds what it returns.
    attended: Tensor = scores.softmax(dim=-1) @ value
    return attended


def init_linear(module: nn.Module) -> None:
    """Truncated normal weights and zero bias, if any, for a Linear; leaves everything else as torch made it."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=INIT_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class DropPath(nn.Module):
    """Stochastic depth: in training, drops a residual branch per sample and scales the kept ones by 1 / (1 - rate)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Any shape with the batch first."""
        if not self.training or self.rate == 0.0:
            return x
        keep = torch.rand((x.shape[0],) + (1,) * (x.ndim - 1), device=x.device) >= self.rate
        return x * (keep.to(x.dtype) / (1.0 - self.rate))

    def extra_repr(self) -> str:
        """Shown by ``print(network)``."""
        return f"rate={self.rate}"
