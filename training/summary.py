"""The members of the model family and what they cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import torch
from rich.table import Table
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tsfmicro.models.card import AnyConfig
from tsfmicro.models.config import INPUT_PX, ModelConfig
from tsfmicro.models.fdp.config import WINDOW_PX, FdpConfig
from tsfmicro.models.recogniser import build_any, recogniser
from tsfmicro.preprocess import IMAGENET_MEAN, IMAGENET_STD
from tsfmicro.training.published import Figures, PaperRow, paper_row


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One row of ``tsf-train models``."""

    model: str
    size: str
    fusion: str
    classes: int
    parameters: int
    gmacs: float
    """Multiply-adds of one pair (of one window, for FDP) in convolutions and matrix products, 10^9."""
    paper: PaperRow | None = None
    """What the paper reports for it, which is not measured here."""
    latency_ms: float | None = None
    """One pair through the fused recogniser in torch, float32, on the CPU; None where not measured."""
    processor_ms: float | None = None
    """Processor time of that; less than ``latency_ms`` where other work shares the machine."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without what is not known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def summarise(config: AnyConfig) -> ModelSummary:
    """Count without computing: neither weights nor activations take memory."""
    with torch.device("meta"):
        network = build_any(config).eval()
        pair = torch.empty(1, 3, INPUT_PX, INPUT_PX)
        window = torch.empty(1, config.frames, WINDOW_PX, WINDOW_PX) if isinstance(config, FdpConfig) else None
    # The fused attention kernel of the CPU is unknown to the counter; the plain one is matrix products.
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(*((pair, pair) if window is None else (window,)))
    return ModelSummary(
        model=config.model,
        size=config.size,
        fusion=config.fusion,
        classes=config.classes,
        parameters=sum(p.numel() for p in network.parameters()),
        gmacs=round(counter.get_total_flops() / 2e9, 3),
        paper=paper_row(config) if isinstance(config, ModelConfig) else None,
    )


def time_family(configs: Sequence[AnyConfig], rounds: int) -> list[ModelSummary]:
    """The same of several networks, and the median time of one pair in each, on the CPU threads torch has now.

    The networks take turns, so that a busy moment of the machine does not fall on one of them alone.
    """
    networks = [recogniser(build_any(config), IMAGENET_MEAN, IMAGENET_STD).eval() for config in configs]
    inputs = [_random_crops(config) for config in configs]
    times: list[list[tuple[float, float]]] = [[] for _ in networks]
    with torch.inference_mode():
        for number in range(rounds + 1):
            for fused, crops, own in zip(networks, inputs, times, strict=True):
                wall_s, cpu_s = time.perf_counter(), time.process_time()
                fused(*crops)
                if number > 0:  # the first sets up
                    own.append((time.perf_counter() - wall_s, time.process_time() - cpu_s))
    return [
        replace(
            summarise(config),
            latency_ms=round(1e3 * median(wall_s for wall_s, _ in own), 1),
            processor_ms=round(1e3 * median(cpu_s for _, cpu_s in own), 1),
        )
        for config, own in zip(configs, times, strict=True)
    ]


def _random_crops(config: AnyConfig) -> tuple[Tensor, ...]:
    """What the fused recogniser takes for one event: onset and apex, or one window."""
    frames = config.frames if isinstance(config, FdpConfig) else 2
    window = torch.randint(0, 256, (1, frames, INPUT_PX, INPUT_PX, 3), dtype=torch.uint8)
    return (window,) if isinstance(config, FdpConfig) else (window[:, 0], window[:, 1])


def model_table(rows: list[ModelSummary]) -> Table:
    """For a terminal."""
    heads = ("model", "size", "fusion", "classes", "parameters", "GMACs", "ms")
    table = Table(
        *heads,
        "paper: CASME II, 5 classes",
        "paper: SAMM, 5 classes",
        caption=(
            "The last two columns are what the paper prints (accuracy / UF1, %): nothing of this project was measured "
            "there, and its epochs were chosen on the test subjects."
        ),
    )
    for row in rows:
        paper = ("", "") if row.paper is None else (_pair(row.paper.casme2_5c), _pair(row.paper.samm_5c))
        latency = "" if row.latency_ms is None else f"{row.latency_ms:.1f}"
        table.add_row(
            row.model, row.size, row.fusion, str(row.classes), f"{row.parameters:,}", f"{row.gmacs:.3f}", latency,
            *paper,
        )  # fmt: skip
    return table


def _pair(figures: Figures) -> str:
    return " / ".join("–" if figure is None else f"{figure:.2f}" for figure in figures)
