"""Positions of one token grid: Manhattan decay and rotary phases (RMT, Fan et al., 2024).

A formula keeps only tables that grow with H or W, and builds the rest from them, since Manhattan distance is a sum. A
network computes it once for its resolution and keeps the result (:class:`Precomputed`); a graph that is exported holds
the formula, because there the masks would outweigh the weights of the small network. All of it stays in float32 when
the network computes in less, and is rounded once, where it meets the scores.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn


class RotaryPhases(NamedTuple):
    """Cosine and sine of every token's angle in every channel, each (H, W, N*d).

    The two channels of a pair share their angle; the sine of the first is negated, so that both are rotated alike:
    ``x * cos + partner * sin``.
    """

    cos: Tensor
    sin: Tensor


class StageContext(NamedTuple):
    """What all blocks of one stage share in one forward pass."""

    phases: RotaryPhases
    biases: tuple[Tensor, ...]
    """Added to attention scores: axial has (1, N, W, W) and (1, N, H, H), full has (1, N, H*W, H*W)."""


class _Float32Tables(nn.Module):
    """Buffers that follow the network to another device, but not to another precision."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        moved: Self = super()._apply(lambda table: table.to(fn(table).device), recurse)  # type: ignore[no-untyped-call]
        return moved


class StageGeometry(_Float32Tables, ABC):
    """The formula: distances, decay and rotary angles of an H x W grid seen by N heads of width d.

    Decay of head h: gamma = 1 - 2^-(first + span * h / N), fixed (RMT, section 3.2). Angle m of token n = i*W + j is
    n * 10000^(-m / (d/2 - 1)).
    """

    rows: Tensor
    columns: Tensor
    log_decay: Tensor
    row_cos: Tensor
    row_sin: Tensor
    column_cos: Tensor
    column_sin: Tensor

    def __init__(self, height: int, width: int, heads: int, head_width: int, first: float, span: float) -> None:
        super().__init__()
        exponents = [first + span * head / heads for head in range(heads)]
        log_decay = torch.tensor([math.log(1.0 - 2.0**-e) for e in exponents], dtype=torch.float64)
        of_pair = 10000.0 ** -torch.linspace(0.0, 1.0, head_width // 2, dtype=torch.float64)  # (d/2,)
        angles = of_pair.repeat_interleave(2).repeat(heads)  # (N*d,)
        signs = torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat(heads * head_width // 2)  # (N*d,)
        rows = torch.arange(height, dtype=torch.float64)
        columns = torch.arange(width, dtype=torch.float64)
        row_phase = rows[:, None] * width * angles  # (H, N*d)
        column_phase = columns[:, None] * angles  # (W, N*d)
        tables = {
            "rows": rows,
            "columns": columns,
            "log_decay": log_decay[:, None, None],  # (N, 1, 1)
            "row_cos": row_phase.cos(),
            "row_sin": signs * row_phase.sin(),
            "column_cos": column_phase.cos(),
            "column_sin": signs * column_phase.sin(),
        }
        for name, table in tables.items():
            self.register_buffer(name, table.float(), persistent=False)

    @abstractmethod
    def forward(self) -> StageContext:
        """What all blocks of the stage share."""

    def phases(self) -> RotaryPhases:
        """Angles of all tokens by the angle-sum formula, so that no angle is ever rounded to float32."""
        row_cos, row_sin = self.row_cos[:, None], self.row_sin[:, None]  # (H, 1, N*d)
        cos = row_cos * self.column_cos - row_sin * self.column_sin  # (H, W, N*d); the signs of two sines cancel
        sin = row_sin * self.column_cos + row_cos * self.column_sin
        return RotaryPhases(cos, sin)

    def decay_along(self, positions: Tensor) -> Tensor:
        """Log-decay between all positions of one axis: (L,) -> (N, L, L)."""
        return self.log_decay * (positions[:, None] - positions).abs()


class AxialGeometry(StageGeometry):
    """For retention along rows, then along columns (RMT, section 3.2, decomposed form)."""

    def forward(self) -> StageContext:
        """Phases, and one bias per axis: width first."""
        return StageContext(
            self.phases(),
            (self.decay_along(self.columns)[None], self.decay_along(self.rows)[None]),  # (1, N, W, W), (1, N, H, H)
        )


class FullGeometry(StageGeometry):
    """For retention between all tokens of the grid."""

    def forward(self) -> StageContext:
        """Phases, and the decay by Manhattan distance between all pairs of tokens."""
        between_rows = self.decay_along(self.rows)[:, :, None, :, None]  # (N, H, 1, H, 1)
        between_columns = self.decay_along(self.columns)[:, None, :, None, :]  # (N, 1, W, 1, W)
        bias = between_rows + between_columns  # (N, H, W, H, W)
        return StageContext(self.phases(), (bias.flatten(3, 4).flatten(1, 2)[None],))  # (1, N, H*W, H*W)


class Precomputed(_Float32Tables):
    """What a formula gives, computed once: buffers that are no part of a state dict."""

    phases_cos: Tensor
    phases_sin: Tensor

    def __init__(self, formula: StageGeometry) -> None:
        super().__init__()
        self.formula = formula
        context = formula()
        for name, table in (("phases_cos", context.phases.cos), ("phases_sin", context.phases.sin)):
            self.register_buffer(name, table, persistent=False)
        self._bias_names = tuple(f"bias_{number}" for number in range(len(context.biases)))
        for name, bias in zip(self._bias_names, context.biases, strict=True):
            self.register_buffer(name, bias, persistent=False)

    def forward(self) -> StageContext:
        """See ``StageGeometry.forward``."""
        biases = tuple(self.get_buffer(name) for name in self._bias_names)
        return StageContext(RotaryPhases(self.phases_cos, self.phases_sin), biases)
