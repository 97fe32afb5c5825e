"""The run: honest, repeatable, resumable, and better than chance where there is something to learn."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.running import ROOT, environment
from tests.training.loso.tiny import LABELS, PREPROCESS, make_tiny, run_tiny, tiny_cache, tiny_spec
from tsfmicro.errors import UsageError
from tsfmicro.training.crops.cache import CropCache
from tsfmicro.training.loso import run as run_module
from tsfmicro.training.loso.augment import augmented
from tsfmicro.training.loso.fold import FoldResult, run_fold
from tsfmicro.training.loso.learn import shuffled, split_inner
from tsfmicro.training.loso.metrics import confusion, scores
from tsfmicro.training.loso.run import Plan, begin, fold_path
from tsfmicro.training.loso.samples import Samples, load_samples
from tsfmicro.training.loso.spec import STAMP, AugmentSpec, LosoSpec, Mode, Select
from tsfmicro.training.training_options import TrainingOptions


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> CropCache:
    return tiny_cache(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def samples(cache: CropCache) -> Samples:
    return load_samples(cache)


def fold(samples: Samples, spec: LosoSpec, subject: str = "p2", seed: int = 0, control: bool = False) -> FoldResult:
    return run_fold(samples, subject, spec, PREPROCESS, make_tiny, seed=seed, on_shuffled_labels=control)


def poisoned(samples: Samples, subject: str, *, pictures: bool = False) -> Samples:
    """The same, but every label of one person is another one."""
    mine = torch.tensor([entry.subject == subject for entry in samples.entries])
    labels = torch.where(mine, (samples.labels + 1) % len(LABELS), samples.labels)
    crops = samples.crops.clone()
    if pictures:
        crops[mine] = 255 - crops[mine]
    return Samples(crops, labels, samples.entries, samples.classes)


@pytest.mark.parametrize("select", list(Select))
def test_nothing_of_the_held_out_person_reaches_the_weights(samples: Samples, select: Select) -> None:
    spec = tiny_spec(select=select, inner_subjects=1)
    clean = fold(samples, spec)
    assert clean.weights_sha256 == fold(samples, spec).weights_sha256
    for pictures in (False, True):
        dirty = fold(poisoned(samples, "p2", pictures=pictures), spec)
        assert dirty.weights_sha256 == clean.weights_sha256
        assert dirty.chosen_epoch == clean.chosen_epoch and dirty.curve == clean.curve
    assert dirty.truth != clean.truth
    # The test can fail: anybody else's labels do reach the weights.
    assert fold(poisoned(samples, "p3"), spec).weights_sha256 != clean.weights_sha256


def test_the_paper_mode_does_leak_and_says_so(samples: Samples, cache: CropCache, tmp_path: Path) -> None:
    spec = tiny_spec(mode=Mode.PAPER, epochs=6)
    clean, dirty = fold(samples, spec), fold(poisoned(samples, "p2"), spec)
    assert (clean.chosen_epoch, clean.weights_sha256) != (dirty.chosen_epoch, dirty.weights_sha256)
    run_tiny(tmp_path / "run", cache, spec)
    found = json.loads((tmp_path / "run" / "result.json").read_text())
    assert found["stamp"] == STAMP and found["mode"] == "paper" and found["acc"]["ci95"] is None
    rows = list(csv.DictReader((tmp_path / "run" / "predictions.csv").open()))
    assert {row["stamp"] for row in rows} == {STAMP}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["stamp"] == STAMP


def test_the_paper_mode_counts_each_folds_best_epoch(samples: Samples) -> None:
    spec = tiny_spec(mode=Mode.PAPER, epochs=8, learning_rate=2e-2)
    found = fold(samples, spec)
    right = sum(a == b for a, b in zip(found.truth, found.predicted, strict=True))
    assert found.most_correct is not None and found.most_correct >= right
    honest = fold(samples, tiny_spec(epochs=found.chosen_epoch, learning_rate=2e-2))
    assert honest.weights_sha256 == found.weights_sha256  # the same training, another choice of epoch
    assert len(found.curve) == 8 or found.most_correct == len(found.truth)


def test_seeds_and_folds_differ_and_repeat(samples: Samples) -> None:
    spec = tiny_spec()
    digests = {
        (subject, seed): fold(samples, spec, subject, seed).weights_sha256
        for subject in ("p1", "p2")
        for seed in (0, 1)
    }
    assert len(set(digests.values())) == 4
    assert fold(samples, spec, "p1", 1).weights_sha256 == digests["p1", 1]


def test_inner_people_come_from_the_training_set_whole(samples: Samples) -> None:
    train = samples.without("p2")
    spec = tiny_spec(select=Select.INNER, inner_subjects=2)
    learn_on, inner = split_inner(train, spec, seed=0, name="p2")
    assert inner is not None and len(inner.subjects) == 2
    assert set(inner.subjects) | set(learn_on.subjects) == {"p1", "p3", "p4"}
    assert not set(inner.subjects) & set(learn_on.subjects)
    assert split_inner(train, tiny_spec(), seed=0, name="p2")[1] is None


def test_shuffling_deals_the_same_labels_to_other_clips(samples: Samples) -> None:
    mixed = shuffled(samples, seed=0, name="p1")
    assert sorted(mixed.labels.tolist()) == sorted(samples.labels.tolist())
    assert mixed.labels.tolist() != samples.labels.tolist()
    assert (mixed.crops == samples.crops).all()


def test_what_can_be_learned_beats_both_controls(tmp_path: Path) -> None:
    cache = tiny_cache(tmp_path, people=6, per_label=2)
    run_tiny(tmp_path / "run", cache, tiny_spec(epochs=25, seeds=(0, 1), shuffled_seeds=1))
    found = json.loads((tmp_path / "run" / "result.json").read_text())
    assert found["complete"] and found["samples"] == 60 and found["folds"] == 6
    assert found["uf1"]["mean"] > 0.9
    assert found["controls"]["majority"]["acc"] == 0.2
    assert found["controls"]["shuffled"]["uf1"]["mean"] < 0.4
    low, high = found["uf1"]["ci95"]
    assert low <= found["uf1"]["mean"] <= high
    assert found["uf1"]["sd"] == pytest.approx(np.std(found["uf1"]["per_seed"], ddof=1), abs=1e-3)
    # The files agree: scores from predictions.csv alone are those of result.json.
    rows = list(csv.DictReader((tmp_path / "run" / "predictions.csv").open()))
    assert list(rows[0])[:7] == ["seed", "fold", "subject", "clip", "onset", "truth", "predicted"]
    for seed, uf1 in zip(found["seeds"], found["uf1"]["per_seed"], strict=True):
        mine = [row for row in rows if row["seed"] == str(seed)]
        counts = confusion([LABELS.index(r["truth"]) for r in mine], [LABELS.index(r["predicted"]) for r in mine], 5)
        assert round(scores(counts).uf1, 4) == uf1
        assert counts.tolist() == found["confusion"][str(seed)]
    for row in rows:
        probabilities = {label: float(row[f"p_{label}"]) for label in LABELS}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert max(probabilities, key=lambda label: probabilities[label]) == row["predicted"]


@pytest.mark.slow
def test_kill_minus_nine_and_on_to_the_same_numbers(tmp_path: Path) -> None:
    script = [sys.executable, "-m", "tests.training.loso.tiny", str(tmp_path), str(tmp_path / "killed"), "40"]
    tiny_cache(tmp_path)
    first = subprocess.Popen(script, cwd=ROOT, env=environment())
    wanted = fold_path(tmp_path / "killed", 0, "p3")
    until = time.monotonic() + 120
    while not wanted.is_file() and time.monotonic() < until and first.poll() is None:
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    done = sorted(path.relative_to(tmp_path / "killed") for path in (tmp_path / "killed").rglob("p*.json"))
    assert wanted.is_file() and 3 <= len(done) < 8, "killed too early or too late to show anything"
    assert not (tmp_path / "killed" / "result.json").exists()
    before = {path: (tmp_path / "killed" / path).stat().st_mtime_ns for path in done}
    subprocess.run(script, cwd=ROOT, env=environment(), check=True)
    assert {path: (tmp_path / "killed" / path).stat().st_mtime_ns for path in done} == before
    script[4] = str(tmp_path / "whole")
    subprocess.run(script, cwd=ROOT, env=environment(), check=True)
    for name in ("result.json", "predictions.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_fold_that_fails_does_not_lose_the_others(
    cache: CropCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tiny_spec(epochs=1)

    def failing(samples: Samples, subject: str, *words: object, **options: object) -> FoldResult:
        if subject == "p3":
            raise RuntimeError("out of memory")
        return run_fold(samples, subject, *words, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "run_fold", failing)
        run_tiny(tmp_path / "run", cache, spec)
    found = json.loads((tmp_path / "run" / "result.json").read_text())
    assert not found["complete"]
    assert found["failed_folds"] == [{"seed": 0, "subject": "p3", "error": "RuntimeError: out of memory"}]
    assert set(found["per_subject"]) == {"p1", "p2", "p4"}
    run_tiny(tmp_path / "run", cache, spec)  # tried again
    assert json.loads((tmp_path / "run" / "result.json").read_text())["complete"]


def test_a_run_with_other_settings_is_not_mixed_in(cache: CropCache, tmp_path: Path) -> None:
    begin(tmp_path / "run", Plan(tiny_spec(), cache.index, None))
    begin(tmp_path / "run", Plan(tiny_spec(), cache.index, None))
    with pytest.raises(UsageError, match="other settings"):
        begin(tmp_path / "run", Plan(tiny_spec(epochs=5), cache.index, None))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(UsageError, match="holds no run"):
        begin(tmp_path / "full", Plan(tiny_spec(), cache.index, None))


def test_the_plan_survives_its_file() -> None:
    spec = tiny_spec(mode=Mode.PAPER, seeds=(0, 3), model="mmnet", options=("patch_px=16",))
    assert LosoSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_a_class_without_crops_is_refused_before_training(tmp_path: Path) -> None:
    cache = tiny_cache(tmp_path)
    for number, entry in enumerate(cache.index.entries):
        if entry.label == "surprise":
            cache.fail(number, "gone")
    with pytest.raises(UsageError, match="no crop of surprise"):
        load_samples(cache)


@pytest.mark.parametrize("change", [{"epochs": 0}, {"seeds": ()}, {"learning_rate": 0.0}, {"shuffled_seeds": 2}])
def test_settings_that_cannot_train_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        tiny_spec(**change)


MEAN = (0.5, 0.4, 0.25)


def test_what_comes_in_from_outside_is_the_mean_colour() -> None:
    black = torch.zeros((8, 2, 32, 32, 3), dtype=torch.uint8)
    spec = AugmentSpec(flip=0.0, rotation_deg=0.0, shift=8 / 32)
    moved = augmented(black, spec, torch.Generator().manual_seed(1), MEAN)
    colours = {tuple(colour) for colour in moved.reshape(-1, 3).round(decimals=2).abs().tolist()}
    assert colours == {(0.0, 0.0, 0.0), (127.5, 102.0, 63.75)}


@pytest.mark.parametrize(
    ("classes", "decay", "degrees", "shift_px"), [(5, 0.6, 3, 15), (7, 0.6, 3, 15), (3, 0.7, 4, 4)]
)
def test_decay_and_augmentation_are_those_released(classes: int, decay: float, degrees: int, shift_px: int) -> None:
    spec = TrainingOptions().spec(classes)
    assert (spec.learning_rate, spec.batch, spec.decay, spec.decay_epochs) == (8e-4, 32, 0.987, 50)
    assert (spec.weight_decay, spec.augment) == (decay, AugmentSpec(0.5, degrees, shift_px / 224))
    assert TrainingOptions(weight_decay=0.05).spec(classes).weight_decay == 0.05


def test_augmentation_moves_onset_and_apex_together() -> None:
    rng = np.random.default_rng(0)
    onset = torch.from_numpy(rng.integers(0, 255, (16, 32, 32, 3), dtype=np.uint8))
    pairs = torch.stack([onset, onset], dim=1)
    moved = augmented(pairs, AugmentSpec(), torch.Generator().manual_seed(1), MEAN)
    assert moved.shape == pairs.shape and moved.dtype == torch.float32
    assert (moved[:, 0] == moved[:, 1]).all()  # no motion is invented
    assert not torch.allclose(moved[:, 0], pairs[:, 0].float(), atol=1)
    again = augmented(pairs, AugmentSpec(), torch.Generator().manual_seed(1), MEAN)
    assert (moved == again).all()


def test_augmentation_is_flip_rotation_and_whole_pixels() -> None:
    still = AugmentSpec(flip=0.0, rotation_deg=0.0, shift=0.0)
    rng = np.random.default_rng(0)
    pairs = torch.from_numpy(rng.integers(0, 255, (4, 2, 32, 32, 3), dtype=np.uint8))
    generator = torch.Generator().manual_seed(0)
    assert torch.allclose(augmented(pairs, still, generator, MEAN), pairs.float(), atol=1e-2)
    flipped = augmented(pairs, dataclasses.replace(still, flip=1.0), generator, MEAN)
    assert torch.allclose(flipped, pairs.float().flip(3), atol=1e-2)
    shifted = augmented(pairs, dataclasses.replace(still, shift=4 / 32), generator, MEAN)
    for one, original in zip(shifted, pairs.float(), strict=True):
        fits = [
            torch.allclose(one[:, 4 - dy : 28 - dy, 4 - dx : 28 - dx], original[:, 4:28, 4:28], atol=1e-2)
            for dy in range(-4, 5)
            for dx in range(-4, 5)
        ]
        assert any(fits)
