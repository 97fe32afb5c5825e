"""Scenario ``engine`` and the page that quotes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from tests.export.test_windows import BARE, sealed
from tests.running import Prompt
from tsfmicro.benchmarks import engines
from tsfmicro.benchmarks.engine_page import engine_figures
from tsfmicro.benchmarks.figures import with_figures
from tsfmicro.bundle import default_bundle_path, read_bundle
from tsfmicro.errors import BundleError, UsageError
from tsfmicro.models.config import ModelConfig
from tsfmicro.runners import load
from tsfmicro.training.summary import summarise

ROOT = Path(__file__).resolve().parents[2]


def test_backends_take_turns_and_have_their_distance() -> None:
    rows = engines.run_engines(read_bundle(default_bundle_path()), ["onnxruntime", "torch"], [1, 2], 2, 1)
    assert [row["what"] for row in rows[:-1]] == [
        "torch, batch 1", "onnxruntime, batch 1", "ratio to torch eager float32, batch 1",
        "torch, batch 2", "onnxruntime, batch 2", "ratio to torch eager float32, batch 2",
    ]  # fmt: skip
    *rows, ceilings = rows
    assert (
        len(rows) == 6
        and ceilings["what"] == "ceilings"
        and min(ceilings["float32_gflops"], ceilings["bandwidth_gb_s"]) > 0
    )
    reference, ours, ratio, *_ = rows
    assert reference["ratio"]["median"] == 1.0
    assert reference["distance"]["max_abs"] == 0.0
    assert 0 < ours["distance"]["max_abs"] < 1e-4
    assert ours["calls"] == ours["n"] == 2 and ours["p50_ms"] is None  # too few for a percentile
    assert ours["distance"]["label_flips"] == ours["distance"]["decision_flips"] == 0
    assert (
        ours["times_the_floor"] == pytest.approx(ours["median_ms"] / ours["floor_ms"], rel=0.01)
        and ours["floor_ms"] > 0
    )
    assert ratio["onnxruntime"] == ours["ratio"]["median"] > 0


def test_another_network_runs_beside_and_is_held_against_itself() -> None:
    beside = [ModelConfig(model="mmnet", size="small")]
    rows = engines.run_engines(read_bundle(default_bundle_path()), ["onnxruntime"], [1], 1, 1, beside)
    named = {row["what"]: row for row in rows}
    other, graph = named["mmnet_torch, batch 1"], named["mmnet_onnxruntime, batch 1"]
    assert other["network"] == graph["network"] == "mmnet small late" != named["torch, batch 1"]["network"]
    assert other["distance"]["max_abs"] == 0.0 < graph["distance"]["max_abs"] < 1e-4
    assert other["gmacs"] != named["torch, batch 1"]["gmacs"] and named["torch, batch 1"]["ratio"]["median"] == 1.0
    ratios = named["ratio to torch eager float32, batch 1"]
    assert {"onnxruntime", "mmnet_torch", "mmnet_onnxruntime"} <= set(ratios)


def test_a_backend_that_cannot_run_says_why() -> None:
    skipped, *timed = engines.run_engines(
        read_bundle(default_bundle_path()), ["tensorrt-rtx", "onnxruntime"], [1], 1, 1
    )
    assert (skipped["what"], skipped["status"]) == ("tensorrt-rtx", "not run")
    assert "tsf-export" in skipped["why"]
    assert [row["what"] for row in timed][:2] == ["torch, batch 1", "onnxruntime, batch 1"]


def test_a_recogniser_of_windows_takes_turns_too(tmp_path: Path) -> None:
    sides = ["torch", "torch-tensorrt", "onnxruntime"]
    bundle = sealed(tmp_path / "fdp.tsf", BARE)
    with pytest.raises(BundleError, match="tsf-export"):  # as for pairs: the graph is what is to be timed
        engines.run_engines(bundle, sides, [2], 1, 1)
    skipped, timed, *_ = engines.run_engines(bundle, sides[:2], [2], 1, 1)
    assert (skipped["what"], skipped["status"]) == ("torch-tensorrt", "not run") and "tsf-export" in skipped["why"]
    assert timed["what"] == "torch, batch 2" and timed["network"] == "fdp small window"
    assert timed["distance"]["max_abs"] == 0.0 and timed["distance"]["pairs"] == 8
    assert timed["gmacs"] == summarise(BARE).gmacs


def test_neighbours_in_time_are_compared() -> None:
    assert engines._ratios([1.0, 20.0, 3.0], [2.0, 40.0, 3.0]) == 0.5


def test_a_backend_that_is_not_known() -> None:
    with pytest.raises(UsageError, match="backends abacus are not known"):
        engines.run_engines(read_bundle(default_bundle_path()), ["abacus"], [1], 1, 1)


def test_an_untrained_bundle_loads_and_says_what_it_is(tmp_path: Path) -> None:
    bundle = engines.untrained_bundle(tmp_path / "x.tsf", ModelConfig(size="small", fusion="spatial"))
    load(bundle, "torch").close()
    assert "random" in read_bundle(bundle.path).manifest.provenance.data


@pytest.mark.parametrize(
    "words", [("--size", "huge"), ("--size", "base", "--model", "x.tsf"), ("--slo", "nonsense"), ("--beside", "x")]
)
def test_bad_words(prompt: Prompt, words: tuple[str, ...]) -> None:
    assert prompt("tsf-bench", "engine", *words).code == 2


def test_the_page_quotes_the_results() -> None:
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    block = engine_figures(ROOT / "benchmarks" / "results")
    assert with_figures(page, block) == page, "type: tsf-bench export-page"


def test_the_results_are_of_many_calls() -> None:
    def rows(name: str) -> list[dict[str, Any]]:
        import json

        found: list[dict[str, Any]] = json.loads((ROOT / "benchmarks/results" / name).read_text())["rows"]
        return found

    for name in ("engine_base.json", "engine_small.json"):
        assert all(row["calls"] >= 30 for row in rows(name) if "calls" in row)
