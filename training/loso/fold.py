"""One fold: train on everybody else, answer for the one left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.training.loso.learn import Epoch, Learner, MakeNetwork, learn, shuffled, split_inner, weights_digest
from tsfmicro.training.loso.samples import Samples
from tsfmicro.training.loso.spec import LosoSpec, Mode
from tsfmicro.values import AnyArray, Float64Array


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What one fold leaves."""

    seed: int
    subject: str
    keys: tuple[str, ...]
    """Of the held-out clips."""
    truth: tuple[int, ...]
    logits: tuple[tuple[float, ...], ...]
    """One row a clip."""
    chosen_epoch: int
    curve: tuple[dict[str, Any], ...]
    weights_sha256: str
    """Of the network that answered."""
    most_correct: int | None = None
    """Paper mode only: the most clips right after any epoch, which its accuracy counts."""

    @property
    def predicted(self) -> tuple[int, ...]:
        """Class of the largest logit of each clip."""
        return tuple(int(np.argmax(row)) for row in self.logits)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {"logits": [list(row) for row in self.logits], "curve": list(self.curve)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FoldResult:
        """Read what :meth:`to_dict` wrote."""
        fixed = {name: tuple(values[name]) for name in ("keys", "truth", "curve")}
        return cls(**{**values, **fixed, "logits": tuple(tuple(row) for row in values["logits"])})


def run_fold(
    samples: Samples,
    subject: str,
    spec: LosoSpec,
    preprocess: PreprocessSpec,
    make_network: MakeNetwork,
    *,
    seed: int,
    on_shuffled_labels: bool = False,
) -> FoldResult:
    """Train without ``subject`` and answer for them.

    In honest mode the labels of ``subject`` are read after training, for the record; in paper mode they choose the
    epoch.
    """
    train, held_out = samples.without(subject), samples.of([subject])
    if on_shuffled_labels:
        train = shuffled(train, seed=seed, name=subject)
    learn_on, inner = split_inner(train, spec, seed=seed, name=subject)
    learner = Learner(learn_on, spec, preprocess, make_network, seed=seed, name=subject)
    if spec.mode is Mode.PAPER:
        return _test_selected(learner, held_out, subject, spec, seed)
    learned = learn(learner, spec, inner)
    logits = learner.logits(held_out.crops)
    return answer(learner, held_out, subject, seed, logits, learned.chosen_epoch, learned.curve)


def _test_selected(learner: Learner, held_out: Samples, subject: str, spec: LosoSpec, seed: int) -> FoldResult:
    """The published protocol: the epoch with the held-out person's best F1, and apart from it their best accuracy."""
    truth = held_out.labels.cpu().numpy()
    best: FoldResult | None = None
    best_f1, most = -1.0, 0
    curve: list[Epoch] = []
    for _ in range(spec.epochs):
        curve.append(learner.epoch())
        logits = learner.logits(held_out.crops)
        right = int((logits.argmax(1) == truth).sum())
        most = max(most, right)
        f1 = _fold_f1(truth, logits.argmax(1))
        if f1 > best_f1:
            best_f1 = f1
            best = answer(learner, held_out, subject, seed, logits, curve[-1].number, ())
        if right == len(truth):
            break
    assert best is not None  # at least one epoch was run
    values = best.to_dict() | {"curve": [epoch.to_dict() for epoch in curve], "most_correct": most}
    return FoldResult.from_dict(values)


def _fold_f1(truth: AnyArray, predicted: AnyArray) -> float:
    """Mean F1 over the classes this person has."""
    values = []
    for label in np.unique(truth):
        hits = float(((truth == label) & (predicted == label)).sum())
        values.append(2 * hits / float((truth == label).sum() + (predicted == label).sum()))
    return float(np.mean(values))


def answer(
    learner: Learner,
    held_out: Samples,
    subject: str,
    seed: int,
    logits: Float64Array,
    chosen: int,
    curve: tuple[Epoch, ...],
    most: int | None = None,
) -> FoldResult:
    """What a trained network says about held-out clips, with where it comes from."""
    return FoldResult(
        seed=seed,
        subject=subject,
        keys=tuple(entry.key for entry in held_out.entries),
        truth=tuple(held_out.labels.tolist()),
        logits=tuple(tuple(float(value) for value in row) for row in logits),
        chosen_epoch=chosen,
        curve=tuple(epoch.to_dict() for epoch in curve),
        weights_sha256=weights_digest(learner.fused.network),
        most_correct=most,
    )
