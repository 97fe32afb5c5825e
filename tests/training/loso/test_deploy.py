"""What the bundle's calibration is made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.loso.tiny import run_tiny, tiny_cache, tiny_spec
from tsfmicro.errors import SourceError, UsageError
from tsfmicro.training.loso.deploy import calibrate, out_of_fold, require_deployable
from tsfmicro.training.loso.fold import FoldResult
from tsfmicro.training.loso.samples import load_samples


def answered(confidence: float, share_right: float, clips: int = 400) -> FoldResult:
    """A fold that is right as often as asked and always equally sure, two classes."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, clips)
    said = np.where(rng.random(clips) < share_right, truth, 1 - truth)
    logits = tuple((confidence, 0.0) if label == 0 else (0.0, confidence) for label in said)
    return FoldResult(0, "p", tuple(map(str, range(clips))), tuple(truth.tolist()), logits, 1, (), "")


@pytest.mark.parametrize(("share", "confidence"), [(0.7, 4.0), (0.9, 1.0)])
def test_the_temperature_makes_confidence_equal_accuracy(share: float, confidence: float) -> None:
    fold = answered(confidence, share)
    found, error = calibrate([fold])
    right = np.mean(np.equal(fold.truth, fold.predicted))
    said = 1 / (1 + np.exp(-confidence / found.temperature))
    assert said == pytest.approx(right, abs=0.01)
    assert error < 0.02
    assert (found.temperature > 1) == (confidence == 4.0)
    assert found.min_magnitude_percent_iod is None


def test_only_honest_and_complete_runs_are_deployed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has failed folds"):
        require_deployable(tmp_path, {"mode": "honest", "complete": False, "stamp": None})
    with pytest.raises(UsageError, match="upper bound"):
        require_deployable(tmp_path, {"mode": "paper", "complete": True, "stamp": "test-selected upper bound"})
    require_deployable(tmp_path, {"mode": "honest", "complete": True, "stamp": None})


def test_every_clip_is_answered_once_by_a_network_that_did_not_see_the_person(tmp_path: Path) -> None:
    cache, spec = tiny_cache(tmp_path), tiny_spec(epochs=1, seeds=(0, 1))
    run_tiny(tmp_path / "run", cache, spec)
    samples = load_samples(cache)
    folds = out_of_fold(tmp_path / "run", spec, samples)
    assert sorted(key for fold in folds for key in fold.keys) == sorted(entry.key for entry in samples.entries)
    assert {fold.seed for fold in folds} == {0}
    assert all(key.startswith(f"{fold.subject}/") for fold in folds for key in fold.keys)
    (tmp_path / "run" / "folds" / "seed-0" / "p1.json").unlink()
    with pytest.raises(SourceError, match=r"p1\.json cannot be read"):
        out_of_fold(tmp_path / "run", spec, samples)
