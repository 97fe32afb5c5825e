"""Train on one data set, test on another: what is left of a result once camera, room and people change."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tsfmicro.errors import UsageError
from tsfmicro.training.crops.cache import CacheIndex
from tsfmicro.training.loso.fold import FoldResult, answer
from tsfmicro.training.loso.learn import Learner, MakeNetwork, learn, shuffled, split_inner
from tsfmicro.training.loso.result import write_result
from tsfmicro.training.loso.run import Finished, Plan, begin, fold_path, read_fold, write_whole
from tsfmicro.training.loso.samples import Samples
from tsfmicro.training.loso.spec import LosoSpec, Mode

_NAME = "everybody"


@dataclass(frozen=True, slots=True)
class CrossPlan(Plan):
    """A run that trains on the people of another data set. ``index`` is that of the test set."""

    train_index: CacheIndex

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: what has to be the same for a run to be gone on with."""
        train = self.train_index
        return {
            **Plan.to_dict(self),
            "trained_on": {
                "dataset": train.dataset,
                "protocol": train.protocol_id,
                "audit_digest": train.audit_digest,
                "crops_digest": train.digest,
                "faces": train.faces.value,
            },
        }


def cross_plan(spec: LosoSpec, train: CacheIndex, test: CacheIndex, pretraining: Mapping[str, Any] | None) -> CrossPlan:
    """Check that the two sets can be held against each other.

    Raises:
        UsageError: if they share a person, differ in classes or preprocessing, or the mode is not honest.
    """
    if spec.mode is not Mode.HONEST:
        raise UsageError("between data sets there is only the honest mode")
    if train.preprocess.digest != test.preprocess.digest:
        raise UsageError("the two caches were cut with different preprocessing; prepare both again")
    people = [{(entry.dataset, entry.subject) for entry in index.entries} for index in (train, test)]
    shared = sorted(subject for _, subject in people[0] & people[1])
    if shared:
        raise UsageError(f"{', '.join(shared[:5])} would be trained and tested on; name two different data sets")
    return CrossPlan(spec, test, pretraining, train)


def run_cross(
    out: Path,
    plan: CrossPlan,
    train: Samples,
    test: Samples,
    make_network: MakeNetwork,
    *,
    device: torch.device,
    on_seed: Callable[[int, int], None],
) -> dict[str, Any]:
    """Train once a seed, evaluate the other set once, write ``result.json`` and ``predictions.csv``.

    Raises:
        UsageError: if the classes differ, or another run lies at ``out``.
    """
    if train.classes != test.classes:
        raise UsageError(
            f"{plan.train_index.protocol_id} has the classes {', '.join(train.classes)}, {plan.index.protocol_id} has "
            f"{', '.join(test.classes)}; name two protocols with the same classes"
        )
    begin(out, plan)
    here, there = train.to(device), test.to(device)
    jobs = [(seed, False) for seed in plan.spec.seeds]
    jobs += [(seed, True) for seed in plan.spec.seeds[: plan.spec.shuffled_seeds]]
    done: dict[bool, list[FoldResult]] = {False: [], True: []}
    for number, (seed, control) in enumerate(jobs):
        on_seed(number, len(jobs))
        path = fold_path(out, seed, _NAME, control=control)
        if path.is_file():
            whole = read_fold(path)
        else:
            whole = _train_and_test(here, there, plan, make_network, seed=seed, control=control)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(whole.to_dict()) + "\n")
        done[control] += by_person(whole, test)
    on_seed(len(jobs), len(jobs))
    # A blind classifier would answer with the majority of the set it was trained on.
    blind = int(np.bincount(train.labels.numpy()).argmax())
    finished = Finished(tuple(done[False]), tuple(done[True]), ())
    return write_result(out, plan, test, finished, blind=[blind] * len(test))


def _train_and_test(
    train: Samples, test: Samples, plan: CrossPlan, make_network: MakeNetwork, *, seed: int, control: bool
) -> FoldResult:
    seen = shuffled(train, seed=seed, name=_NAME) if control else train
    learn_on, inner = split_inner(seen, plan.spec, seed=seed, name=_NAME)
    learner = Learner(learn_on, plan.spec, plan.index.preprocess, make_network, seed=seed, name=_NAME)
    learned = learn(learner, plan.spec, inner)
    return answer(learner, test, _NAME, seed, learner.logits(test.crops), learned.chosen_epoch, learned.curve)


def answers(out: Path, spec: LosoSpec) -> list[FoldResult]:
    """What the network of the first seed said about the other data set.

    Raises:
        SourceError: if it cannot be read.
    """
    return [read_fold(fold_path(out, spec.seeds[0], _NAME))]


def by_person(whole: FoldResult, test: Samples) -> list[FoldResult]:
    """The answers of one network, one result a person, so that intervals can draw people."""
    owner = [entry.subject for entry in test.entries]
    parts = []
    for subject in test.subjects:
        mine = [i for i, name in enumerate(owner) if name == subject]
        parts.append(
            replace(
                whole,
                subject=subject,
                keys=tuple(whole.keys[i] for i in mine),
                truth=tuple(whole.truth[i] for i in mine),
                logits=tuple(whole.logits[i] for i in mine),
            )
        )
    return parts
