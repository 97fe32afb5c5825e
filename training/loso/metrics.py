"""Accuracy, UF1 and UAR as MEGC 2019 defines them, from counts pooled over all folds, and how sure they are.

See et al. (2019): with TP, FP and FN summed over every fold, F1 of a class is 2 TP / (2 TP + FP + FN), UF1 its mean
over classes, UAR the mean of TP / n. Never the mean of folds: a fold with one class has no macro F1, and a person with
one clip would weigh as much as one with thirty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsfmicro.errors import ContractError
from tsfmicro.values import AnyArray, Float64Array


@dataclass(frozen=True, slots=True)
class Scores:
    """One pooled result."""

    acc: float
    uf1: float
    uar: float

    def to_dict(self) -> dict[str, float]:
        """Plain JSON values, four digits."""
        return {"acc": round(self.acc, 4), "uf1": round(self.uf1, 4), "uar": round(self.uar, 4)}


def confusion(truth: Sequence[int] | AnyArray, predicted: Sequence[int] | AnyArray, classes: int) -> AnyArray:
    """(C, C) counts, truth by row and prediction by column.

    Raises:
        ContractError: if the two differ in length or an index is no class.
    """
    rows, columns = np.asarray(truth, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    if rows.shape != columns.shape:
        raise ContractError(f"{len(rows)} truths and {len(columns)} predictions; expected one for one")
    both = np.concatenate([rows, columns])
    if both.size and not (both.min() >= 0 and both.max() < classes):
        raise ContractError(f"class indices run from {both.min()} to {both.max()}; expected 0 to {classes - 1}")
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (rows, columns), 1)
    return counts


def scores(counts: AnyArray, names: Sequence[str] = ()) -> Scores:
    """Pooled scores of a (C, C) confusion matrix.

    Raises:
        ContractError: if a class has no sample; skipping it would change what the mean is over.
    """
    support = counts.sum(axis=1)
    if (support == 0).any():
        lacking = [names[i] if i < len(names) else str(i) for i in np.flatnonzero(support == 0)]
        raise ContractError(f"no sample of {', '.join(lacking)}, so UF1 and UAR are not defined")
    acc, uf1, uar = _pooled(counts[None].astype(np.float64))
    return Scores(float(acc[0]), float(uf1[0]), float(uar[0]))


def _pooled(counts: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
    """The three scores of each (N, C, C) matrix with every class supported."""
    hits = np.diagonal(counts, axis1=1, axis2=2)  # (N, C)
    support, answered = counts.sum(axis=2), counts.sum(axis=1)
    # 2 TP + FP + FN = predictions + support
    f1 = 2 * hits / (answered + support)
    return hits.sum(axis=1) / support.sum(axis=1), f1.mean(axis=1), (hits / support).mean(axis=1)


@dataclass(frozen=True, slots=True)
class Interval:
    """A percentile interval."""

    low: float
    high: float

    def to_list(self) -> list[float]:
        """Plain JSON values."""
        return [round(self.low, 4), round(self.high, 4)]


def bootstrap(
    per_subject: Mapping[str, Sequence[AnyArray]], *, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval] | None:
    """Subject-clustered percentile intervals of ``acc``, ``uf1`` and ``uar``.

    People, not clips, are drawn with replacement: clips of one person are not independent, and treating them so makes
    intervals too narrow. Draws that lack a class are drawn again; None where that is nearly all of them.

    Args:
        per_subject: (C, C) confusion matrices of each person, one a seed; a draw averages over the seeds.
        draws: number of resamples.
        level: share of them inside the interval.
        seed: of the resampling.
    """
    if not per_subject:
        raise ContractError("no subject to draw from")
    counts = np.stack([np.stack(list(matrices)) for matrices in per_subject.values()]).astype(
        np.float64
    )  # (P, S, C, C)
    people, seeds = counts.shape[:2]
    rng = np.random.default_rng(seed)
    kept: list[Float64Array] = []
    for _ in range(10):
        weights = rng.multinomial(people, np.full(people, 1 / people), size=draws).astype(np.float64)  # (D, P)
        drawn = np.tensordot(weights, counts, axes=(1, 0))  # (D, S, C, C)
        drawn = drawn[(drawn.sum(axis=3) > 0).all(axis=(1, 2))]
        if len(drawn):
            flat = drawn.reshape(-1, *drawn.shape[2:])
            values = np.stack(_pooled(flat), axis=1).reshape(len(drawn), seeds, 3)
            kept.append(values.mean(axis=1))
        if sum(map(len, kept)) >= draws:
            break
    if sum(map(len, kept)) < draws // 2:
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(kept)[:draws], [tail, 1 - tail], axis=0)
    return {name: Interval(float(low[i]), float(high[i])) for i, name in enumerate(("acc", "uf1", "uar"))}


def majority(truth: Sequence[int], subjects: Sequence[str]) -> list[int]:
    """For each sample the most frequent class among everybody else's: what a blind classifier would answer."""
    answers: dict[str, int] = {}
    people = np.asarray(subjects)
    labels = np.asarray(truth, dtype=np.int64)
    for person in dict.fromkeys(subjects):
        rest = labels[people != person]
        answers[person] = int(np.bincount(rest).argmax()) if rest.size else 0
    return [answers[person] for person in subjects]


def by_part(truth: Sequence[int], predicted: Sequence[int], parts: Sequence[str], classes: int) -> dict[str, Any]:
    """Scores of each part of a composite, from the same predictions; None for a part that lacks a class."""
    found: dict[str, Any] = {}
    for part in dict.fromkeys(parts):
        mine = [i for i, name in enumerate(parts) if name == part]
        counts = confusion([truth[i] for i in mine], [predicted[i] for i in mine], classes)
        found[part] = scores(counts).to_dict() if (counts.sum(axis=1) > 0).all() else None
    return found
