"""Two results beside each other: what changed is found, what did not is left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.running import Prompt
from tsfmicro.benchmarks.compare import Difference, compare
from tsfmicro.benchmarks.provenance import write_result
from tsfmicro.errors import UsageError


def result(seed: int, slower: float = 1.0, rounds: int = 9, figures: int = 3) -> dict[str, Any]:
    """Rows with figures of a noisy machine; one of them slower."""
    rng = np.random.default_rng(seed)
    names = [f"figure {number}" for number in range(figures)]
    samples = {name: (10 * rng.normal(1, 0.05, rounds)).tolist() for name in names}
    samples[names[0]] = [value * slower for value in samples[names[0]]]
    return {"scenario": "stages", "settings": {"rounds": rounds}, "rows": [{"what": "path", "samples": samples}]}


def changed(differences: list[Difference]) -> list[tuple[str, str]]:
    return [(one.figure, one.verdict) for one in differences if one.verdict in ("lower", "higher")]


def test_two_runs_of_the_same_are_not_distinguishable() -> None:
    found = [changed(compare(result(2 * seed), result(2 * seed + 1))) for seed in range(60)]
    assert sum(map(bool, found)) <= 6  # five in a hundred, all figures together


@pytest.mark.parametrize(("slower", "verdict"), [(1.2, "higher"), (1 / 1.2, "lower")])
def test_a_fifth_is_found_and_nothing_else(slower: float, verdict: str) -> None:
    found = [changed(compare(result(2 * seed), result(2 * seed + 1, slower))) for seed in range(40)]
    assert sum(("figure 0", verdict) in one for one in found) >= 38
    assert sum(len(one) > 1 for one in found) <= 4


def test_the_ratio_and_its_interval_are_of_medians() -> None:
    a, b = result(1), result(1)
    b["rows"][0]["samples"]["figure 1"] = [2 * value for value in a["rows"][0]["samples"]["figure 1"]]
    by_figure = {one.figure: one for one in compare(a, b)}
    assert by_figure["figure 1"].ratio == pytest.approx(2.0)
    low, high = by_figure["figure 1"].interval
    assert 1.8 < low < 2.0 < high < 2.2
    assert by_figure["figure 0"].ratio == 1.0 and by_figure["figure 0"].p == pytest.approx(1.0)


def test_few_rounds_say_nothing() -> None:
    assert {one.verdict for one in compare(result(1, rounds=3), result(2, 9.0, rounds=3))} == {"too few rounds"}


def test_rows_are_matched_by_what_they_are_about() -> None:
    a, b = result(1), result(2)
    a["rows"] = [{**a["rows"][0], "fps": fps, "p50_ms": 1.0} for fps in (30.0, 60.0)]
    b["rows"] = [{**b["rows"][0], "fps": fps, "p50_ms": 9.0} for fps in (60.0, 120.0)]
    assert {one.row for one in compare(a, b)} == {"path fps=60.0"}


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"scenario": "live"}, "differ in scenario"),
        ({"settings": {"rounds": 1}}, "differ in settings"),
        ({"rows": [{"what": "path", "p50_ms": 3.0}]}, "several times"),
        ({"rows": [{"what": "path", "samples": 240}]}, "several times"),  # as soak counts its looks
    ],
)
def test_unlike_is_not_compared(other: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        compare(result(1), result(2) | other)


def test_the_command_shows_the_verdicts_and_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, seed, slower in (("a", 1, 1.0), ("b", 2, 1.0), ("c", 2, 1.5)):
        made = result(seed, slower)
        write_result(
            tmp_path / f"{name}.json", "stages", [{**made["rows"][0], "n": None, "p50_ms": 3.5}], made["settings"]
        )
    monkeypatch.setenv("COLUMNS", "200")
    prompt = Prompt(monkeypatch, capfd)
    same = prompt("tsf-bench", "--compare", tmp_path / "a.json", tmp_path / "b.json")
    assert same.code == 0 and "not distinguishable" in same.err and "no difference found" in same.out
    slower_one = prompt("tsf-bench", "--compare", tmp_path / "a.json", tmp_path / "c.json")
    assert "1 of 3 figures changed" in slower_one.err and "higher" in slower_one.out
    table = prompt("tsf-bench", "--markdown", tmp_path / "a.json").out.splitlines()
    assert table[:3] == ["| what | n | p50_ms |", "|---|---|---|", "| path |  | 3.5 |"]
    commit = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["provenance"]["commit"]
    assert f"`tsf-bench stages`, {commit}, " in table[4]
    prompt("tsf-bench", "--compare", tmp_path / "a.json", tmp_path / "no.json").assert_refused(
        2, "no.json cannot be read"
    )


def test_the_command_alone_shows_help(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    assert "--compare" in Prompt(monkeypatch, capfd)("tsf-bench").out
