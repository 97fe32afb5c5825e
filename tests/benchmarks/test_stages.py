"""Scenario ``stages``: three rows, over frames that were really processed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from tests.factories import astronaut
from tsfmicro.benchmarks import commands
from tsfmicro.benchmarks import stages as scenario
from tsfmicro.benchmarks.stages import run_stages
from tsfmicro.errors import TsfError


def test_three_rows_with_positive_numbers() -> None:
    alone, whole, ratio = run_stages("demo:", rounds=1, max_frames=12)
    assert [row["what"] for row in (alone, whole, ratio)] == ["landmark model alone", "decode to spotter", "ratio"]
    assert alone["frames"] == whole["frames"] == 12
    assert alone["median_ms_per_frame"] > 0
    assert whole["median_ms_per_frame"] > 0
    assert whole["frames_per_s"] == pytest.approx(1e3 / whole["median_ms_per_frame"], rel=0.05)
    assert 0 < ratio["min"] == ratio["median"] == ratio["max"]
    assert ratio["rounds"] == 1
    assert whole["stages"]
    assert all(stage["count"] > 0 and stage["p50_ms"] > 0 for stage in whole["stages"].values())
    assert whole["stages"]["decode"]["count"] == 11  # the first frame loads the models
    assert alone["picture"] == "640x480"
    json.dumps([alone, whole, ratio], allow_nan=False)


def test_ratios_are_taken_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    alone_ms, whole_ms = iter([1.0, 2.0, 4.0]), iter([3.0, 4.0, 20.0])
    monkeypatch.setattr(scenario, "_landmarks_ms", lambda *_: next(alone_ms))
    monkeypatch.setattr(scenario, "_path_ms", lambda *_: next(whole_ms))
    alone, whole, ratio = run_stages("demo:", rounds=3, max_frames=2)
    assert (alone["median_ms_per_frame"], whole["median_ms_per_frame"], whole["frames_per_s"]) == (2.0, 4.0, 250.0)
    assert (ratio["median"], ratio["min"], ratio["max"], ratio["rounds"]) == (3.0, 2.0, 5.0, 3)


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
