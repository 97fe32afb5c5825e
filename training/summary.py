"""The members of the model family and what they cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tsfmicro.models.config import INPUT_PX, ModelConfig
from tsfmicro.models.network import build


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One row of ``tsf-train models``."""

    model: str
    size: str
    fusion: str
    classes: int
    parameters: int
    gmacs: float
    """Multiply-adds of one pair in convolutions and matrix products, 10^9."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def summarise(config: ModelConfig) -> ModelSummary:
    """Build the network and count."""
    network = build(config).eval()
    pair = torch.zeros(1, 3, INPUT_PX, INPUT_PX)
    # The fused attention kernel of the CPU is unknown to the counter; the plain one is matrix products.
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(pair, pair)
    return ModelSummary(
        model="tsfmicro",
        size=config.size,
        fusion=config.fusion,
        classes=config.classes,
        parameters=sum(p.numel() for p in network.parameters()),
        gmacs=round(counter.get_total_flops() / 2e9, 3),
    )
