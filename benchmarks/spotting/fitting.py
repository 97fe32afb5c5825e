"""Fitting the confidence of spotted movements: a regularised logistic regression, checked on people left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsfmicro.benchmarks.spotting.clips import Kind
from tsfmicro.benchmarks.spotting.movements import Movement, movements_in
from tsfmicro.benchmarks.spotting.recordings import Recording
from tsfmicro.benchmarks.spotting.takes import Take
from tsfmicro.errors import UsageError
from tsfmicro.motion import REGIONS
from tsfmicro.realtime.confidence import FEATURES, Scorer, features_of
from tsfmicro.realtime.spot import SpotSpec, same_movement
from tsfmicro.values import Float64Array

_RIDGE = 5.0
_STEPS = 30
_DECIMALS = 5


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far stated probabilities are from what came true, on people the model had not seen."""

    movements: int
    true: int
    log_loss: float
    expected_calibration_error: float
    """Mean distance of probability and share of true ones over ten bins, weighted by their size."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "movements": self.movements,
            "true": self.true,
            "log_loss": round(self.log_loss, 4),
            "expected_calibration_error": round(self.expected_calibration_error, 4),
        }


def fit_scorer(movements: Sequence[Movement], without: Set[str] = frozenset()) -> Scorer:
    """Fit patterns and weights on the movements that only the confidence could reject.

    Args:
        movements: with their labels.
        without: features that get no weight.

    Raises:
        UsageError: if there are no true or no false ones.
    """
    patterns = expression_patterns(movements)
    admitted = [m for m in movements if m.admitted]
    labels = labels_of(admitted)
    if not 0 < labels.sum() < len(labels):
        raise UsageError("there are no true and false movements to tell apart; use more clips")
    features = np.stack([features_of(m.finished, m.evidence, patterns) for m in admitted])
    shares = shares_of(admitted)
    mean = np.average(features, axis=0, weights=shares)
    scale = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=shares)) + 1e-6
    known = [name not in without for name in FEATURES]
    weights = logistic_weights((features - mean) / scale * known, labels, shares)
    return Scorer(patterns, mean, scale, weights[:-1], float(weights[-1]))


def expression_patterns(movements: Sequence[Movement]) -> Float64Array:
    """(P, R, 2) mean direction in which all regions move, one for each combination of action units, from the stills."""
    by_units: dict[tuple[int, ...], list[Float64Array]] = defaultdict(list)
    for movement in movements:
        shape = movement.finished.shape
        if movement.event is None or movement.take.clip.kind is not Kind.STILL or shape is None:
            continue
        by_units[movement.units].append(shape.moves / np.linalg.norm(shape.moves))
    means = [np.mean(by_units[units], axis=0) for units in sorted(by_units)]
    return np.array([mean / np.linalg.norm(mean) for mean in means]).reshape(-1, len(REGIONS), 2)


def patterns_without(recordings: Iterable[Recording], spot: SpotSpec) -> dict[str, Float64Array]:
    """For every person, the patterns of the others' stills: what that person's movements may be spotted by.

    Movements of stills are told without patterns: there, parts of the face do.
    """
    people: set[str] = set()
    stills: list[Movement] = []
    for recording in recordings:
        people.add(recording.take.clip.person)
        if recording.take.clip.kind is Kind.STILL:
            stills += movements_in(recording, spot)
    return {p: expression_patterns([m for m in stills if m.take.clip.person != p]) for p in people}


def shares_of(movements: Sequence[Movement]) -> Float64Array:
    """(N,) by how much each counts: several patterns tell of one movement, which counts once."""
    by_face: dict[tuple[Take, int], list[int]] = defaultdict(list)
    for i, movement in enumerate(movements):
        by_face[movement.take, movement.face].append(i)
    true = labels_of(movements)
    shares = np.ones(len(movements))
    for here in by_face.values():
        for i in here:
            one = movements[i].finished
            shares[i] /= sum(j == i or (true[j] == true[i] and same_movement(one, movements[j].finished)) for j in here)
    return shares


def logistic_weights(
    features: Float64Array, labels: Float64Array, shares: Float64Array, ridge: float = _RIDGE
) -> Float64Array:
    """(F + 1,) weights and bias of the ridge-penalised maximum likelihood, by Newton's method; the bias is free.

    Args:
        features: (N, F).
        labels: (N,) of 0 and 1.
        shares: (N,) by how much each row counts.
        ridge: penalty on the squared weights.
    """
    design = np.column_stack([features, np.ones(len(features))])
    penalty = np.diag([ridge] * features.shape[1] + [0.0])
    weights = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        likely = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (shares * (likely - labels)) + penalty @ weights
        curvature = (design * (shares * likely * (1 - likely))[:, None]).T @ design + penalty
        weights = weights - np.linalg.solve(curvature, slope)
    result: Float64Array = weights
    return result


def left_out(
    movements: Sequence[Movement],
    fitted_on: Callable[[Sequence[Movement]], list[Movement]] = list,
    without: Set[str] = frozenset(),
) -> tuple[list[Movement], Float64Array]:
    """Admitted movements, and the confidence each gets from a model fitted without its person.

    Args:
        movements: of several people.
        fitted_on: chooses among the other people's.
        without: features that get no weight.
    """
    admitted = [m for m in movements if m.admitted]
    confidences = np.zeros(len(admitted))
    for person in sorted({m.take.clip.person for m in movements}):
        scorer = fit_scorer(fitted_on([m for m in movements if m.take.clip.person != person]), without)
        for i, movement in enumerate(admitted):
            if movement.take.clip.person == person:
                features = features_of(movement.finished, movement.evidence, scorer.patterns)
                confidences[i] = scorer.confidence(features)
    return admitted, confidences


def merits_of(movements: Sequence[Movement], confidences: Float64Array, least: float) -> Float64Array:
    """(N,) as :func:`tsfmicro.realtime.gates.merit_of`, of admitted movements."""
    clear = [0.0 if (s := m.finished.shape) is None else 1.0 + m.finished.score * s.balance for m in movements]
    return np.where(confidences >= least, clear, confidences)


def told(movements: Sequence[Movement], merits: Float64Array, least: float) -> list[Movement]:
    """Movements of at least so much merit, each told once: of those that overlap in one take, the one of most merit."""
    by_face: dict[tuple[Take, int], list[int]] = defaultdict(list)
    for i, movement in enumerate(movements):
        by_face[movement.take, movement.face].append(i)
    ranks = [(merit, -m.finished.candidate) for m, merit in zip(movements, merits, strict=True)]
    return [
        movement
        for i, movement in enumerate(movements)
        if merits[i] >= least
        and not any(
            ranks[j] > ranks[i] and same_movement(movement.finished, movements[j].finished)
            for j in by_face[movement.take, movement.face]
        )
    ]


def labels_of(movements: Sequence[Movement]) -> Float64Array:
    """(N,) 1 for what was put there, 0 for the face's own movements."""
    return np.array([float(movement.event is not None) for movement in movements])


def calibration_of(labels: Float64Array, confidences: Float64Array) -> Calibration:
    """Compare stated probabilities with (N,) outcomes of 0 and 1."""
    bins = np.minimum((confidences * 10).astype(int), 9)
    gaps = [abs(confidences[bins == b].mean() - labels[bins == b].mean()) * (bins == b).sum() for b in np.unique(bins)]
    likely = np.clip(np.where(labels > 0.5, confidences, 1 - confidences), 1e-6, 1)
    return Calibration(len(labels), int(labels.sum()), float(-np.log(likely).mean()), float(sum(gaps)) / len(labels))


def record_of(scorer: Scorer, about: dict[str, Any]) -> dict[str, Any]:
    """The content of ``confidence.json``."""
    return {
        "about": about,
        "features": list(FEATURES),
        "mean": _rounded(scorer.mean),
        "scale": _rounded(scorer.scale),
        "weights": _rounded(scorer.weights),
        "bias": round(scorer.bias, _DECIMALS),
        "patterns": _rounded(scorer.patterns),
    }


def _rounded(values: Float64Array) -> Any:
    return np.round(values, _DECIMALS).tolist()
