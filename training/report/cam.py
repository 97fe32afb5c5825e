"""Grad-CAM (Selvaraju et al., 2017) on the map where the two branches meet."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.training.loso.samples import Samples
from tsfmicro.values import Float32Array


def grad_cam(fused: FusedRecognizer, onset: Tensor, apex: Tensor, label: int) -> Float32Array:
    """Where the evidence for a class lies.

    Channels of the fused map are weighted by the mean gradient of the class's logit; negative sums are cut off.

    Args:
        fused: in evaluation mode.
        onset, apex: (S, S, 3) uint8 crops.
        label: index of the class.

    Returns:
        (S, S) float32, 0 to 1; all 0 where nothing speaks for the class.
    """
    kept: list[Tensor] = []

    def remember(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        fused_map = inputs[0].detach().requires_grad_()  # (1, H, W, C)
        kept.append(fused_map)
        return (fused_map,)

    hook = fused.network.head.register_forward_pre_hook(remember)
    try:
        with torch.enable_grad():
            logits = fused.network(*fused.prepare(onset[None], apex[None]))
            (gradient,) = torch.autograd.grad(logits[0, label], kept[0])
    finally:
        hook.remove()
    weights = gradient.mean(dim=(1, 2), keepdim=True)
    heat = (weights * kept[0]).sum(dim=3)[0].clamp(min=0).detach().numpy()
    if heat.max() > 0:
        heat = heat / heat.max()
    side = onset.shape[0]
    return np.asarray(cv2.resize(heat.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR))


def one_of_each(samples: Samples) -> list[int]:
    """Place of the first clip of every class."""
    labels = samples.labels.tolist()
    return [labels.index(index) for index in range(len(samples.classes)) if index in labels]
