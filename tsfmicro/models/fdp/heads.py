"""The two heads that share the dynamic representation: which expression it is, and the dynamic image."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from tsfmicro.models.fdp.config import DYNAMIC_PX, FdpConfig
from tsfmicro.models.fdp.frames import conv_norm

_POOL = 2


class RecognitionHead(nn.Module):
    """2x2 maxima, one hidden layer, classes."""

    def __init__(self, config: FdpConfig) -> None:
        super().__init__()
        side = DYNAMIC_PX // _POOL
        self.reduce = nn.MaxPool2d(_POOL)
        self.hidden = nn.Linear(config.dynamic_width * side**2, config.head_width)
        self.activation = nn.ReLU()
        self.classify = nn.Linear(config.head_width, config.classes)

    def pool(self, x: Tensor) -> Tensor:
        """(B, D, 16, 16) -> (B, hidden) features."""
        features: Tensor = self.activation(self.hidden(self.reduce(x).flatten(1)))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, 16, 16) -> (B, classes) logits."""
        logits: Tensor = self.classify(self.pool(x))
        return logits


class DynamicImageHead(nn.Module):
    """Encoder-decoder: 16x16 down to 4x4, up again to 64x64; what the encoder saw at 8x8 and 16x16 is added back."""

    def __init__(self, config: FdpConfig) -> None:
        super().__init__()
        first, second, third = config.construction_widths
        widths = (config.dynamic_width, first, second, third)
        self.encoder = nn.ModuleList(
            nn.Sequential(*conv_norm(width, next_width, 3, stride=1 if index == 0 else 2), nn.ReLU())
            for index, (width, next_width) in enumerate(pairwise(widths))
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(width, next_width, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(next_width),
                nn.ReLU(),
            )
            for width, next_width in ((third, second), (second, first), (first, first // 2), (first // 2, first // 4))
        )
        self.draw = nn.Conv2d(first // 4, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, 16, 16) -> (B, 64, 64) in 0..1."""
        seen: list[Tensor] = []
        for encode in self.encoder:
            x = encode(x)  # 16x16, 8x8, 4x4
            seen.append(x)
        beside = [seen[1], seen[0], None, None]
        for decode, skip in zip(self.decoder, beside, strict=True):
            x = decode(x)  # 8x8, 16x16, 32x32, 64x64
            x = x if skip is None else x + skip
        image: Tensor = self.draw(x).sigmoid()
        return image.squeeze(1)
