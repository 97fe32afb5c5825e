"""What every network of the family offers to training, export and runners."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from tsfmicro.models.config import ModelConfig


class Head(nn.Module, ABC):
    """From the 14x14 map to logits: pooled features, and one linear layer that tells classes apart by them."""

    classify: nn.Linear

    @abstractmethod
    def pool(self, x: Tensor) -> Tensor:
        """(B, 14, 14, C) -> (B, F) features."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, 14, 14, C) -> (B, classes) logits."""
        logits: Tensor = self.classify(self.pool(x))
        return logits


class Network(nn.Module, ABC):
    """Two pictures in, logits out: a 14x14 map made by :meth:`fuse`, and a head that reads it."""

    head: Head

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def fuse(self, difference: Tensor, onset: Tensor) -> Tensor:
        """(B, 3, 224, 224) twice, as in :meth:`forward` -> (B, 14, 14, C)."""

    @abstractmethod
    def draw_weights(self) -> None:
        """Set the weights that training starts from."""

    def forward(self, difference: Tensor, onset: Tensor) -> Tensor:
        """Logits of a batch of pairs.

        Args:
            difference: (B, 3, 224, 224) normalised apex minus normalised onset.
            onset: (B, 3, 224, 224) normalised onset.

        Returns:
            (B, classes) logits.
        """
        logits: Tensor = self.head(self.fuse(difference, onset))
        return logits


class Recognizer(nn.Module, ABC):
    """A network and everything around it, whatever it looks at: crops as they come, logits out.

    What training and evaluation need of any network, pairs and windows alike. ``crops`` are V views of each clip,
    (B, V, S, S, 3) RGB, 0 to 255: onset and apex, or the frames of a window.
    """

    network: Any
    """What is trained and kept: a module whose last layer is ``head.classify``."""

    @abstractmethod
    def logits(self, crops: Tensor) -> Tensor:
        """(B, classes), undivided by any temperature."""

    @abstractmethod
    def loss(self, crops: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """What training minimises, and the logits, of crops with the class indices ``truth`` (B,)."""
