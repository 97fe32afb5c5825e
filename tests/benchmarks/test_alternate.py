"""Two checkouts in turns: order, what is kept, the planted slowdown, and what was found with real runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.running import Prompt
from tsfmicro.benchmarks import alternate as module
from tsfmicro.benchmarks.alternate import Arm, TurnError, alternate, measure
from tsfmicro.benchmarks.compare import compare
from tsfmicro.benchmarks.figures import read_result
from tsfmicro.benchmarks.slowed import slow_down
from tsfmicro.errors import UsageError
from tsfmicro.realtime.pipeline import EventRecogniser

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "benchmarks" / "results" / "compare"
ARMS = (Arm("before", ROOT), Arm("after", ROOT, 20.0))


class Machine:
    """Every run takes longer than the one before it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, arm: Arm, words: Sequence[str]) -> dict[str, Any]:
        self.asked.append(arm.name)
        ms = len(self.asked) * (1 + arm.slowed_percent / 100)
        rows = [
            {"what": "path", "fps": 30.0, "median_ms": ms, "samples": {"ms": [ms - 0.5, ms, ms + 9.0]}},
            {"what": "no samples", "median": 3.0},
        ]
        made = {"commit": arm.name, "load_average_1min": float(len(self.asked))}
        return {
            "schema": "tsf.bench/1",
            "scenario": words[0],
            "settings": {"rounds": 3},
            "provenance": made,
            "rows": rows,
        }


def test_sides_take_turns_in_changing_order_and_a_turn_is_one_value() -> None:
    machine = Machine()
    told: list[int] = []
    before, after = alternate(ARMS, ["stages"], 3, machine, told.append)
    assert machine.asked == ["before", "after", "after", "before", "before", "after"]
    assert told == [0, 1, 2]
    assert before["rows"] == [{"what": "path", "fps": 30.0, "samples": {"ms": [1.0, 4.0, 5.0]}}]
    assert after["rows"][0]["samples"]["ms"] == pytest.approx([2 * 1.2, 3 * 1.2, 6 * 1.2])
    assert before["settings"] == after["settings"] == {"rounds": 3, "turns": 3}
    assert (after["provenance"]["commit"], after["provenance"]["slowed_percent"]) == ("after", 20.0)
    assert after["provenance"]["load_average_1min"] == 3.0


def test_turns_that_do_not_run_the_same_are_refused() -> None:
    machine = Machine()

    def changing(arm: Arm, words: Sequence[str]) -> dict[str, Any]:
        record = machine(arm, words)
        record["rows"][0]["fps"] = float(len(machine.asked))
        return record

    with pytest.raises(UsageError, match="a turn lacks the row"):
        alternate(ARMS, ["stages"], 2, changing)


def test_a_turn_is_a_process_of_the_checkout(prompt: Prompt) -> None:
    with pytest.raises(TurnError, match=r"nowhere\.mp4 in before ended with 3: error: nowhere"):
        measure(Arm("before", ROOT), ["offline", "nowhere.mp4"])
    prompt("tsf-bench", "alternate", ROOT, ROOT / "tests", "--out", "x", "--", "stages").assert_refused(
        2, "is no checkout"
    )


def test_the_command_leaves_both_sides_and_holds_them_to_an_objective(
    prompt: Prompt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine()
    monkeypatch.setattr(module.alternate, "__defaults__", (machine, module.alternate.__defaults__[1]))  # type: ignore[index]
    words = ["alternate", ROOT, ROOT, "--turns", 6, "--slowed", 900, "--out", tmp_path, "--slo", "higher<=0"]
    done = prompt("tsf-bench", *words, "--", "stages", "demo:")
    assert done.code == 8 and "1 of 1 figures changed" in done.err, done.err
    assert read_result(tmp_path / "after.json")["provenance"]["slowed_percent"] == 900.0
    assert prompt("tsf-bench", "--compare", tmp_path / "before.json", tmp_path / "after.json").code == 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Time passes by a millisecond with every look, and by ten with a frame."""
    now_s = [0.0]

    def look() -> float:
        now_s[0] += 0.001
        return now_s[0]

    def observe(path: EventRecogniser, frame: object) -> str:
        now_s[0] += 0.010
        return "seen"

    monkeypatch.setattr(EventRecogniser, "observe", observe)
    back = slow_down(20.0, look)
    yield now_s
    back()


def test_a_planted_slowdown_is_a_share_of_the_frame_and_of_what_came_before_it(clock: list[float]) -> None:
    path: Any = EventRecogniser("clip", None)  # type: ignore[arg-type]
    assert path.observe(None) == "seen"
    first_s = clock[0]
    assert first_s == pytest.approx(0.011 * 1.2, abs=0.003)
    clock[0] += 0.090  # decoding
    path.observe(None)
    assert clock[0] - first_s == pytest.approx(0.100 * 1.2, abs=0.004)
    clock[0] += 9.0
    EventRecogniser("next", None).observe(None)  # type: ignore[arg-type]
    assert clock[0] - first_s < 9.0 + 0.14  # what lies before the first frame of another path is nobody's


def recorded(name: str) -> dict[str, Any]:
    if not RECORDED.is_dir():
        pytest.skip("not measured yet: docs/benchmarks.md, section compare")
    return read_result(RECORDED / f"{name}.json", "tsf-bench alternate")


def test_the_same_commit_was_not_told_from_itself() -> None:
    before, after = recorded("same/before"), recorded("same/after")
    assert before["provenance"]["commit"] == after["provenance"]["commit"]
    assert before["provenance"]["slowed_percent"] == after["provenance"]["slowed_percent"] == 0
    differences = compare(before, after)
    assert len(differences) >= 3 and not any(one.changed for one in differences)
    assert all(one.values >= 6 for one in differences)


def test_a_planted_fifth_was_found_where_it_was_planted() -> None:
    before, after = recorded("slowed/before"), recorded("slowed/after")
    assert (before["provenance"]["slowed_percent"], after["provenance"]["slowed_percent"]) == (0, 20.0)
    found = {(one.row, one.figure): one for one in compare(before, after)}
    for figure in (("decode to spotter", "ms_per_frame"), ("ratio", "ratio")):
        assert found[figure].verdict == "higher"
        assert found[figure].interval[0] < 1.2 * 1.04 and found[figure].interval[1] > 1.2 * 0.96
    assert not found["landmark model alone picture=640x480", "ms_per_frame"].changed
