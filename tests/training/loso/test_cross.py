"""Between two data sets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.loso.tiny import LABELS, PREPROCESS, make_tiny, tiny_spec
from tsfmicro.errors import UsageError
from tsfmicro.training.crops.cache import CropCache
from tsfmicro.training.crops.faces import Faces
from tsfmicro.training.crops.prepare import index_of, prepare
from tsfmicro.training.datasets.audit import audit
from tsfmicro.training.datasets.load import load
from tsfmicro.training.fixtures import casme2, others
from tsfmicro.training.loso.cross import cross_plan, run_cross
from tsfmicro.training.loso.metrics import confusion, scores
from tsfmicro.training.loso.samples import load_samples
from tsfmicro.training.loso.spec import Mode


def cut(dataset: str, root: Path, folder: Path) -> CropCache:
    index = index_of(audit(load(dataset, root, "casme2_5c_tsf")), Faces.DATASET, PREPROCESS)
    return prepare(index, root, folder, on_done=lambda done, total: None)


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> tuple[CropCache, CropCache]:
    folder = tmp_path_factory.mktemp("cross")
    own = others.write_plain(folder / "own", labels=LABELS, people=5, per_label=2)
    return cut("csv", own, folder / "a"), cut("casme2", casme2.write(folder / "casme2"), folder / "b")


def test_trained_here_tested_there(caches: tuple[CropCache, CropCache], tmp_path: Path) -> None:
    train, test = (load_samples(cache) for cache in caches)
    spec = tiny_spec(epochs=25, seeds=(0, 1), shuffled_seeds=1)
    plan = cross_plan(spec, caches[0].index, caches[1].index, None)
    words = (tmp_path / "run", plan, train, test, make_tiny)
    counted: list[tuple[int, int]] = []
    found = run_cross(*words, device=torch.device("cpu"), on_seed=lambda done, total: counted.append((done, total)))
    assert counted[-1] == (3, 3)
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == found
    assert found["dataset"] == "casme2" and found["trained_on"]["dataset"] == "csv"
    assert found["samples"] == len(test) and set(found["per_subject"]) == set(test.subjects)
    # The invented data sets move alike, so what is learned on one holds on the other.
    assert found["uf1"]["mean"] > 0.7 > 0.5 > found["controls"]["shuffled"]["uf1"]["mean"]
    # All classes are equally frequent in training, so a blind classifier says the first.
    blind = scores(confusion(test.labels.tolist(), [0] * len(test), 5))
    assert found["controls"]["majority"] == blind.to_dict()
    rows = (tmp_path / "run" / "predictions.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * len(test)
    again = run_cross(*words, device=torch.device("cpu"), on_seed=lambda done, total: None)
    assert again == found


def test_labels_of_the_test_set_reach_nothing(caches: tuple[CropCache, CropCache], tmp_path: Path) -> None:
    train, test = (load_samples(cache) for cache in caches)
    poisoned = replace(test, labels=(test.labels + 1) % 5)
    plan = cross_plan(tiny_spec(epochs=3), caches[0].index, caches[1].index, None)
    digests = []
    for name, samples in (("a", test), ("b", poisoned)):
        run_cross(
            tmp_path / name, plan, train, samples, make_tiny, device=torch.device("cpu"), on_seed=lambda d, t: None
        )
        kept = json.loads((tmp_path / name / "folds" / "seed-0" / "everybody.json").read_text())
        digests.append(kept["weights_sha256"])
    assert digests[0] == digests[1]


def test_what_cannot_be_compared_is_refused(caches: tuple[CropCache, CropCache], tmp_path: Path) -> None:
    first, second = (cache.index for cache in caches)
    with pytest.raises(UsageError, match=r"p1, p2, p3, p4, p5 would be trained and tested on"):
        cross_plan(tiny_spec(), first, first, None)
    with pytest.raises(UsageError, match="only the honest mode"):
        cross_plan(tiny_spec(mode=Mode.PAPER), first, second, None)
    other = replace(second, preprocess=replace(PREPROCESS, spatial_px=7))
    with pytest.raises(UsageError, match="different preprocessing"):
        cross_plan(tiny_spec(), first, other, None)
    train, test = (load_samples(cache) for cache in caches)
    renamed = replace(test, classes=("a", "b", "c", "d", "e"))
    plan = cross_plan(tiny_spec(), first, second, None)
    with pytest.raises(UsageError, match="same classes"):
        run_cross(
            tmp_path / "r", plan, train, renamed, make_tiny, device=torch.device("cpu"), on_seed=lambda d, t: None
        )
