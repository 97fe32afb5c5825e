"""What a recogniser looks at, and how it arranges what it has seen (TSFmicro paper, section 4.5, figures 6 and 7)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from tsfmicro.errors import ContractError
from tsfmicro.models.fdp.fused import FusedWindow
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.values import AnyArray, Float32Array, UInt8Array

MIN_SAMPLES = 5
"""Fewer points have no neighbourhoods to keep."""
_BATCH = 16


def grad_cam(
    fused: FusedRecognizer, onset: UInt8Array, apex: UInt8Array, classes: AnyArray | None = None
) -> Float32Array:
    """Where on the face the evidence for a class lies (Grad-CAM, Selvaraju et al., 2017, eq. 1-2).

    Taken at the 14x14 map that the head reads, where the branches have met: each channel weighs as much as the class's
    logit rises with its mean, and what speaks against the class is cut off.

    Args:
        fused: in evaluation mode.
        onset: (B, 224, 224, 3) uint8 RGB.
        apex: likewise.
        classes: (B,) index of the class to explain; the one recognised where None.

    Returns:
        (B, 224, 224) in 0..1, the largest value of each picture 1; all 0 where nothing speaks for the class.
    """
    with torch.no_grad():
        difference, first = fused.prepare(torch.tensor(onset), torch.tensor(apex))
        fused_map = fused.network.fuse(difference, first)  # (B, 14, 14, C)
    return _heat(fused_map.movedim(3, 1), lambda x: fused.network.head(x.movedim(1, 3)), classes, onset.shape[1])


def window_grad_cam(fused: FusedWindow, windows: UInt8Array, classes: AnyArray | None = None) -> Float32Array:
    """The same of FDP, at the 16x16 dynamic representation that its heads read.

    Args:
        fused: in evaluation mode.
        windows: (B, T, 224, 224, 3) uint8 RGB.
        classes: see :func:`grad_cam`.

    Returns:
        (B, 224, 224), see :func:`grad_cam`.
    """
    with torch.no_grad():
        dynamic, _ = fused.network.represent(fused.prepare(torch.tensor(windows)))  # (B, D, 16, 16)
    return _heat(dynamic, fused.network.head, classes, windows.shape[2])


def _heat(read: Tensor, head: Callable[[Tensor], Tensor], classes: AnyArray | None, side_px: int) -> Float32Array:
    """Grad-CAM at a (B, C, H, W) map that the head reads, enlarged to (B, side_px, side_px)."""
    read = read.detach().requires_grad_()
    with torch.enable_grad():
        logits = head(read)
        chosen = logits.argmax(dim=1) if classes is None else torch.as_tensor(classes)
        evidence = logits.gather(1, chosen[:, None]).sum()
        (slope,) = torch.autograd.grad(evidence, read)  # (B, C, H, W)
    with torch.no_grad():
        weights = slope.mean(dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
        heat = (weights * read).sum(dim=1).relu()  # (B, H, W)
        large = interpolate(heat[:, None], size=(side_px, side_px), mode="bicubic")[:, 0].clamp(min=0.0)
        return (large / large.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(large.dtype).tiny)).numpy()


def pooled_features(fused: FusedRecognizer, onset: UInt8Array, apex: UInt8Array) -> Float32Array:
    """What the last layer tells classes apart by.

    Args:
        fused: in evaluation mode.
        onset: (N, 224, 224, 3) uint8 RGB.
        apex: likewise.

    Returns:
        (N, F), F = 1024 for ``base``, 256 for ``small``, the whole map for MMNet.
    """
    rows: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(onset), _BATCH):
            part = slice(start, start + _BATCH)
            pictures = fused.prepare(torch.tensor(onset[part]), torch.tensor(apex[part]))
            rows.append(fused.network.head.pool(fused.network.fuse(*pictures)).float())
    return torch.cat(rows).numpy()


def window_features(fused: FusedWindow, windows: UInt8Array) -> Float32Array:
    """The same of FDP.

    Args:
        fused: in evaluation mode.
        windows: (N, T, 224, 224, 3) uint8 RGB.

    Returns:
        (N, F), F = 256 for ``base``, 64 for ``small``.
    """
    rows: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(windows), _BATCH):
            dynamic, _ = fused.network.represent(fused.prepare(torch.tensor(windows[start : start + _BATCH])))
            rows.append(fused.network.head.pool(dynamic).float())
    return torch.cat(rows).numpy()


def embed_tsne(features: Float32Array, seed: int = 0) -> Float32Array:
    """Points of a plane whose neighbourhoods resemble those of the features (t-SNE, van der Maaten and Hinton, 2008).

    Args:
        features: (N, F).
        seed: the same one gives the same picture.

    Returns:
        (N, 2).

    Raises:
        ContractError: with fewer than ``MIN_SAMPLES`` samples.
    """
    from sklearn.manifold import TSNE

    if features.ndim != 2 or len(features) < MIN_SAMPLES:
        raise ContractError(f"features are {features.shape}; expected (N, F) with N at least {MIN_SAMPLES}")
    perplexity = min(30.0, (len(features) - 1) / 3)
    spread = features - features.mean(axis=0)
    scaled = spread / max(float(np.abs(spread).max()), float(np.finfo(np.float32).tiny))
    points = TSNE(n_components=2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(scaled)
    return np.asarray(points, dtype=np.float32)
