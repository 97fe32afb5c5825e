"""Scenarios ``models`` and ``training``, and the page written from them."""

from __future__ import annotations

import builtins
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")


from tsfmicro.benchmarks import commands, model_page, networks
from tsfmicro.benchmarks.compare import compare
from tsfmicro.benchmarks.figures import with_figures
from tsfmicro.benchmarks.model_page import model_figures
from tsfmicro.benchmarks.networks import run_models, run_step
from tsfmicro.errors import BackendError, ObjectiveError, UsageError
from tsfmicro.models.config import ModelConfig, family
from tsfmicro.training.summary import summarise

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"


pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_the_page_says_what_the_results_say() -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert with_figures(page, model_figures(RESULTS)) == page, "type: tsf-bench model-page"


def test_the_committed_counts_are_those_of_the_code() -> None:
    rows = json.loads((RESULTS / "models.json").read_text(encoding="utf-8"))["rows"]
    counted = [json.loads(json.dumps(summarise(config).to_dict())) for config in family()]
    assert [{k: v for k, v in row.items() if not k.endswith("_ms")} for row in rows] == counted
    assert all(row["latency_ms"] > 0 and row["processor_ms"] > 0 for row in rows)


def test_models_times_every_network(monkeypatch: pytest.MonkeyPatch) -> None:
    small = ModelConfig(size="small", fusion="spatial")
    monkeypatch.setattr(networks, "family", lambda: (small,))
    (row,) = run_models(rounds=1, threads=1)
    assert row["latency_ms"] > 0
    assert row["parameters"] == 457_221


def test_training_alternates_the_two() -> None:
    naive, ours, ratio = run_step("small", batch=2, rounds=1, threads=1)
    assert [row["what"] for row in (naive, ours, ratio)] == ["naive", "network", "ratio"]
    assert ratio["median"] == pytest.approx(ours["median_s"] / naive["median_s"], rel=0.01)
    assert ratio["median_cpu"] == pytest.approx(ours["median_cpu_s"] / naive["median_cpu_s"], rel=0.01)
    assert (ratio["min"], ratio["max"], ratio["rounds"]) == (ratio["median"], ratio["median"], 1)
    assert naive["samples"]["s"] == [pytest.approx(naive["median_s"], abs=1e-4)]
    compared = compare(*[{"scenario": "step", "settings": {}, "rows": [naive, ours, ratio]}] * 2)
    figures = {"naive": ("s", "cpu_s"), "network": ("s", "cpu_s"), "ratio": ("ratio", "cpu_ratio")}
    assert [(one.row, one.figure) for one in compared] == [(row, name) for row in figures for name in figures[row]]


def test_the_ceiling_is_the_speed_of_square_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "_CEILING_SIDES", (64, 96))
    ticks = iter(float(n) for n in range(100))  # every product takes one second
    monkeypatch.setattr(time, "process_time", lambda: next(ticks))
    rows = networks.run_ceiling(rounds=3, threads=1)
    assert [row["what"] for row in rows] == ["matrix products of side 64", "matrix products of side 96"]
    assert [row["samples"]["gmacs_per_cpu_s"] for row in rows] == [[round(n**3 / 1e9, 5)] * 3 for n in (64, 96)]


def test_the_bound_is_arithmetic_over_speed() -> None:
    ceiling = {"settings": {"rounds": 2}, "rows": [{"what": "slow", "best_gmacs_per_cpu_s": 4.0},
                                                   {"what": "fast", "best_gmacs_per_cpu_s": 10.0}]}  # fmt: skip
    models = {"rows": [{"model": "tsfmicro", "fusion": fusion, "size": "base", "gmacs": gmacs}
                       for fusion, gmacs in (("early", 9.0), ("late", 5.0))]}  # fmt: skip
    step = {"settings": {"size": "base", "batch": 2}, "rows": [{"median_cpu_s": 4.0}]}
    text = model_page._bound(ceiling, models, [step])
    assert "2 fast ran at 10.0" in text and "`base`: 30.0 G multiply-adds, 3.00 s, 0.75 of the naive step" in text


def test_the_command_keeps_the_record_and_its_objective(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def stub(*settings: Any) -> list[dict[str, Any]]:
        asked.append(settings)
        return [{"what": "ratio", "median": 0.8}]

    monkeypatch.setattr(networks, "run_step", stub)
    words = ["step", "--size", "small", "--batch", "3", "--json", str(tmp_path / "r.json"), "--slo", "median<=0.5"]
    with pytest.raises(ObjectiveError):
        commands.app(words, standalone_mode=False)
    assert asked == [("small", 3, 7, 1)]
    record = json.loads((tmp_path / "r.json").read_text())
    assert (record["scenario"], record["settings"]["size"], record["settings"]["batch"]) == ("step", "small", 3)
    with pytest.raises(UsageError, match="base or small"):
        commands.app(["step", "--size", "huge"], standalone_mode=False)


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def no_torch(name: str, *rest: Any, **more: Any) -> Any:
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return original(name, *rest, **more)

    monkeypatch.delitem(sys.modules, "tsfmicro.benchmarks.networks")
    monkeypatch.setattr(builtins, "__import__", no_torch)
    with pytest.raises(BackendError, match=r"tsfmicro\[train\]"):
        commands.app(["models"], standalone_mode=False)


def test_model_page_rewrites_a_document(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- figures -->\nold\n<!-- /figures -->\nb\n", encoding="utf-8")
    commands.app(["model-page", str(page), "--results", str(RESULTS)], standalone_mode=False)
    text = page.read_text(encoding="utf-8")
    assert "| tsfmicro | base | late | 12,789,413 |" in text and "old" not in text
    assert text.endswith("<!-- /figures -->\nb\n")


def test_a_missing_result_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run tsf-bench models --json"):
        model_figures(tmp_path)
