"""Objectives: how they are read, which rows they hold, and exit code 8 when one is missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.running import Prompt
from tsfmicro.benchmarks.objectives import Objective, parse_objective, require_met
from tsfmicro.errors import ObjectiveError, UsageError


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        ("f1>=0.98", Objective("f1", ">=", 0.98)),
        (" p99_frame_ms <= 33 ", Objective("p99_frame_ms", "<=", 33.0)),
        ("stages.spot.p99_ms<2.5", Objective("stages.spot.p99_ms", "<", 2.5)),
        ("tp>1e1", Objective("tp", ">", 10.0)),
    ],
)
def test_read(text: str, objective: Objective) -> None:
    assert parse_objective(text) == objective
    assert parse_objective(str(objective)) == objective


@pytest.mark.parametrize("text", ["", "f1", "f1=0.9", "f1==0.9", ">=0.9", "f1>=", "f1>=good", "f1>=nan", "f1<=inf"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected a figure and a limit"):
        parse_objective(text)


@pytest.mark.parametrize(
    ("sign", "below", "equal", "above"),
    [("<=", True, True, False), ("<", True, False, False), (">=", False, True, True), (">", False, False, True)],
)
def test_signs(sign: str, below: bool, equal: bool, above: bool) -> None:
    objective = Objective("x", sign, 5.0)
    assert [objective.met_by(v) for v in (4.0, 5.0, 6.0)] == [below, equal, above]


def test_every_row_with_the_figure_is_held() -> None:
    rows = [{"what": "a", "ms": 3.0}, {"what": "b", "ms": 9.0}, {"what": "ratio", "median": 3.0}]
    require_met([parse_objective("ms<=9")], rows)
    with pytest.raises(ObjectiveError, match=r"ms<=4 \(measured 9\)"):
        require_met([parse_objective("ms<=4")], rows)


def test_nested_figures_and_figures_that_were_not_measured() -> None:
    rows = [{"stages": {"spot": {"p99_ms": 2.0}, "recognise": {"p99_ms": None}}}]
    require_met([parse_objective("stages.spot.p99_ms<=2")], rows)
    with pytest.raises(ObjectiveError, match="measured nothing"):
        require_met([parse_objective("stages.recognise.p99_ms<=2")], rows)


def test_a_frames_latency_goes_by_either_name() -> None:
    with pytest.raises(ObjectiveError, match=r"p99_frame_ms<=33 \(measured 40\)"):
        require_met([parse_objective("p99_frame_ms<=33")], [{"p99_ms": 40.0}, {"p99_ms": 30.0}])
    require_met([parse_objective("p99_frame_ms<=33")], [{"p99_ms": 40.0, "p99_frame_ms": 3.0}])


def test_all_misses_are_named() -> None:
    with pytest.raises(ObjectiveError, match=r"f1>=1 \(measured 0.5\); fp<=0 \(measured 2\)"):
        require_met([parse_objective("f1>=1"), parse_objective("fp<=0")], [{"f1": 0.5, "fp": 2}])


def test_an_unknown_figure_is_a_usage_error_that_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no figure is called f2; this result has f1, fp"):
        require_met([parse_objective("f2>=1")], [{"f1": 0.5, "fp": 2, "what": "words", "ok": True}])


@pytest.mark.parametrize(("limit", "code"), [("1e9", 0), ("0.001", 8)])
def test_the_command_ends_with_8_and_keeps_its_record(tmp_path: Path, prompt: Prompt, limit: str, code: int) -> None:
    record = tmp_path / "stages.json"
    words = ["stages", "demo:", "--rounds", "1", "--max-frames", "10", "--json", record]
    done = prompt("tsf-bench", *words, "--slo", f"median_ms_per_frame<={limit}")
    assert done.code == code, done.err
    rows: list[dict[str, Any]] = json.loads(record.read_text())["rows"]
    assert rows[0]["median_ms_per_frame"] > 0
    assert done.err.startswith("error: objective missed: median_ms_per_frame<=0.001") == (code == 8)
    assert "Traceback" not in done.err


def test_an_objective_that_cannot_be_read_is_refused_before_the_work(prompt: Prompt) -> None:
    prompt("tsf-bench", "event", "--clips", 1000, "--slo", "f1=1").assert_refused(2, "expected a figure and a limit")
