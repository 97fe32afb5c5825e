"""FDP as one module: a window of crops in, calibrated probabilities and the dynamic image out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tsfmicro.models.config import INPUT_PX
from tsfmicro.models.fdp.config import WINDOW_PX, LossWeights
from tsfmicro.models.fdp.loss import joint_loss
from tsfmicro.models.fdp.network import FDP
from tsfmicro.models.fused import require_normalisation
from tsfmicro.models.interface import Recognizer
from tsfmicro.models.spatial import resize_matrix

LUMA = (0.299, 0.587, 0.114)
"""Red, green and blue in a grey level (ITU-R BT.601), as grey pictures are made of colour ones elsewhere."""


class FusedWindow(Recognizer):
    """Normalisation, grey, 224 to 64 px, network, temperature and softmax.

    Takes the crops that TSFmicro takes, so both recognisers share one preprocessing. Its buffers are constants and not
    part of any state dict.
    """

    network: FDP
    grey: Tensor
    resize: Tensor

    def __init__(
        self,
        network: FDP,
        mean: Sequence[float],
        std: Sequence[float],
        temperature: float = 1.0,
        weights: LossWeights | None = None,
    ) -> None:
        """Wrap a network without copying it.

        Args:
            network: in whatever mode the caller left it.
            mean: per RGB channel, of crops divided by 255.
            std: likewise.
            temperature: logits are divided by it; 1 leaves them as they are.
            weights: of the joint loss; the defaults where None. No part in inference.

        Raises:
            ContractError: on a mean or std that is not three numbers, a std or temperature that is not positive.
        """
        super().__init__()
        require_normalisation(mean, std, temperature)
        self.network = network
        self.temperature = float(temperature)
        self.weights = weights or LossWeights()
        luma, means, stds = (torch.tensor(values, dtype=torch.float64) for values in (LUMA, mean, std))
        self.shift = float((luma * means / stds).sum())
        self.register_buffer("grey", (luma / (255.0 * stds)).float()[:, None], persistent=False)  # (3, 1)
        self.register_buffer("resize", resize_matrix(INPUT_PX, WINDOW_PX).float(), persistent=False)  # (64, 224)

    def prepare(self, frames: Tensor) -> Tensor:
        """Crops to network input: (B, T, 224, 224, 3) RGB, 0 to 255 -> (B, T, 64, 64) normalised grey."""
        # Cast before anything else: engines accept uint8 only as the input of a cast.
        grey = (frames.to(self.grey.dtype) @ self.grey).squeeze(-1)  # (B, T, 224, 224)
        # (64, 224) x (B, T, 224, 224) x (224, 64): the side is cut first where rows lie one behind the other.
        return self.resize @ (grey @ self.resize.T) - self.shift

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Recognise a batch of windows.

        Args:
            frames: (B, T, 224, 224, 3) uint8 RGB, T as the network is configured.

        Returns:
            Probabilities and logits, both (B, classes) float32, the logits already divided by the temperature; and
            the dynamic image, (B, 64, 64) float32 in 0..1, of a network that draws it.
        """
        output = self.network(self.prepare(frames))
        logits = output.logits.float() / self.temperature
        answers = (logits.softmax(dim=-1), logits)
        return answers if output.dynamic_image is None else (*answers, output.dynamic_image.float())

    def logits(self, crops: Tensor) -> Tensor:
        """See ``Recognizer.logits``; the frames of the window are the views."""
        logits: Tensor = self.network(self.prepare(crops)).logits
        return logits

    def loss(self, crops: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Recognizer.loss``: the joint loss."""
        windows = self.prepare(crops)
        output = self.network(windows)
        return joint_loss(output, windows, truth, self.weights), output.logits
