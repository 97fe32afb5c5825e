"""The joint loss: recognition, order and construction, each with a weight of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from tsfmicro.errors import ContractError
from tsfmicro.models.fdp.network import FdpOutput
from tsfmicro.models.fdp.ranking import dynamic_images, order_loss


@dataclass(frozen=True, slots=True)
class LossWeights:
    """L = recognition * CE + order * L_order + dynamic_image * MSE. The parts a network lacks are left out."""

    recognition: float = 1.0
    """Of the cross-entropy, as released."""
    order: float = 0.1
    """Of the pairwise order loss, which the released program has not; chosen so that it starts below recognition."""
    dynamic_image: float = 100.0
    """Of the mean squared error of images in 0..1, as released."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not (math.isfinite(value) and value >= 0):
                raise ContractError(f"LossWeights.{entry.name} is {value}; expected a finite number, 0 or more")


def joint_loss(output: FdpOutput, windows: Tensor, truth: Tensor, weights: LossWeights) -> Tensor:
    """One number to minimise.

    Args:
        output: of the network.
        windows: (B, T, 64, 64), what it was given.
        truth: (B,) class indices.
        weights: of the three parts.
    """
    loss = weights.recognition * cross_entropy(output.logits.float(), truth)
    if output.scores is not None:
        loss = loss + weights.order * order_loss(output.scores.float())
    if output.dynamic_image is not None:
        wanted = dynamic_images(windows.float())
        loss = loss + weights.dynamic_image * mse_loss(output.dynamic_image.float(), wanted)
    return loss
