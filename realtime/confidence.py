"""How likely a movement is a micro-expression: a small logistic model on what it looked like.

Fitted on the train side of the spotting benchmark by ``tsf-bench confidence``; ``confidence.json`` holds what it
learned.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from tsfmicro.errors import ContractError
from tsfmicro.motion import REGIONS
from tsfmicro.realtime.spot import Finished, Shape
from tsfmicro.values import Float64Array

_FLOOR_PERCENT_IOD = 0.25
_TWIN = tuple(
    REGIONS.index(twin) if (twin := _name) in REGIONS else i
    for i, _name in enumerate(
        name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right") for name in REGIONS
    )
)
"""The region on the other side of the face; its own for those in the middle."""
FEATURES: tuple[str, ...] = (
    "size", "size_squared", "size_over_usual", "second_over_usual", "balance", "unrest_before", "unrest_after",
    "rise_s", "rise_s_squared", "fall_s", "fall_s_squared", "restlessness", "pattern", "pattern_of_brows", "twin",
    "eyes_closing", "brow_while_eyes_close", "mouth_opening", "rigid_error", "head_shift", "head_roll", "head_zoom",
)  # fmt: skip
"""What the model looks at, in its order."""


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """The fitted model."""

    patterns: Float64Array
    """(P, R, 2) how regions move together in expressions, each of length 1."""
    mean: Float64Array
    """(F,) of the features."""
    scale: Float64Array
    """(F,) likewise."""
    weights: Float64Array
    """(F,) on the standardised features."""
    bias: float

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.scale) == len(self.weights) == len(FEATURES):
            raise ContractError(f"a scorer has {len(self.weights)} weights; expected {len(FEATURES)}")

    def confidence(self, features: Float64Array) -> float:
        """Probability by the logistic model, from (F,) features."""
        logit = float(self.weights @ ((features - self.mean) / self.scale)) + self.bias
        return 1.0 / (1.0 + math.exp(-min(max(logit, -30.0), 30.0)))


def features_of(finished: Finished, evidence: Mapping[str, float], patterns: Float64Array) -> Float64Array:
    """(F,) features of a movement.

    Args:
        finished: with its shape.
        evidence: what the gates measured.
        patterns: (P, R, 2) of unit length.

    Raises:
        ContractError: if the movement has no shape.
    """
    shape = finished.shape
    if shape is None:
        raise ContractError("a movement without a shape cannot be scored")
    region = REGIONS.index(finished.region)
    size = np.hypot(shape.moves[:, 0], shape.moves[:, 1])
    over = np.log(np.maximum(size, 0.05) / (shape.spread + _FLOOR_PERCENT_IOD))
    brow = "brow" in finished.region
    others = np.delete(over, region)
    rise_s, fall_s = evidence["onset_phase_s"], evidence["duration_s"] - evidence["onset_phase_s"]
    log_size = math.log(max(float(size[region]), 0.05))
    closing = min(max(1 - evidence["eye_opening_ratio"], 0.0), 0.7)
    match = _best_match(shape, patterns)
    return np.array([
        log_size, log_size**2, float(over[region]), float(others.max()),
        min(shape.rise, shape.fall) / max(shape.rise, shape.fall, 1e-9),
        min(shape.before, 2.0), min(shape.after, 2.0),
        rise_s, rise_s**2, fall_s, fall_s**2,
        float(np.log(shape.spread.mean() + 0.05)),
        match, match * brow, _twin_match(shape.moves, region),
        closing, closing * brow,
        math.log1p(evidence["mouth_range_percent_iod"]), math.log(evidence["rigid_error_percent_iod"] + 0.05),
        math.log1p(evidence["head_shift_percent_iod"]), math.log1p(evidence["head_roll_deg"]),
        math.log1p(evidence["head_zoom_percent"]),
    ])  # fmt: skip


def _best_match(shape: Shape, patterns: Float64Array) -> float:
    """Largest cosine between the movement of all regions and a known pattern; 0 without patterns."""
    length = float(np.linalg.norm(shape.moves))
    if not len(patterns) or length < 1e-9:
        return 0.0
    return float((patterns.reshape(len(patterns), -1) @ shape.moves.ravel()).max()) / length


def _twin_match(moves: Float64Array, region: int) -> float:
    """Cosine between a region's move and the mirrored one of its twin; of a region in the middle, with the vertical."""
    mirrored = moves[_TWIN[region]] * (-1.0, 1.0)
    lengths = float(np.hypot(*moves[region]) * np.hypot(*mirrored))
    return float(moves[region] @ mirrored) / lengths if lengths > 1e-9 else 0.0


@cache
def shipped_scorer() -> Scorer:
    """The model that comes with the package."""
    text = resources.files("tsfmicro.realtime").joinpath("confidence.json").read_text(encoding="utf-8")
    return scorer_of(json.loads(text))


def scorer_of(record: Mapping[str, object]) -> Scorer:
    """A model from its record.

    Raises:
        ContractError: if its features are not this version's.
    """
    if record["features"] != list(FEATURES):
        raise ContractError("the scorer was fitted on other features; type: tsf-bench confidence")
    mean, scale, weights = (np.array(record[name], dtype=np.float64) for name in ("mean", "scale", "weights"))
    patterns = np.array(record["patterns"], dtype=np.float64).reshape(-1, len(REGIONS), 2)
    return Scorer(patterns, mean, scale, weights, float(str(record["bias"])))
