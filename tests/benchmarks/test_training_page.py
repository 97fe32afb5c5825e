"""The training page quotes what was measured, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tsfmicro.benchmarks import commands
from tsfmicro.benchmarks.figures import with_figures
from tsfmicro.benchmarks.training_page import training_figures
from tsfmicro.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def run(fusion: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((RESULTS / f"loso_synthetic_{fusion}.json").read_text(encoding="utf-8"))
    return record


def test_the_page_says_what_the_results_say() -> None:
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert with_figures(page, training_figures(RESULTS)) == page, "type: tsf-bench training-page"


def test_the_three_runs_differ_in_their_fusion_only() -> None:
    late, *others = (run(fusion) for fusion in ("late", "temporal", "spatial"))
    assert late["mode"] == "honest" and late["complete"] and late["folds"] >= 12 and len(late["classes"]) == 5
    for other in others:
        assert (other["crops_digest"], other["pretraining"]) == (late["crops_digest"], late["pretraining"])
        kept = {name: value for name, value in late["spec"].items() if name not in {"fusion", "shuffled_seeds"}}
        assert kept.items() <= other["spec"].items()


def test_what_moves_is_learned_and_what_rests_is_not() -> None:
    """Intervals clear of both controls where there is something to learn; none where there is nothing."""
    late, temporal, spatial = (run(fusion) for fusion in ("late", "temporal", "spatial"))
    controls = [late["controls"]["majority"]["uf1"]]
    controls += [run["controls"]["shuffled"]["uf1"]["mean"] for run in (late, temporal) if run["controls"]["shuffled"]]
    for found in (late, temporal):
        assert found["uf1"]["ci95"][0] > max(controls) + 0.1
    assert spatial["uf1"]["ci95"][1] < 0.3


def test_training_page_rewrites_a_document(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- figures -->\nstale\n<!-- /figures -->\nb\n", encoding="utf-8")
    commands.app(["training-page", str(page), "--results", str(RESULTS)], standalone_mode=False)
    text = page.read_text(encoding="utf-8")
    assert "| late | ." in text and ", shuffled training labels | ." in text and "stale" not in text


def test_a_result_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run tsf-train loso --json"):
        training_figures(tmp_path)
    (tmp_path / "loso_synthetic_late.json").write_text('{"schema": "tsf.bench/1"}', encoding="utf-8")
    with pytest.raises(UsageError, match=r"expected 'tsf\.loso/1'"):
        training_figures(tmp_path)
