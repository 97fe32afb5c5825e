"""Tables of spotting on a terminal of 80 columns."""

import json
from pathlib import Path

import pytest

from tsfmicro.benchmarks.spotting.table import show

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("name", ["spotting", "spotting_trials", "spotting_yardsticks"])
def test_nothing_is_cut_off(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads((RESULTS / f"{name}.json").read_text())["rows"]
    show(rows)
    said = capsys.readouterr().out
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= 80
    assert " ".join(said.split()).count(": hidden, and found again") == len(
        {_name(row) for row in rows if "hidden" in row}
    )


def test_what_was_found_and_the_bars_it_is_held_to(capsys: pytest.CaptureFixture[str]) -> None:
    hidden = {"method": "live", "kind": "quiet", "condition": "3%", "hidden": 4, "tp": 3, "fp": 2, "f1": 2 / 3}
    nothing = {"method": "live", "kind": "quiet", "condition": "untouched", "watched_s": 120.0, "false_events": 1}
    rows = [
        hidden | {"f1_interval": [0.3, 0.9], "bars": {"f1": {"bar": ">=0.9", "met": False, "by": -0.23}}},
        nothing | {"false_events_per_min": 0.5, "bars": {"false_events_per_min": {"bar": "<=0.5", "met": True}}},
    ]
    show(rows)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "quiet 3% 3/4 2 0.67 0.30-0.90" in lines
    assert "quiet 3%: F1 >=0.9 missed" in lines
    assert "quiet untouched 120.0 1 0.50" in lines
    assert "quiet untouched: false events a minute <=0.5 met" in lines


def test_a_row_of_no_footage_is_a_list_of_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    show([{"movements": 7}])
    assert {"movements", "7"} <= set(capsys.readouterr().out.split())


def _name(row: dict[str, object]) -> object:
    return row.get("variant") or row["method"]
