"""The order of frames: scores that rise with time, and features pooled by rank.

Rank pooling: Fernando et al. (2015); its closed form and the smoothing: Bilen et al. (2016), section 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsfmicro.models.fdp.config import DYNAMIC_PX, FdpConfig, harmonic_coefficients

MARGIN = 1.0
"""By how much the score of a later frame should exceed that of an earlier one."""
_SCALE_EPS = 1e-4


def order_loss(scores: Tensor) -> Tensor:
    """Mean over all pairs i < j of max(0, 1 - (s_j - s_i)): 0 where every frame is a margin above every earlier one.

    Args:
        scores: (B, T).
    """
    frames = scores.shape[1]
    earlier, later = torch.triu_indices(frames, frames, offset=1, device=scores.device)
    return (MARGIN - (scores[:, later] - scores[:, earlier])).clamp(min=0.0).mean()


def dynamic_images(frames: Tensor) -> Tensor:
    """What the dynamic-image head shall draw: frames pooled by the harmonic coefficients, stretched to 0..1.

    A window in which nothing at all changes has no order to show, and gives 0 everywhere.

    Args:
        frames: (B, T, H, W) grey frames; scale and shift of the grey levels do not matter.

    Returns:
        (B, H, W).
    """
    weights = torch.tensor(harmonic_coefficients(frames.shape[1]), dtype=frames.dtype, device=frames.device)
    # Differences to the first frame, not the frames: where nothing moves the sum is 0 and not a rounding error.
    pooled = torch.einsum("t,bthw->bhw", weights, frames - frames[:, :1])
    low, high = pooled.amin(dim=(1, 2), keepdim=True), pooled.amax(dim=(1, 2), keepdim=True)
    return (pooled - low) / (high - low).clamp(min=torch.finfo(frames.dtype).tiny)


class RankScorer(nn.Module):
    """A score for each frame, from what the window looked like up to it.

    Reads V_t, the mean of the features of frames 1..t, less its mean over the window and divided by the window's own
    root mean square: how far a face moves must not decide whether its frames can be ordered.
    """

    running_mean: Tensor

    def __init__(self, config: FdpConfig) -> None:
        super().__init__()
        frames = config.frames
        counts = torch.arange(1, frames + 1, dtype=torch.float32)
        lower = torch.ones(frames, frames).tril() / counts[:, None]  # row t: 1/t for frames 1..t
        self.register_buffer("running_mean", lower, persistent=False)
        self.hidden = nn.Linear(config.dynamic_width * DYNAMIC_PX**2, config.head_width)
        self.activation = nn.ReLU()
        self.score = nn.Linear(config.head_width, 1, bias=False)  # only differences of scores are ever looked at

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, D, 16, 16) features of the frames -> (B, T) scores."""
        smoothed = self.running_mean @ features.flatten(2)  # (T, T) x (B, T, F) -> (B, T, F)
        centred = smoothed - smoothed.mean(dim=1, keepdim=True)
        scale = (centred.square().mean(dim=(1, 2), keepdim=True) + _SCALE_EPS**2).sqrt()
        scores: Tensor = self.score(self.activation(self.hidden(centred / scale)))  # (B, T, 1)
        return scores.squeeze(2)


class PlainPooling(nn.Module):
    """Features pooled over time by one learned weight a frame, which begins at the harmonic coefficient.

    d = norm(sum_t w_t (f_t - mean f)). The mean changes nothing while the weights sum to 0, as they do at first;
    afterwards it keeps the face as such out of what is called dynamic. Batch norm, because what is left of a
    micro-expression is small.
    """

    def __init__(self, config: FdpConfig) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(harmonic_coefficients(config.frames)))
        self.norm = nn.BatchNorm2d(config.dynamic_width)

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, D, 16, 16) -> (B, D, 16, 16)."""
        normed: Tensor = self.norm(self.pool(features, self.weights.expand(features.shape[0], -1)))
        return normed

    @staticmethod
    def pool(features: Tensor, weights: Tensor) -> Tensor:
        """sum_t w_t (f_t - mean f): (B, T, D, 16, 16) and (B, T) -> (B, D, 16, 16)."""
        centred = features - features.mean(dim=1, keepdim=True)
        pooled = weights[:, None] @ centred.flatten(2)  # (B, 1, T) x (B, T, F) -> (B, 1, F)
        return pooled.reshape(-1, *features.shape[2:])


class ScoredPooling(PlainPooling):
    """The same, each frame's features weighed by its score first: the rank features.

    r_t = (1 + a tanh(s_t - mean s)) f_t, with a learned and 0 at first: pooling begins as plain rank pooling.
    """

    def __init__(self, config: FdpConfig) -> None:
        super().__init__(config)
        self.influence = nn.Parameter(torch.zeros(()))

    def scored(self, features: Tensor, scores: Tensor) -> Tensor:
        """(B, T, D, 16, 16) and (B, T) -> (B, D, 16, 16)."""
        rank = 1.0 + self.influence * (scores - scores.mean(dim=1, keepdim=True)).tanh()  # (B, T)
        normed: Tensor = self.norm(self.pool(features, self.weights * rank))
        return normed
