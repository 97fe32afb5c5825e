"""``result.json`` and ``predictions.csv``: what a run found, what it is worth, and what it must be compared with."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from tsfmicro.errors import ContractError
from tsfmicro.training.crops.cache import CacheEntry
from tsfmicro.training.loso.fold import FoldResult
from tsfmicro.training.loso.metrics import Scores, bootstrap, by_part, confusion, majority, scores
from tsfmicro.training.loso.run import Finished, Plan
from tsfmicro.training.loso.samples import Samples
from tsfmicro.training.loso.spec import STAMP, Mode
from tsfmicro.values import AnyArray

_AUDITED = ("source", "samples", "matches", "explanation", "missing_frames", "clips_without_frames")
_METRICS = ("acc", "uf1", "uar")


def result_of(
    plan: Plan,
    samples: Samples,
    finished: Finished,
    audit: Mapping[str, Any] | None = None,
    blind: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Everything worth keeping about a run, as plain JSON values.

    Args:
        plan: the run.
        samples: the clips that were tested.
        finished: what the folds said.
        audit: of the data set, as JSON values.
        blind: answers of the majority control; by default for each clip the majority among everybody else's.
    """
    is_paper = plan.spec.mode is Mode.PAPER
    names = samples.classes
    matrices = {seed: _pooled(_of_seed(finished.folds, seed), len(names)) for seed in plan.spec.seeds}
    per_seed = {seed: _scores(counts, names) for seed, counts in matrices.items()}
    if is_paper:
        per_seed = {
            seed: _with_best_accuracy(found, _of_seed(finished.folds, seed)) for seed, found in per_seed.items()
        }
    intervals = None if is_paper else _intervals(finished.folds, plan.spec.seeds, len(names))
    complete = not finished.failures
    labels = [samples.classes.index(entry.label) for entry in samples.entries]
    people = [entry.subject for entry in samples.entries]
    answers = majority(labels, people) if blind is None else blind
    blindly = scores(confusion(labels, answers, len(names)))
    shuffled = [
        _scores(_pooled(_of_seed(finished.shuffled, seed), len(names)), names)
        for seed in plan.spec.seeds[: plan.spec.shuffled_seeds]
    ]
    found = {
        **plan.to_dict(),
        "mode": plan.spec.mode.value,
        "seeds": list(plan.spec.seeds),
        "complete": complete,
        "samples": len(samples),
        "folds": len(samples.subjects),
        "classes": {name: labels.count(i) for i, name in enumerate(names)},
        **{name: _summary(name, list(per_seed.values()), intervals) for name in _METRICS},
        "controls": {
            "majority": blindly.to_dict(),
            "shuffled": {name: _summary(name, shuffled, None) for name in _METRICS} if shuffled else None,
        },
        "confusion": {str(seed): counts.tolist() for seed, counts in matrices.items()},
        "per_subject": _per_subject(finished.folds),
        "parts": _parts(samples, finished.folds, plan.spec.seeds[0]),
        "chosen_epochs": {
            str(seed): [f.chosen_epoch for f in _of_seed(finished.folds, seed)] for seed in plan.spec.seeds
        },
        "audit": None if audit is None else {name: audit[name] for name in _AUDITED},
        "failed_folds": [asdict(failure) for failure in finished.failures],
    }
    return dict(json.loads(json.dumps(found, allow_nan=False)))  # as the file will read: lists, not tuples


def _of_seed(folds: Sequence[FoldResult], seed: int) -> list[FoldResult]:
    return [fold for fold in folds if fold.seed == seed]


def _pooled(folds: Sequence[FoldResult], classes: int) -> AnyArray:
    truth = [label for fold in folds for label in fold.truth]
    predicted = [label for fold in folds for label in fold.predicted]
    return confusion(truth, predicted, classes)


def _scores(counts: AnyArray, names: Sequence[str]) -> Scores | None:
    """None where failed folds took a whole class along."""
    try:
        return scores(counts, names)
    except ContractError:
        return None


