"""Which network some weights belong to, as a bundle's manifest says it. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tsfmicro.errors import ContractError
from tsfmicro.models.config import MODELS, OPTIONS, ModelConfig


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Which network the weights belong to."""

    name: str
    """``tsfmicro`` or another recogniser of ``tsfmicro.models``."""
    size: str
    fusion: str
    classes: int
    """Number of logits."""
    options: Mapping[str, str | int] = field(default_factory=dict)
    """Judgement calls of ``ModelConfig`` that differ from its defaults. Written only where there are any."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", dict(self.options))

    @classmethod
    def of(cls, config: ModelConfig) -> ModelCard:
        """The card of a network."""
        return cls(config.model, config.size, config.fusion, config.classes, config.options)

    def config(self) -> ModelConfig:
        """What to build to load the weights.

        Raises:
            ContractError: if this version has no such network.
        """
        if self.name not in MODELS:
            raise ContractError(f"the bundle holds {self.name!r}; this version has {', '.join(MODELS)}")
        unknown = sorted(set(self.options) - set(OPTIONS))
        if unknown:
            raise ContractError(f"model.options has {unknown}; this version knows {', '.join(OPTIONS)}")
        options: Any = self.options
        return ModelConfig(model=self.name, size=self.size, fusion=self.fusion, classes=self.classes, **options)
