"""FDP: frames to features, features to one dynamic representation, and from that both answers.

Names in a state dict are those of the attributes: ``frames.*``, ``order.scorer.*`` where there is one,
``order.pooling.*``, ``head.*``, ``image.*`` where there is one.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from tsfmicro.models.fdp.config import FdpConfig
from tsfmicro.models.fdp.frames import FrameTransformer
from tsfmicro.models.fdp.heads import DynamicImageHead, RecognitionHead
from tsfmicro.models.fdp.ranking import PlainPooling, RankScorer, ScoredPooling
from tsfmicro.models.layers import init_linear


class FdpOutput(NamedTuple):
    """What the network says about B windows."""

    logits: Tensor
    """(B, classes)."""
    scores: Tensor | None
    """(B, T), rising with time once trained; None without a rank scorer."""
    dynamic_image: Tensor | None
    """(B, 64, 64) in 0..1; None without that head."""


class OrderedPooling(nn.Module):
    """Scores first, then the pooling they take part in."""

    def __init__(self, config: FdpConfig) -> None:
        super().__init__()
        self.scorer = RankScorer(config)
        self.pooling = ScoredPooling(config)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, T, D, 16, 16) -> dynamic representation (B, D, 16, 16) and scores (B, T)."""
        scores: Tensor = self.scorer(features)
        return self.pooling.scored(features, scores), scores


class UnorderedPooling(nn.Module):
    """The ablation without a rank scorer."""

    def __init__(self, config: FdpConfig) -> None:
        super().__init__()
        self.pooling = PlainPooling(config)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, T, D, 16, 16) -> dynamic representation (B, D, 16, 16), and no scores."""
        return self.pooling(features), None


class FDP(nn.Module):
    """The whole network."""

    def __init__(self, config: FdpConfig) -> None:
        super().__init__()
        self.config = config
        self.frames = FrameTransformer(config)
        self.order = OrderedPooling(config) if config.rank_scorer == "pairwise" else UnorderedPooling(config)
        self.head = RecognitionHead(config)
        self.image = DynamicImageHead(config) if config.dynamic_image == "constructed" else None

    def draw_weights(self) -> None:
        """Truncated normal for every linear layer; all else as torch made it."""
        self.apply(init_linear)

    def represent(self, windows: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, T, 64, 64) normalised grey windows -> dynamic representation (B, D, 16, 16) and scores, if any."""
        features: Tensor = self.frames(windows.flatten(0, 1).unsqueeze(1))  # (B*T, 1, 64, 64) -> (B*T, D, 16, 16)
        pooled, scores = self.order(features.reshape(-1, self.config.frames, *features.shape[1:]))
        return pooled, scores

    def forward(self, windows: Tensor) -> FdpOutput:
        """(B, T, 64, 64) normalised grey windows, T as configured."""
        dynamic, scores = self.represent(windows)
        image = None if self.image is None else self.image(dynamic)
        return FdpOutput(self.head(dynamic), scores, image)


def build_fdp(config: FdpConfig) -> FDP:
    """A freshly initialised network, in training mode; seed torch first for a repeatable one."""
    network = FDP(config)
    network.draw_weights()
    return network
