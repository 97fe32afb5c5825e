"""The joint loss: recognition, order and construction, each with a weight of its own."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from tsfmicro.models.fdp.config import LossWeights
from tsfmicro.models.fdp.network import FdpOutput
from tsfmicro.models.fdp.ranking import dynamic_images, order_loss


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
