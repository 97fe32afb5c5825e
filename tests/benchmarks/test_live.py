"""Scenarios of the live path: real sessions on a short clip; the clock is ours where time matters."""

from __future__ import annotations

import json
import threading
import tracemalloc
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.running import Prompt
from tsfmicro.benchmarks import soak
from tsfmicro.benchmarks.coldstart import ColdStartError, run_coldstart
from tsfmicro.benchmarks.live import by_block, run_live
from tsfmicro.benchmarks.offline import run_offline
from tsfmicro.benchmarks.paced import LoopedClip, PacedClip
from tsfmicro.benchmarks.packed import Packed
from tsfmicro.benchmarks.soak import Sample, run_soak
from tsfmicro.benchmarks.stages import write_demo
from tsfmicro.benchmarks.streams import run_streams
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


def test_blocks_are_stretches_of_media_after_the_warm_up() -> None:
    """Three blocks of 100 frames at 20 frames/s, one of which lost most of its frames, and a rest that is not used."""
    media_s = [5.0 + n / 20 for n in range(320) if not 100 <= n < 190]
    latencies_ms = [1.0 if t_s < 10.0 else 2.0 if t_s < 15.0 else 3.0 if t_s < 20.0 else 99.0 for t_s in media_s]
    found = by_block(media_s, latencies_ms, warm_up_s=5.0, duration_s=21.0)
    assert found == {"p50_ms": [1.0, None, 3.0], "p90_ms": [1.0, None, 3.0]}


def test_live_runs_every_source_to_its_end_and_keeps_the_books(clip: Path) -> None:
    row = run_live([clip, clip], fps=20.0, duration_s=2.0, warm_up_s=1.0, recogniser=None)
    assert (row["sources"], row["captured"]) == (2, 80)
    assert 0 < row["n"] <= 40 and row["n"] >= 40 - row["dropped"]
    assert 0 < row["faces_per_frame"] <= 1
    assert row["p50_ms"] > 0 and row["p99_ms"] is None  # 40 frames cannot tell
    assert row["holds_deadline"] is False and row["samples"] == {"p50_ms": [], "p90_ms": []}  # no stretch is full
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
    assert row["threads_most"] > row["threads_before"] == row["threads_after"]  # also where this test runs alone
    assert row["handles_most"] > 3 and row["handles_after"] == row["handles_before"]
    assert row["warm_up_share"] == 0.333
    low, high = row["rss_slope_interval"]
    assert low <= row["rss_slope_mib_per_hour"] <= high
    assert row["rss_median_mib_last_third"] > 10
    assert 10 < told[-1].anonymous_mib < told[-1].rss_mib and told[-1].python_blocks > 100_000
    for name, unit in (("anonymous", "mib"), ("python", "blocks")):
        low, high = row[f"{name}_slope_interval"]
        assert low <= row[f"{name}_slope_{unit}_per_hour"] <= high
    ((minute, anonymous_mib, in_use_mib),) = row["series"]["minute_anonymous_in_use_mib"]
    assert (minute, anonymous_mib) == (0, pytest.approx(median(one.anonymous_mib for one in told), abs=0.01))
    if told[-1].in_use_mib is not None:  # glibc
        assert 10 < told[-1].in_use_mib < told[-1].rss_mib
        low, high = row["in_use_slope_interval"]
        assert low <= row["in_use_slope_mib_per_hour"] <= high
        assert in_use_mib == pytest.approx(median(one.in_use_mib or 0.0 for one in told), abs=0.01)
    assert ("p50_ms" in row) is paced
    assert '"session.end"' in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    assert threading.active_count() == threads
    json.dumps(row, allow_nan=False)


def test_where_there_is_no_glibc_what_is_in_use_stays_blank(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "_mallinfo", lambda: None)
    (row,) = run_soak([clip], 40.0, 1.0, False, None, tmp_path / "events.jsonl", 0.05)
    assert row["in_use_slope_mib_per_hour"] is None and row["in_use_slope_interval"] == [None, None]
    assert row["rss_slope_mib_per_hour"] is not None
    assert all(in_use_mib is None for _, _, in_use_mib in row["series"]["minute_anonymous_in_use_mib"])


