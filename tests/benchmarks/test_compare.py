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


def result(seed: int, slower: float = 1.0, rounds: int = 15, **settings: Any) -> dict[str, Any]:
    """Rounds of a noisy machine: something timed beside another, which one of the two is slower in, and times alone."""
    rng = np.random.default_rng(seed)
    samples = {name: (10 * rng.normal(1, 0.05, rounds)).tolist() for name in ("ratio", "a ms", "b ms")}
    samples["ratio"] = [value * slower for value in samples["ratio"]]
    return {"scenario": "stages", "settings": settings, "rows": [{"what": "path", "samples": samples}]}


def live(seed: int, slower: float = 1.0, drift: float = 1.0, memory: float = 0.0, blocks: int = 11) -> dict[str, Any]:
    """A session: the same stretches of media cost the same each time; what the machine does on top follows itself."""
    content = np.random.default_rng(99).lognormal(2.0, 0.5, blocks)
    rng, noise, values = np.random.default_rng(seed), 0.0, []
    for cost in content:
        noise = memory * noise + rng.normal(0, 0.04)
        values.append(float(cost * slower * drift * np.exp(noise)))
    row = {"sources": 1, "fps": 30.0, "block_s": 5.0, "samples": {"p50_ms": values}}
    return {"scenario": "live", "settings": {}, "rows": [row]}


def verdicts(differences: list[Difference]) -> dict[str, str]:
    return {one.figure: one.verdict for one in differences}


def changed(differences: list[Difference]) -> list[tuple[str, str]]:
    return [(one.figure, one.verdict) for one in differences if one.changed]


def test_two_runs_of_the_same_are_not_distinguishable() -> None:
    found = [changed(compare(result(2 * seed), result(2 * seed + 1))) for seed in range(60)]
    assert sum(map(bool, found)) <= 3


@pytest.mark.parametrize(("slower", "verdict"), [(1.2, "higher"), (1 / 1.2, "lower")])
def test_a_fifth_is_found_and_nothing_else(slower: float, verdict: str) -> None:
    found = [changed(compare(result(2 * seed), result(2 * seed + 1, slower))) for seed in range(40)]
    assert sum(("ratio", verdict) in one for one in found) >= 38
    assert sum(len(one) > 1 for one in found) <= 2


def test_what_another_hour_does_to_a_time_is_not_the_code() -> None:
    """A run 8 % above another is significant where its own rounds agree, and yet no change; a ratio would be one."""
    before, after = result(1, rounds=60), result(2, rounds=60)
    for figure in ("ratio", "a ms"):
        after["rows"][0]["samples"][figure] = [1.08 * value for value in before["rows"][0]["samples"][figure]]
    assert verdicts(compare(before, after)) == {
        "ratio": "higher",
        "a ms": "within drift",
        "b ms": "no difference found",
    }


def test_stretches_of_the_same_media_are_pairs() -> None:
    """Their costs differ by far more than the slowdown; unpaired it is lost."""
    assert verdicts(compare(live(1), live(2, slower=1.2))) == {"p50_ms": "higher"}
    before, after = live(1), live(2, slower=1.2)
    for record in (before, after):
        del record["rows"][0]["block_s"]
    assert verdicts(compare(before, after)) == {"p50_ms": "no difference found"}


def test_blank_stretches_are_left_out_on_both_sides() -> None:
    before, after = live(1), live(2, slower=1.2)
    before["rows"][0]["samples"]["p50_ms"][0] = after["rows"][0]["samples"]["p50_ms"][1] = None
    (one,) = compare(before, after)
    assert (one.values, one.verdict) == (9, "higher")
    after["rows"][0]["samples"]["p50_ms"][2:6] = [None] * 4
    assert verdicts(compare(before, after)) == {"p50_ms": "too few rounds"}


def test_a_result_beside_itself() -> None:
    for record in (result(1), live(1), result(1, turns=15)):
        for one in compare(record, record):
            assert (one.ratio, one.verdict) == (1.0, "no difference found") and one.p == pytest.approx(1.0)


@pytest.mark.parametrize("memory", [0.0, 0.5])
def test_values_that_follow_each_other_count_for_fewer(memory: float) -> None:
    pairs = [
        compare(live(2 * n, memory=memory, blocks=96), live(2 * n + 1, memory=memory, blocks=96))[0] for n in range(60)
    ]
    assert bool(np.median([one.values for one in pairs]) < 60) is (memory > 0)
    assert sum(one.p < 0.05 for one in pairs) <= 9  # of 60; 18 where neighbours are taken for repeats
    assert sum(one.changed for one in pairs) <= 3


def test_turns_take_the_drift_out() -> None:
    """Both sides are measured while the machine slows down to a third; 5 % between them are found all the same."""
    drift = np.linspace(1.0, 3.0, 10)
    rng = np.random.default_rng(3)
    sides = []
    for slower in (1.0, 1.0, 1.05):
        record = result(1, turns=10)
        noisy = 10 * drift * slower * rng.normal(1, 0.01, 10)
        record["rows"][0]["samples"] = {"ms": noisy.tolist()}
        sides.append(record)
    same, other, slow = sides
    assert verdicts(compare(same, other)) == {"ms": "no difference found"}
    assert verdicts(compare(same, slow)) == {"ms": "higher"}


def test_the_ratio_and_its_interval_are_of_medians() -> None:
    a, b = result(1), result(1)
    b["rows"][0]["samples"]["a ms"] = [2 * value for value in a["rows"][0]["samples"]["a ms"]]
    by_figure = {one.figure: one for one in compare(a, b)}
    assert by_figure["a ms"].ratio == pytest.approx(2.0)
    low, high = by_figure["a ms"].interval
    assert 1.8 < low < 2.0 < high < 2.2
    assert by_figure["ratio"].ratio == 1.0 and by_figure["ratio"].p == pytest.approx(1.0)


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
        ({"rows": [{"what": "path", "samples": {"ratio": [0.0, 1.0]}}]}, "several times"),
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
    for name, seed, slower in (("a", 1, 1.0), ("b", 2, 1.0), ("c", 2, 1.2)):
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
    files = (tmp_path / "a.json", tmp_path / "c.json")
    assert prompt("tsf-bench", "--compare", *files, "--slo", "lower<=0").code == 0
    missed = prompt("tsf-bench", "--compare", *files, "--slo", "higher<=0")
    assert missed.code == 8 and "objective missed: higher<=0 (measured 1)" in missed.err
    prompt("tsf-bench", "--slo", "higher<=0").assert_refused(2, "needs --compare")
    table = prompt("tsf-bench", "--markdown", tmp_path / "a.json").out.splitlines()
    assert table[:3] == ["| what | n | p50_ms |", "|---|---|---|", "| path |  | 3.5 |"]
    commit = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["provenance"]["commit"]
    assert f"`tsf-bench stages`, {commit}, " in table[4]
    prompt("tsf-bench", "--compare", tmp_path / "a.json", tmp_path / "no.json").assert_refused(
        2, "no.json cannot be read"
    )


def test_the_command_alone_shows_help(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    assert "--compare" in Prompt(monkeypatch, capfd)("tsf-bench").out
