"""The composite: people of three data sets in one run, scores of each part from the same predictions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.loso.tiny import PREPROCESS, tiny_spec
from tsfmicro.training.crops.faces import Faces
from tsfmicro.training.crops.prepare import index_of, prepare
from tsfmicro.training.datasets.audit import audit
from tsfmicro.training.datasets.load import load
from tsfmicro.training.fixtures import others
from tsfmicro.training.loso.fold import FoldResult
from tsfmicro.training.loso.result import result_of
from tsfmicro.training.loso.run import Finished, Plan
from tsfmicro.training.loso.samples import Samples, load_samples


def all_right_but(samples: Samples, subject: str, wrong: set[str]) -> FoldResult:
    """A fold without any training: every clip answered rightly, or always with the next class."""
    held_out = samples.of([subject])
    truth = held_out.labels.tolist()
    shift = [entry.dataset in wrong for entry in held_out.entries]
    said = [(label + moved) % 3 for label, moved in zip(truth, shift, strict=True)]
    logits = tuple(tuple(9.0 if place == label else 0.0 for place in range(3)) for label in said)
    return FoldResult(0, subject, tuple(e.key for e in held_out.entries), tuple(truth), logits, 1, (), "")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Samples]:
    folder = tmp_path_factory.mktemp("composite")
    root: Path = others.write_megc2019(folder / "megc")
    index = index_of(audit(load("megc2019", root, "megc2019_full")), Faces.DATASET, PREPROCESS)
    cache = prepare(index, root, folder / "crops", on_done=lambda done, total: None)
    return Plan(tiny_spec(), cache.index, None), load_samples(cache)


def test_people_of_three_data_sets_are_different_people(run: tuple[Plan, Samples]) -> None:
    _, samples = run
    people = {entry.subject: entry.dataset for entry in samples.entries}
    assert {entry.subject for entry in samples.entries if entry.dataset != people[entry.subject]} == set()
    assert {"s01", "sub01", "006"} <= set(samples.subjects)
    assert set(people.values()) == {"smic_hs", "casme2", "samm"}


def test_each_part_is_scored_from_the_same_predictions(run: tuple[Plan, Samples]) -> None:
    plan, samples = run
    folds = tuple(all_right_but(samples, subject, {"samm"}) for subject in samples.subjects)
    found = result_of(plan, samples, Finished(folds, (), ()))
    perfect, none_right = {"acc": 1.0, "uf1": 1.0, "uar": 1.0}, {"acc": 0.0, "uf1": 0.0, "uar": 0.0}
    assert found["parts"] == {"smic_hs": perfect, "casme2": perfect, "samm": none_right}
    right = sum(entry.dataset != "samm" for entry in samples.entries)
    assert found["acc"]["mean"] == pytest.approx(right / len(samples), abs=1e-4)
    assert found["controls"]["shuffled"] is None
