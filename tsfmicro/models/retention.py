"""Manhattan retention: softmax attention with a fixed decay by Manhattan distance (RMT, Fan et al., 2024).

Retention here is two-dimensional and bidirectional, over the tokens of one difference image. The log-decay is added
to the scores before softmax, which equals multiplying by the decay afterwards and normalising again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, addcmul, nn

from tsfmicro.models.geometry import RotaryPhases, StageContext
from tsfmicro.models.layers import NORM_EPS, DropPath, attention, depthwise, over_map, split_heads, split_qkv


def rotate(x: Tensor, phases: RotaryPhases) -> Tensor:
    """Rotate the pairs (2m, 2m+1) of every head by the token's angles.

    Before the heads are split: so the products run over whole tokens, not over the few channels of half a head.

    Args:
        x: (B, H, W, C) queries or keys.
        phases: angles of the tokens.

    Returns:
        (B, H, W, C).
    """
    partner = split_heads(x, x.shape[-1] // 2).flip(-1).flatten(-2)  # every pair as a head of two
    return addcmul(x * phases.cos.to(x.dtype), partner, phases.sin.to(x.dtype))


class Retention(nn.Module, ABC):
    """What both forms share: projections, rotary positions and local enhancement of the values.

    out = W_o (attend(rotate(q), rotate(k), v) + DWConv5x5(v)); keys are scaled by d^-1/2 inside the attention call.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.local = depthwise(width, 5)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: StageContext) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        query, key, value = split_qkv(self.qkv(x))  # (B, H, W, C) each
        queries, keys, values = (
            split_heads(t, self.heads)  # (B, H, W, C) -> (B, H, W, N, d)
            for t in (rotate(query, context.phases), rotate(key, context.phases), value)
        )
        biases = tuple(bias.to(x.dtype) for bias in context.biases)
        attended = self.attend(queries, keys, values, biases).flatten(3, 4)  # (B, H, W, N, d) -> (B, H, W, C)
        out: Tensor = self.out(attended + over_map(self.local, value))
        return out

    @abstractmethod
    def attend(self, query: Tensor, key: Tensor, value: Tensor, biases: tuple[Tensor, ...]) -> Tensor:
        """(B, H, W, N, d) three times -> (B, H, W, N, d)."""


class AxialRetention(Retention):
    """Along each row, then along each column of the result; queries and keys are the same in both passes."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, biases: tuple[Tensor, ...]) -> Tensor:
        """(B, H, W, N, d) three times -> (B, H, W, N, d)."""
        along_width, along_height = biases
        in_rows = _attend_rows(query, key, value, along_width)  # (B, H, W, N, d)
        query, key, value = (t.transpose(1, 2) for t in (query, key, in_rows))  # (B, W, H, N, d) each
        return _attend_rows(query, key, value, along_height).transpose(1, 2)  # (B, H, W, N, d)


class FullRetention(Retention):
    """Between all tokens of the grid."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, biases: tuple[Tensor, ...]) -> Tensor:
        """(B, H, W, N, d) three times -> (B, H, W, N, d)."""
        grid = query.shape[1:]
        query, key, value = (t.flatten(1, 2).transpose(1, 2) for t in (query, key, value))  # (B, N, H*W, d) each
        out = attention(query, key, value, biases[0])  # (B, N, H*W, d)
        return out.transpose(1, 2).reshape(-1, *grid)  # (B, H*W, N, d) -> (B, H, W, N, d)


def _attend_rows(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attention within each row of (B, H, W, N, d); rows join the batch, since exporters know 4-D attention only."""
    grid = query.shape[1:]
    query, key, value = (t.flatten(0, 1).transpose(1, 2) for t in (query, key, value))  # (B*H, N, W, d) each
    out = attention(query, key, value, bias)  # (B*H, N, W, d)
    return out.transpose(1, 2).reshape(-1, *grid)  # (B*H, W, N, d) -> (B, H, W, N, d)


class ConvFeedForward(nn.Module):
    """Token-wise widening with a depthwise 3x3 residual at the wide point: W_2 (u + DWConv(u)), u = GELU(W_1 x)."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, ratio * width)
        self.activation = nn.GELU()
        self.local = depthwise(ratio * width, 3)
        self.narrow = nn.Linear(ratio * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        wide = self.activation(self.widen(x))  # (B, H, W, ratio*C)
        out: Tensor = self.narrow(wide + over_map(self.local, wide))
        return out


class RetentionBlock(nn.Module):
    """Conditional position, retention and feed-forward, each residual (RMT, section 3.3)."""

    def __init__(self, width: int, retention: Retention, ffn_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.position = depthwise(width, 3)
        self.retention_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.retention = retention
        self.ffn_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.ffn = ConvFeedForward(width, ffn_ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, context: StageContext) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        x = x + over_map(self.position, x)
        x = x + self.drop_path(self.retention(self.retention_norm(x), context))
        x = x + self.drop_path(self.ffn(self.ffn_norm(x)))
        return x
