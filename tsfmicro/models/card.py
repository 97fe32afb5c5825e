"""Which network some weights belong to, as a bundle's manifest says it. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tsfmicro.errors import ContractError
from tsfmicro.models.config import MODELS, OPTIONS, ModelConfig
from tsfmicro.models.fdp.config import OPTIONS as FDP_OPTIONS
from tsfmicro.models.fdp.config import FdpConfig

FDP_NAME = "fdp"
AnyConfig = ModelConfig | FdpConfig
"""What some network is built from: one that looks at pairs, or FDP, which looks at windows."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Which network the weights belong to."""

    name: str
    """``tsfmicro`` or another recogniser of ``tsfmicro.models``."""
    size: str
    fusion: str
    """``window`` for FDP, which has nothing to fuse."""
    classes: int
    """Number of logits."""
    options: Mapping[str, str | int] = field(default_factory=dict)
    """Judgement calls that differ from the defaults of its configuration. Written only where there are any."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", dict(self.options))

    @classmethod
    def of(cls, config: AnyConfig) -> ModelCard:
        """The card of a network."""
        return cls(config.model, config.size, config.fusion, config.classes, config.options)

    @property
    def reads_windows(self) -> bool:
        """Whether the network takes the frames of a window instead of onset and apex."""
        return self.name == FDP_NAME

    def config(self) -> ModelConfig:
        """What to build to load the weights of a network that looks at pairs.

        Raises:
            ContractError: if this version has no such network, or it looks at windows.
        """
        if self.reads_windows:
            raise ContractError("the bundle holds 'fdp', which takes windows of frames and no key frames")
        if self.name not in MODELS:
            raise ContractError(f"the bundle holds {self.name!r}; this version has {', '.join((*MODELS, FDP_NAME))}")
        self._require_known(OPTIONS)
        options: Any = self.options
        return ModelConfig(model=self.name, size=self.size, fusion=self.fusion, classes=self.classes, **options)

    def window_config(self) -> FdpConfig:
        """What to build to load the weights of FDP.

        Raises:
            ContractError: if the bundle holds another network, or FDP as this version does not know it.
        """
        expected = (FDP_NAME, FdpConfig().fusion)
        if (self.name, self.fusion) != expected:
            raise ContractError(f"the bundle holds {self.name!r} with fusion {self.fusion!r}; expected {expected}")
        self._require_known(FDP_OPTIONS)
        options: Any = self.options
        return FdpConfig(size=self.size, classes=self.classes, **options)

    def any_config(self) -> AnyConfig:
        """What to build to load the weights, whatever the network looks at.

        Raises:
            ContractError: if this version has no such network.
        """
        return self.window_config() if self.reads_windows else self.config()

    def _require_known(self, known: tuple[str, ...]) -> None:
        unknown = sorted(set(self.options) - set(known))
        if unknown:
            raise ContractError(f"model.options has {unknown}; this version knows {', '.join(known)}")