def _with_best_accuracy(found: Scores | None, folds: Sequence[FoldResult]) -> Scores | None:
    """Accuracy from each fold's most accurate epoch, whichever epoch the other scores come from."""
    if found is None:
        return None
    right = sum(fold.most_correct or 0 for fold in folds)
    return Scores(right / sum(len(fold.truth) for fold in folds), found.uf1, found.uar)


def _intervals(folds: Sequence[FoldResult], seeds: Sequence[int], classes: int) -> dict[str, list[float]] | None:
    per_subject: dict[str, list[AnyArray]] = {}
    for fold in folds:
        per_subject.setdefault(fold.subject, []).append(confusion(fold.truth, fold.predicted, classes))
    whole = {person: matrices for person, matrices in per_subject.items() if len(matrices) == len(seeds)}
    found = bootstrap(whole) if whole else None
    return None if found is None else {name: interval.to_list() for name, interval in found.items()}


def _summary(name: str, found: Sequence[Scores | None], intervals: dict[str, list[float]] | None) -> dict[str, Any]:
    values = [getattr(one, name) for one in found if one is not None]
    return {
        "mean": round(float(np.mean(values)), 4) if values else None,
        "sd": round(float(np.std(values, ddof=1)), 4) if len(values) > 1 else None,
        "ci95": None if intervals is None else intervals[name],
        "per_seed": [None if one is None else round(getattr(one, name), 4) for one in found],
    }


def _per_subject(folds: Sequence[FoldResult]) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    for fold in folds:
        right = sum(a == b for a, b in zip(fold.truth, fold.predicted, strict=True))
        row = table.setdefault(fold.subject, {"clips": len(fold.truth), "right": []})
        row["right"].append(right)
    return dict(sorted(table.items()))


def _parts(samples: Samples, folds: Sequence[FoldResult], seed: int) -> dict[str, Any] | None:
    """Scores of each data set of a composite; None where there is only one."""
    part_of = {entry.key: entry.dataset for entry in samples.entries}
    if len(set(part_of.values())) < 2:
        return None
    mine = _of_seed(folds, seed)
    truth = [label for fold in mine for label in fold.truth]
    predicted = [label for fold in mine for label in fold.predicted]
    parts = [part_of[key] for fold in mine for key in fold.keys]
    return by_part(truth, predicted, parts, len(samples.classes))


def write_result(
    out: Path,
    plan: Plan,
    samples: Samples,
    finished: Finished,
    audit: Mapping[str, Any] | None = None,
    blind: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Write both files, each whole or not at all, and give the result back."""
    found = result_of(plan, samples, finished, audit, blind)
    _write_predictions(out / "predictions.csv", plan, samples, finished.folds)
    partial = out / "result.json.part"
    partial.write_text(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(out / "result.json")
    return found


def _write_predictions(path: Path, plan: Plan, samples: Samples, folds: Sequence[FoldResult]) -> None:
    entries: dict[str, CacheEntry] = {entry.key: entry for entry in samples.entries}
    number = {subject: index for index, subject in enumerate(samples.subjects, start=1)}
    is_paper = plan.spec.mode is Mode.PAPER
    partial = path.with_name(f"{path.name}.part")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        head = ["seed", "fold", "subject", "clip", "onset", "truth", "predicted", *(f"p_{n}" for n in samples.classes)]
        writer.writerow([*head, *(["stamp"] if is_paper else [])])
        for fold in folds:
            for key, truth, predicted, row in zip(fold.keys, fold.truth, fold.predicted, fold.logits, strict=True):
                entry = entries[key]
                probabilities = [f"{value:.6f}" for value in softmax(np.array(row))]
                writer.writerow([
                    fold.seed, number[fold.subject], entry.subject, entry.clip, entry.sheet_onset,
                    samples.classes[truth], samples.classes[predicted], *probabilities, *([STAMP] if is_paper else []),
                ])  # fmt: skip
    partial.replace(path)
