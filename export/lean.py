"""The network in the form that is exported: the same function, laid out for runtimes that go operator by operator.

What training and eager torch want is not what a graph wants. Here queries, keys and values have products of their own,
so that nothing is split; the two channels of a rotated pair lie half a head apart, so that partners are two runs and
not every other number; heads are laid out by one transposition each; a depthwise convolution whose input is added to
its output has that input in its middle tap; and the scale of the scores is in the tables of the queries. Positions and
decay are built in the graph by their formula, whose tables are small. Weights are only put in another order, except for
those middle taps.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, cat, nn

from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.models.geometry import Precomputed, RotaryPhases, StageContext
from tsfmicro.models.layers import over_map
from tsfmicro.models.retention import AxialRetention, ConvFeedForward, Retention, RetentionBlock
from tsfmicro.models.spatial import SelfAttention
from tsfmicro.models.temporal import RetentionStage


def lean(fused: FusedRecognizer) -> FusedRecognizer:
    """A copy that computes the same with fewer and cheaper operators; for export, not for training.

    Args:
        fused: in evaluation mode.
    """
    slim = copy.deepcopy(fused)
    for module in list(slim.network.modules()):
        if isinstance(module, RetentionStage):
            _lean_stage(module)
        elif isinstance(module, SelfAttention):
            _replace(slim.network, module, LeanSelfAttention(module))
    return slim.eval()


def _lean_stage(stage: RetentionStage) -> None:
    blocks = [block for block in stage.blocks if isinstance(block, RetentionBlock)]
    order = halves_order(blocks[0].retention.out.in_features, blocks[0].retention.heads)
    if isinstance(stage.geometry, Precomputed):
        stage.geometry = stage.geometry.formula
    for name, table in list(stage.geometry.named_buffers()):
        if name.endswith(("_cos", "_sin")):
            stage.geometry.register_buffer(name, table[:, order], persistent=False)
    stage.blocks = nn.ModuleList(LeanBlock(block, order) for block in blocks)


def _replace(root: nn.Module, old: nn.Module, new: nn.Module) -> None:
    name = next(name for name, module in root.named_modules() if module is old)
    parent, _, attribute = name.rpartition(".")
    setattr(root.get_submodule(parent), attribute, new)


def halves_order(width: int, heads: int) -> Tensor:
    """Channels of every head with the even ones first: (C,) indices.

    Queries and keys in the same order have the same scores as before.
    """
    of_head = torch.arange(width // heads)
    within = torch.cat([of_head[::2], of_head[1::2]])
    return (torch.arange(heads)[:, None] * (width // heads) + within).flatten()


def with_middle_tap(convolution: nn.Conv2d) -> nn.Conv2d:
    """A depthwise convolution that returns what the given one does plus its input."""
    added = copy.deepcopy(convolution)
    middle = convolution.kernel_size[0] // 2
    with torch.no_grad():
        added.weight[:, :, middle, middle] += 1.0
    return added


class Projections(nn.Module):
    """Queries, keys and values by a product each; those of queries and keys in the order of :func:`halves_order`."""

    def __init__(self, merged: nn.Linear, order: Tensor | None = None) -> None:
        super().__init__()
        weights, biases = (t.detach().chunk(3) for t in (merged.weight, merged.bias))
        orders = (order, order, None)
        self.query, self.key, self.value = (
            _linear(w if o is None else w[o], b if o is None else b[o])
            for w, b, o in zip(weights, biases, orders, strict=True)
        )


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = nn.Parameter(weight.contiguous()), nn.Parameter(bias.contiguous())
    return layer


class LeanRetention(nn.Module):
    """``Retention`` of either form."""

    def __init__(self, retention: Retention, order: Tensor) -> None:
        super().__init__()
        self.heads = retention.heads
        self.is_axial = isinstance(retention, AxialRetention)
        self.qkv = Projections(retention.qkv, order)
        self.local, self.out = retention.local, retention.out

    def forward(self, x: Tensor, context: StageContext) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        value = self.qkv.value(x)  # (B, H, W, C)
        scale = (x.shape[-1] // self.heads) ** -0.5
        scaled = RotaryPhases(*(table * scale for table in context.phases))
        query = _rotate_halves(self.qkv.query(x), scaled, self.heads)
        key = _rotate_halves(self.qkv.key(x), context.phases, self.heads)
        attend = _axial if self.is_axial else _full
        attended = attend(query, key, value, context.biases, self.heads)
        out: Tensor = self.out(attended + over_map(self.local, value))
        return out


def _rotate_halves(x: Tensor, phases: RotaryPhases, heads: int) -> Tensor:
    """(B, H, W, C) with the channels of a pair half a head apart -> (B, H, W, C)."""
    height, width, channels = phases.cos.shape
    halves = x.reshape(-1, height, width, heads, 2, channels // heads // 2)
    partner = cat([halves[..., 1:, :], halves[..., :1, :]], dim=-2).reshape(-1, height, width, channels)
    return x * phases.cos + partner * phases.sin


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """(B, N, L, d) three times, the queries scaled -> (B, N, L, d)."""
    return (query @ key.transpose(2, 3) + bias).softmax(dim=-1) @ value


def _axial(query: Tensor, key: Tensor, value: Tensor, biases: tuple[Tensor, ...], heads: int) -> Tensor:
    """Along rows, then columns: (B, H, W, C) three times -> (B, H, W, C). Rows or columns join the batch."""
    _, height, width, channels = query.shape
    along_width, along_height = biases
    query, key, value = (t.reshape(-1, height, width, heads, channels // heads) for t in (query, key, value))
    # (B, H, W, N, d) -> (B, H, N, W, d) -> (B*H, N, W, d)
    q, k, v = (t.permute(0, 1, 3, 2, 4).reshape(-1, heads, width, channels // heads) for t in (query, key, value))
    value = _attend(q, k, v, along_width).reshape(-1, height, heads, width, channels // heads)  # (B, H, N, W, d)
    # (B, H, W, N, d) -> (B, W, N, H, d) -> (B*W, N, H, d); the values come as (B, H, N, W, d)
    turned = (query.permute(0, 2, 3, 1, 4), key.permute(0, 2, 3, 1, 4), value.permute(0, 3, 2, 1, 4))
    q, k, v = (t.reshape(-1, heads, height, channels // heads) for t in turned)
    out = _attend(q, k, v, along_height).reshape(-1, width, heads, height, channels // heads)  # (B, W, N, H, d)
    return out.permute(0, 3, 1, 2, 4).reshape(-1, height, width, channels)  # (B, H, W, N, d) -> (B, H, W, C)


def _full(query: Tensor, key: Tensor, value: Tensor, biases: tuple[Tensor, ...], heads: int) -> Tensor:
    """Between all tokens: (B, H, W, C) three times -> (B, H, W, C)."""
    _, height, width, channels = query.shape
    query, key, value = (_by_head(t, height * width, heads, channels) for t in (query, key, value))
    attended = _attend(query, key, value, biases[0])  # (B, N, H*W, d)
    return attended.transpose(1, 2).reshape(-1, height, width, channels)


def _by_head(tokens: Tensor, length: int, heads: int, channels: int) -> Tensor:
    """(B, ..., C), L tokens -> (B, N, L, d)."""
    return tokens.reshape(-1, length, heads, channels // heads).transpose(1, 2)


class LeanFeedForward(nn.Module):
    """``ConvFeedForward``."""

    def __init__(self, ffn: ConvFeedForward) -> None:
        super().__init__()
        self.widen, self.activation, self.narrow = ffn.widen, ffn.activation, ffn.narrow
        self.local = with_middle_tap(ffn.local)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        out: Tensor = self.narrow(over_map(self.local, self.activation(self.widen(x))))
        return out


class LeanBlock(nn.Module):
    """``RetentionBlock``."""

    def __init__(self, block: RetentionBlock, order: Tensor) -> None:
        super().__init__()
        self.position = with_middle_tap(block.position)
        self.retention_norm, self.ffn_norm = block.retention_norm, block.ffn_norm
        self.retention = LeanRetention(block.retention, order)
        self.ffn = LeanFeedForward(block.ffn)

    def forward(self, x: Tensor, context: StageContext) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        x = over_map(self.position, x)
        x = x + self.retention(self.retention_norm(x), context)
        x = x + self.ffn(self.ffn_norm(x))
        return x


class LeanSelfAttention(nn.Module):
    """``SelfAttention``."""

    def __init__(self, attention: SelfAttention) -> None:
        super().__init__()
        self.heads = attention.heads
        self.qkv, self.out = Projections(attention.qkv), attention.out

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        _, length, channels = x.shape
        projected = (self.qkv.query(x), self.qkv.key(x), self.qkv.value(x))
        query, key, value = (_by_head(t, length, self.heads, channels) for t in projected)
        scores = query @ key.transpose(2, 3) * (channels // self.heads) ** -0.5
        out: Tensor = self.out((scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(-1, length, channels))
        return out
