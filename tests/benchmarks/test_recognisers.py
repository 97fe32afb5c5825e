"""Runs side by side: only such as can be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from tsfmicro.benchmarks import recognisers
from tsfmicro.benchmarks.recognisers import network_name, run_recognisers
from tsfmicro.errors import UsageError
from tsfmicro.models.card import AnyConfig
from tsfmicro.models.config import ModelConfig
from tsfmicro.models.fdp.config import FdpConfig
from tsfmicro.training.loso.spec import LosoSpec
from tsfmicro.training.summary import ModelSummary

FDP = LosoSpec(model="fdp", size="small", options=("rank_scorer=none",), epochs=7)
MMNET = LosoSpec(model="mmnet", size="small", epochs=7)


def a_run(folder: Path, spec: LosoSpec, **changes: Any) -> Path:
    score = {"mean": 0.5, "sd": None, "ci95": [0.4, 0.6], "per_seed": [0.5]}
    result = {
        "protocol": "casme2_5c_tsf", "audit_digest": "a", "faces": "dataset", "preprocess_digest": "p", "seeds": [0],
        "folds": 4, "samples": 40, "mode": "honest", "complete": True, "stamp": None, "spec": spec.to_dict(),
        "acc": score, "uf1": {**score, "mean": 0.45}, "uar": score, "controls": {"majority": {"uf1": 0.1}},
        "pretraining": None, "crops_digest": "c",
    }  # fmt: skip
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps({**result, **changes}))
    return folder


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[AnyConfig]:
    """Which networks were timed, without timing them."""
    seen: list[AnyConfig] = []

    def pretend(configs: list[AnyConfig], rounds: int) -> list[ModelSummary]:
        seen.extend(configs)
        return [
            ModelSummary(c.model, c.size, c.fusion, c.classes, 1000 + i, float(rounds), None, 2.0, 1.0)
            for i, c in enumerate(configs)
        ]

    monkeypatch.setattr(recognisers, "time_family", pretend)
    return seen


def test_runs_become_rows(tmp_path: Path, timed: list[AnyConfig]) -> None:
    rows = run_recognisers([a_run(tmp_path / "a", FDP), a_run(tmp_path / "b", MMNET)], rounds=3, threads=1)
    assert timed == [FdpConfig(size="small", rank_scorer="none"), ModelConfig(model="mmnet", size="small")]
    assert [row["network"] for row in rows] == ["fdp small rank_scorer=none", "mmnet small late"]
    assert [(row["uf1"], row["uf1_ci95"], row["parameters"]) for row in rows] == [
        (0.45, "[0.4, 0.6]", 1000),
        (0.45, "[0.4, 0.6]", 1001),
    ]
    assert all(row["epochs"] == 7 and row["people"] == 4 and row["gmacs"] == 3.0 for row in rows)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"audit_digest": "other"}, "differ in audit_digest"),
        ({"seeds": [0, 1], "folds": 5}, "differ in seeds, folds"),
        ({"mode": "paper", "stamp": "upper bound"}, "is a upper bound"),
        ({"complete": False}, "failed folds"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, timed: list[AnyConfig], changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        run_recognisers([a_run(tmp_path / "a", FDP), a_run(tmp_path / "b", MMNET, **changes)], rounds=1, threads=1)
    assert timed == []


def test_a_network_is_named_as_it_is_typed() -> None:
    assert network_name(LosoSpec()) == "tsfmicro base late"
    assert network_name(FDP) == "fdp small rank_scorer=none"
