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
from tsfmicro.realtime.linear import solve_positive
from tsfmicro.realtime.shape import Shape
from tsfmicro.realtime.spot import Finished
from tsfmicro.values import Float64Array

_FLOOR_PERCENT_IOD = 0.25
_NOISE_PERCENT_IOD = 0.4
"""Of every region in both directions, added to what is usual: a face that was still so far is not infinitely still."""
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
    "eyes_closing", "brow_while_eyes_close", "besides_pattern", "pattern_over_usual", "unusual_along_pattern",
    "unusual_pattern", "unusual_besides_pattern",
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
        shape.balance,
        min(shape.before, 2.0), min(shape.after, 2.0),
        rise_s, rise_s**2, fall_s, fall_s**2,
        float(np.log(shape.spread.mean() + 0.05)),
        match, match * brow, _twin_match(shape.moves, region),
        closing, closing * brow,
        _besides(shape.moves, patterns), _match_over_usual(shape, patterns), *_unusual(shape, patterns),
    ])  # fmt: skip


def _best_match(shape: Shape, patterns: Float64Array) -> float:
    """Largest cosine between the movement of all regions and a known pattern; 0 without patterns."""
    length = float(np.linalg.norm(shape.moves))
    return float(_along(shape.moves, patterns).max()) / length if len(patterns) and length > 1e-9 else 0.0


def _along(moves: Float64Array, patterns: Float64Array) -> Float64Array:
    """(P,) how far regions moved along each pattern."""
    result: Float64Array = patterns.reshape(len(patterns), -1) @ moves.ravel()
    return result


def _besides(moves: Float64Array, patterns: Float64Array) -> float:
    """Logarithm of what moved besides the best pattern, percent of the inter-ocular distance over all regions."""
    left = moves
    if len(patterns):
        along = _along(moves, patterns)
        left = moves - along.max() * patterns[along.argmax()]
    return math.log(float(np.linalg.norm(left)) + 0.2)


def _match_over_usual(shape: Shape, patterns: Float64Array) -> float:
    """The best cosine with every region in units of its own usual unrest: a mouth that talks says little."""
    weights = (1.0 / (shape.spread + _FLOOR_PERCENT_IOD))[:, None]
    moves = shape.moves * weights
    known = patterns * weights
    length = float(np.linalg.norm(moves))
    if not len(patterns) or length < 1e-9:
        return 0.0
    return float((_along(moves, known) / np.linalg.norm(known.reshape(len(known), -1), axis=1)).max()) / length


def _unusual(shape: Shape, patterns: Float64Array) -> tuple[float, float, float]:
    """The adaptive matched filter: size along the best pattern, its cosine, and the rest, in what is usual together.

    Robey, Fuhrmann, Kelly, Nitzberg, "A CFAR adaptive matched filter detector" (1992); the cosine is the adaptive
    coherence estimator of Kraut, Scharf and McWhorter (2001). Speech moves lips, corners and chin together, every time
    alike: what it does not do stands out.
    """
    if not len(patterns):
        return 0.0, 0.0, 0.0
    usual = shape.together + _NOISE_PERCENT_IOD**2 * np.eye(len(shape.together))
    moves, known = shape.moves.ravel(), patterns.reshape(len(patterns), -1)
    weighed = solve_positive(usual, np.column_stack([moves, known.T]))
    length = float(moves @ weighed[:, 0])
    best = max(float((known @ weighed[:, 0] / np.sqrt((known * weighed[:, 1:].T).sum(axis=1))).max()), 0.0)
    return (
        math.log(max(best, 0.1)),
        best / math.sqrt(max(length, 1e-9)),
        0.5 * math.log(max(length - best**2, 0.05)),
    )


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
