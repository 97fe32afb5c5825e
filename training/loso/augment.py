"""The documented augmentations, on the device, the same for all views of a clip so that no motion is invented."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tsfmicro.training.loso.spec import AugmentSpec


def augmented(crops: Tensor, spec: AugmentSpec, generator: torch.Generator, mean: Sequence[float]) -> Tensor:
    """Flip, rotate and shift the views of each clip as one picture of many channels, in one resampling.

    Args:
        crops: (B, V, S, S, 3) uint8: onset and apex, or the frames of a window.
        spec: how much.
        generator: on the CPU, so that a seed means the same on every device.
        mean: RGB, 0 to 1, of the normalisation. What comes in from outside of a picture has this colour, and so is 0
            once normalised, as released.

    Returns:
        (B, V, S, S, 3) float32, 0 to 255.
    """
    batch, views, side, _, _ = crops.shape
    draws = torch.rand(batch, 4, generator=generator).to(crops.device)
    flip = torch.where(draws[:, 0] < spec.flip, -1.0, 1.0)
    angle = (2 * draws[:, 1] - 1) * math.radians(spec.rotation_deg)
    # Whole pixels, as a random crop shifts; affine coordinates run from -1 to 1.
    shift = torch.round((2 * draws[:, 2:] - 1) * spec.shift * side) * (2 / side)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    rows = torch.stack([cosine * flip, -sine, shift[:, 0], sine * flip, cosine, shift[:, 1]], dim=1)
    outside = 255 * torch.tensor(mean, device=crops.device)  # (3,)
    pictures = (crops - outside).permute(0, 1, 4, 2, 3).reshape(batch, 3 * views, side, side)
    grid = nn.functional.affine_grid(rows.view(batch, 2, 3), [batch, 3 * views, side, side], align_corners=False)
    moved = nn.functional.grid_sample(pictures, grid, align_corners=False)
    return moved.view(batch, views, 3, side, side).permute(0, 1, 3, 4, 2) + outside