def test_numbers_beyond_the_room_take_as_much_again() -> None:
    packed = Packed(2)
    for value in range(5):
        packed.append(value / 2)
    assert packed.values == [0.0, 0.5, 1.0, 1.5, 2.0] and len(packed) == 5


def test_numbers_within_the_room_take_no_memory() -> None:
    packed, value = Packed(20_000), 0.5
    packed.append(value)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(10_000):
            packed.append(value)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1_000


class Machine:
    """Takes so many sources in time; beyond, it drops or is late."""

    def __init__(self, capacity: int, fails: dict[str, Any]) -> None:
        self.capacity, self.fails, self.asked = capacity, fails, list[int]()

    def __call__(self, clips: list[Path], fps: float, *_: object) -> dict[str, Any]:
        self.asked.append(len(clips))
        row = {"sources": len(clips), "fps": fps, "captured": 3000, "dropped": 3, "p50_ms": 9.0, "block_s": 5.0}
        row["p99_ms"] = 30.0 + len(self.asked) / 99
        return row | self.fails if len(clips) > self.capacity else row


@pytest.mark.parametrize("fails", [{"p99_ms": 33.4}, {"p99_ms": None}, {"dropped": 4}])
def test_streams_goes_on_until_a_number_does_not_hold(fails: dict[str, Any]) -> None:
    machine = Machine(2, fails)
    *rows, largest = run_streams(Path("clip.mp4"), 30.0, 45.0, 5.0, 3, None, machine)
    assert largest == {"what": "largest number that holds", "fps": 30.0, "sources_held": 2}
    assert [(row["sources"], row["holds"], row["repeats"]) for row in rows] == [
        (1, True, 3),
        (2, True, 3),
        (3, False, 1),
    ]
    assert machine.asked == [1, 1, 1, 2, 2, 2, 3]
    assert rows[1]["p99_ms"] == pytest.approx(30.0 + 6 / 99)  # the worst of the repeats
    assert (
        rows[1]["samples"]["p99_ms"] == pytest.approx([30.0 + n / 99 for n in (4, 5, 6)]) and "block_s" not in rows[1]
    )


def test_offline_reads_every_frame_and_reports_the_clips_own_rate(clip: Path) -> None:
    (row,) = run_offline([clip], rounds=1, recogniser=None)
    assert (row["clip"], row["frames"], row["faces"]) == ("demo.mp4", 7, 1)
    assert row["fps_of_clip"] == pytest.approx(60.0, rel=0.01)
    assert row["frames_per_s"] == pytest.approx(7 / row["wall_s"], rel=0.02)
    assert row["times_real_time"] == pytest.approx(row["frames_per_s"] / 60, rel=0.02, abs=0.006)
    assert row["stages"]["spot"]["count"] > 0


def test_a_cold_start_passes_its_steps_in_order(clip: Path) -> None:
    first, again = run_coldstart(clip, rounds=2)
    steps = ["interpreter_s", "imports_s", "bundle_verified_s", "recogniser_loaded_s", "first_face_s"]
    for row in (first, again):
        times_s = [row[step] for step in steps]
        assert times_s == sorted(times_s) and times_s[0] > 0
    assert again["rounds"] == 1


def test_a_process_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(ColdStartError, match="ended with"):
        run_coldstart(tmp_path / "nowhere.mp4", rounds=2)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["live", "nowhere.mp4"], 3, "nowhere.mp4 is no file"),
        (["soak", "nowhere.mp4"], 3, "nowhere.mp4 is no file"),
        (["offline", "nowhere.mp4"], 3, "nowhere.mp4 is no file"),
        (["coldstart", "nowhere.mp4"], 3, "nowhere.mp4 is no file"),
        (["streams", "--duration", "20"], 2, "too few frames for a p99"),
        (["live", "--duration", "5", "--warm-up", "5"], 2, "nothing would be counted"),
    ],
)
def test_bad_input_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: list[str], code: int, says: str
) -> None:
    Prompt(monkeypatch, capfd)("tsf-bench", *words).assert_refused(code, says)
