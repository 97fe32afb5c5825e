"""Names of precisions, shared by the exporter that makes graphs and engines and the runners that load them."""

from __future__ import annotations

import enum

FLOAT32_LAYERS = frozenset({"head.classify", "image.draw", "frames.project", "frames.detail"})
"""Matrix layers that stay float32 in a float16 graph: the classifier, as everything after it, and of FDP the last layer
of the dynamic image and the two that make a frame's features (see ``export.window_half``)."""
FLOAT32_PARTS = ("prepare.", "frames.stem.", "order.")
"""Beginnings of the names of further ones, all of FDP: the preparation of the crops, the stem, what ranks and pools."""


class Precision(enum.StrEnum):
    """What matrix layers compute in. Norms, softmax, the head and the temperature are always float32."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"

    @property
    def short(self) -> str:
        """As file names have it."""
        return {"float32": "fp32", "float16": "fp16"}[self.value]


def may_be_float32(layer: str) -> bool:
    """Whether a matrix layer of this name is float32 in what else is float16."""
    return layer in FLOAT32_LAYERS or layer.startswith(FLOAT32_PARTS)
