"""The whole recogniser as one module: two crops in, calibrated probabilities out.

This is what gets exported, and its :meth:`FusedRecognizer.prepare` is what training feeds the network with, so there
is one implementation of the normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tsfmicro.errors import ContractError
from tsfmicro.models.interface import Network, Recognizer


class FusedRecognizer(Recognizer):
    """Normalisation, network, temperature and softmax. Its buffers are constants and not part of any state dict."""

    network: Network
    scale: Tensor
    shift: Tensor

    def __init__(self, network: Network, mean: Sequence[float], std: Sequence[float], temperature: float = 1.0) -> None:
        """Wrap a network without copying it.

        Args:
            network: in whatever mode the caller left it.
            mean: per RGB channel, of crops divided by 255.
            std: likewise.
            temperature: logits are divided by it (Guo et al., 2017); 1 leaves them as they are.

        Raises:
            ContractError: on a mean or std that is not three numbers, a std or temperature that is not positive.
        """
        super().__init__()
        require_normalisation(mean, std, temperature)
        self.network = network
        self.temperature = float(temperature)
        means, stds = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)
        self.register_buffer("scale", (1.0 / (255.0 * stds)).float()[:, None, None], persistent=False)  # (3, 1, 1)
        self.register_buffer("shift", (-means / stds).float()[:, None, None], persistent=False)  # (3, 1, 1)

    def prepare(self, onset: Tensor, apex: Tensor) -> tuple[Tensor, Tensor]:
        """Crops to network input.

        The means cancel in the difference, so it is taken between whole pixel values, where it is exact.

        Args:
            onset: (B, 224, 224, 3) uint8 RGB.
            apex: likewise.

        Returns:
            Difference and normalised onset, both (B, 3, 224, 224) in the precision of this module.
        """
        # Cast before anything else: engines accept uint8 only as the input of a cast.
        first = onset.to(self.scale.dtype).permute(0, 3, 1, 2)  # (B, 224, 224, 3) -> (B, 3, 224, 224)
        second = apex.to(self.scale.dtype).permute(0, 3, 1, 2)
        return (second - first) * self.scale, first * self.scale + self.shift

    def forward(self, onset: Tensor, apex: Tensor) -> tuple[Tensor, Tensor]:
        """Recognise a batch of pairs.

        Args:
            onset: (B, 224, 224, 3) uint8 RGB.
            apex: likewise.

        Returns:
            Probabilities and logits, both (B, classes) float32. The logits are already divided by the temperature:
            their softmax is the probabilities.
        """
        difference, onset_normalised = self.prepare(onset, apex)
        logits = self.network(difference, onset_normalised).float() / self.temperature
        return logits.softmax(dim=-1), logits

    def logits(self, crops: Tensor) -> Tensor:
        """See ``Recognizer.logits``; onset and apex are the two views."""
        difference, onset = (
            picture.contiguous(memory_format=torch.channels_last) for picture in self.prepare(crops[:, 0], crops[:, 1])
        )
        logits: Tensor = self.network(difference, onset)
        return logits

    def loss(self, crops: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Recognizer.loss``: cross-entropy."""
        logits = self.logits(crops)
        return cross_entropy(logits.float(), truth), logits


def require_normalisation(mean: Sequence[float], std: Sequence[float], temperature: float) -> None:
    """Check what a fused module is built with.

    Raises:
        ContractError: on a mean or std that is not three numbers, a std or temperature that is not positive.
    """
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise ContractError(f"mean {mean} and std {std} need three values each, std above 0")
    if not (math.isfinite(temperature) and temperature > 0):
        raise ContractError(f"temperature is {temperature}; expected a finite number above 0")
