"""Scenario ``stages``: costs and their ratios, over frames that were really processed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from tests.factories import astronaut
from tsfmicro.benchmarks import commands
from tsfmicro.benchmarks import stages as scenario
from tsfmicro.benchmarks.stages import Cost, run_stages
from tsfmicro.errors import TsfError
from tsfmicro.realtime.events import Event
from tsfmicro.realtime.pipeline import EventRecogniser
from tsfmicro.values import Frame

WHATS = [
    "landmark model alone",
    "decode to spotter",
    "ratio",
    "decode to spotter, one thread",
    "ratio, one thread",
    "ratio, processor time",
]


def test_rows_with_positive_numbers() -> None:
    rows = run_stages("demo:", rounds=1, max_frames=12)
    assert [row["what"] for row in rows] == WHATS
    alone, path, _, single, *_ = rows
    for cost in (alone, path, single):
        assert cost["frames"] == 12
        assert cost["median_ms_per_frame"] > 0
        assert cost["processor_ms_per_frame"] > 0
    for way in (path, single):
        assert way["frames_per_s"] == pytest.approx(1e3 / way["median_ms_per_frame"], rel=0.05)
        assert all(stage["count"] > 0 and stage["p50_ms"] > 0 for stage in way["stages"].values())
        assert (
            way["stages"]["spot"]["count"] == 12
        )  # the first is analysed before the clock runs, since it loads models
        assert way["stages"]["decode"]["count"] >= 11
    for row in rows:
        if row["what"].startswith("ratio"):
            assert 0 < row["min"] == row["median"] == row["max"]
            assert row["rounds"] == 1
    assert alone["picture"] == "640x480"
    json.dumps(rows, allow_nan=False)


def test_ratios_are_taken_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    def scripted(name: str, *costs: tuple[float, float]) -> None:
        left = iter(costs)
        monkeypatch.setattr(scenario, name, lambda *_: Cost(*next(left)))

    scripted("_landmarks_cost", (1.0, 1.0), (2.0, 4.0), (4.0, 2.0))
    scripted("_path_cost", (3.0, 6.0), (4.0, 8.0), (20.0, 10.0))
    scripted("_single_thread_cost", (4.0, 9.0), (5.0, 9.0), (32.0, 9.0))
    rows = {row["what"]: row for row in run_stages("demo:", rounds=3, max_frames=2)}
    alone, path, single = rows[WHATS[0]], rows[WHATS[1]], rows[WHATS[3]]
    assert (alone["median_ms_per_frame"], alone["processor_ms_per_frame"]) == (2.0, 2.0)
    assert (path["median_ms_per_frame"], path["processor_ms_per_frame"], path["frames_per_s"]) == (4.0, 8.0, 250.0)
    assert (single["median_ms_per_frame"], single["frames_per_s"]) == (5.0, 200.0)
    ratios = {what: tuple(rows[what][figure] for figure in ("median", "min", "max", "rounds")) for what in WHATS[2::2]}
    assert ratios == {"ratio": (3.0, 2.0, 5.0, 3), "ratio, one thread": (4.0, 2.5, 8.0, 3)}
    assert tuple(rows["ratio, processor time"][figure] for figure in ("median", "min", "max")) == (5.0, 2.0, 6.0)


def test_both_ways_analyse_every_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []

    class Watched(EventRecogniser):
        def __init__(self, *args: Any, **others: Any) -> None:
            super().__init__(*args, **others)
            seen.append([])

        def process(self, frame: Frame) -> list[Event]:
            seen[-1].append(frame.index)
            return []

    monkeypatch.setattr(scenario, "EventRecogniser", Watched)
    monkeypatch.setattr(scenario, "_landmarks_cost", lambda _: Cost(1.0, 1.0))
    clip = scenario.write_demo(tmp_path / "demo.mp4", 25)
    run_stages(str(clip), rounds=2, max_frames=20)
    assert seen == [list(range(20))] * 4


def test_a_clip_is_read_no_further_than_asked_for(tmp_path: Path) -> None:
    clip = scenario.write_demo(tmp_path / "demo.mp4", 5)
    assert [frame.index for frame in scenario._frames(str(clip), 3)] == [0, 1, 2]
    assert len(scenario._frames(str(clip), 9)) == 5


def test_stages_command_records_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def stub(name: str, rounds: int, max_frames: int) -> list[dict[str, Any]]:
        asked.append((name, rounds, max_frames))
        return [{"what": "ratio", "median": 1.5, "stages": {"landmarks": {}}}]

    monkeypatch.setattr(commands, "run_stages", stub)
    clip, result = str(tmp_path / "private" / "clip.mp4"), tmp_path / "r.json"
    words = ["stages", clip, "--rounds", "2", "--max-frames", "11", "--json", str(result)]
    commands.app(words, standalone_mode=False)
    assert asked == [(clip, 2, 11)]
    record = json.loads(result.read_text())
    assert record["settings"] == {"source": "clip.mp4", "rounds": 2, "max_frames": 11}
    assert record["rows"][0]["median"] == 1.5
    assert "private" not in result.read_text()


def test_a_source_too_short_to_time_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), astronaut().pixels[..., ::-1])

    with pytest.raises(TsfError):
        run_stages(str(tmp_path / "one.png"), 1, 10)
