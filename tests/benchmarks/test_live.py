"""Scenarios ``live`` and ``soak``: real sessions on a short clip; the clock is ours where time matters."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.running import Prompt
from tsfmicro.benchmarks.live import run_live
from tsfmicro.benchmarks.paced import LoopedClip, PacedClip
from tsfmicro.benchmarks.soak import Sample, run_soak
from tsfmicro.benchmarks.stages import write_demo
from tsfmicro.values import Frame


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven frames."""
    return write_demo(tmp_path_factory.mktemp("clip") / "demo.mp4", 7)


class Clock:
    """Time passes only while somebody sleeps, or works."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def now(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now_s += seconds


def test_a_loop_goes_on_on_one_time_line(clip: Path) -> None:
    frames = list(LoopedClip(clip, "loop", 10.0, 17).frames())
    assert [frame.index for frame in frames] == list(range(17))
    assert [frame.t_s for frame in frames] == pytest.approx([index / 10 for index in range(17)])
    assert (frames[0].pixels == frames[7].pixels).all() and (frames[3].pixels == frames[10].pixels).all()
    assert not (frames[0].pixels == frames[1].pixels).all()
    assert {frame.source for frame in frames} == {"loop"}


def test_frames_are_handed_over_when_they_are_due(clip: Path) -> None:
    clock, handed_s = Clock(), list[tuple[float, Frame]]()
    for frame in PacedClip(clip, "paced", 10.0, 12, clock.now, clock.sleep).frames():
        handed_s.append((clock.now_s, frame))
    assert all(at_s == pytest.approx(frame.captured_s) for at_s, frame in handed_s)
    assert [frame.captured_s - handed_s[0][0] for _, frame in handed_s] == pytest.approx([i / 10 for i in range(12)])


def test_a_stall_is_paid_by_every_frame_it_delays(clip: Path) -> None:
    clock, waits_s = Clock(), []
    for frame in PacedClip(clip, "paced", 10.0, 10, clock.now, clock.sleep).frames():
        waits_s.append(clock.now_s - frame.captured_s)
        if frame.index == 3:
            clock.now_s += 0.35
    assert waits_s == pytest.approx([0, 0, 0, 0, 0.25, 0.15, 0.05, 0, 0, 0], abs=1e-6)


def test_live_runs_every_source_to_its_end_and_keeps_the_books(clip: Path) -> None:
    row = run_live([clip, clip], fps=20.0, duration_s=2.0, warm_up_s=1.0, recogniser=None)
    assert (row["sources"], row["captured"]) == (2, 80)
    assert 0 < row["n"] <= 40 and row["n"] >= 40 - row["dropped"]
    assert 0 < row["faces_per_frame"] <= 1
    assert row["p50_ms"] > 0 and row["p99_ms"] is None  # 40 frames cannot tell
    assert row["holds_deadline"] is False
    assert sum(count for _, count in row["histogram_ms"]["upper_edge_count"]) == row["n"]
    assert row["stages"]["spot"]["count"] > 0
    json.dumps(row, allow_nan=False)


@pytest.mark.parametrize("paced", [True, False])
def test_a_soak_watches_what_the_process_holds(clip: Path, tmp_path: Path, paced: bool) -> None:
    told: list[Sample] = []
    threads = threading.active_count()
    (row,) = run_soak([clip], 40.0, 3.0, paced, None, tmp_path / "events.jsonl", 0.1, told.append)
    assert row["captured"] == 120 and row["analysed"] + row["dropped"] == 120
    assert paced or row["dropped"] == 0
    assert len(told) >= row["samples"] >= 4
    assert row["threads_most"] >= row["threads_before"] and row["handles_most"] >= 3
    low, high = row["rss_slope_interval"]
    assert low <= row["rss_slope_mib_per_hour"] <= high
    assert row["rss_median_mib_last_third"] > 10
    assert ("p50_ms" in row) is paced
    assert '"session.end"' in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    assert threading.active_count() == threads
    json.dumps(row, allow_nan=False)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["live", "nowhere.mp4"], 3, "nowhere.mp4 is no file"),
        (["soak", "nowhere.mp4"], 3, "nowhere.mp4 is no file"),
        (["live", "--duration", "5", "--warm-up", "5"], 2, "nothing would be counted"),
    ],
)
def test_bad_input_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: list[str], code: int, says: str
) -> None:
    Prompt(monkeypatch, capfd)("tsf-bench", *words).assert_refused(code, says)
