"""Names of precisions, shared by the exporter that makes graphs and engines and the runners that load them."""

from __future__ import annotations

import enum

FLOAT32_LAYERS = frozenset({"head.classify"})
"""Matrix layers that stay float32 in a float16 graph: the classifier, as everything after it."""


class Precision(enum.StrEnum):
    """What matrix layers compute in. Norms, softmax, the head and the temperature are always float32."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"

    @property
    def short(self) -> str:
        """As file names have it."""
        return {"float32": "fp32", "float16": "fp16"}[self.value]
