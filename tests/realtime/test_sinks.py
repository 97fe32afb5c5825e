"""What a run leaves behind: event lines, the annotated video, the timeline."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tsfmicro.errors import ContractError, UsageError
from tsfmicro.realtime.events import FaceLost, SessionEnd
from tsfmicro.realtime.sinks import JsonLinesSink
from tsfmicro.realtime.sources import FileSource
from tsfmicro.realtime.timeline import Span, Trace, write_timeline
from tsfmicro.realtime.video import AnnotatedVideoWriter
from tsfmicro.values import Moment, UInt8Array

LOST = FaceLost("clip-é.mp4", 1, Moment(3, 0.1))
END = SessionEnd(1, 0, 1, 0, 0, 0.1, "end_of_source")


def picture(step: int, width: int = 160, height: int = 120) -> UInt8Array:
    """A smooth gradient with a bar that moves: easy to compress, easy to tell apart."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)
    pixels[:, (step * 5) % width : (step * 5) % width + 8] = 255
    return pixels


# --- events ---------------------------------------------------------------------------------------------------------


def test_lines_are_flushed_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folders" / "events.jsonl"
    with JsonLinesSink(path) as sink:
        assert path.exists()
        sink.write(LOST, 0)
        assert path.read_bytes().count(b"\n") == 1  # while still open
        sink.write(END, 1)
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(r["seq"], r["type"]) for r in records] == [(0, "face.lost"), (1, "session.end")]
    assert records[0]["source"] == "clip-é.mp4"
    sink.close()


def test_the_same_events_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with JsonLinesSink(tmp_path / name) as sink:
            sink.write(LOST, 0)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_dash_is_standard_output_and_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with JsonLinesSink("-") as sink:
        sink.write(END, 0)
    assert json.loads(stream.getvalue())["type"] == "session.end"
    assert not stream.closed


def test_paths_that_cannot_be_written_are_usage_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="it is a folder"):
        JsonLinesSink(tmp_path)
    with pytest.raises(UsageError, match="events cannot be written"):
        JsonLinesSink(tmp_path / "file" / "events.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full to play a full disk")
def test_a_full_disk_is_told() -> None:
    sink = JsonLinesSink("/dev/full")
    with pytest.raises(UsageError, match="No space left"):
        sink.write(END, 0)


# --- annotated video ------------------------------------------------------------------------------------------------


def test_video_keeps_variable_times_and_pads_odd_sizes(tmp_path: Path) -> None:
    times = np.cumsum([0.0] + [0.0137, 0.0417, 0.05, 0.02] * 10)
    path = tmp_path / "new" / "out.mp4"
    with AnnotatedVideoWriter(path, 30) as writer:
        for step, t_s in enumerate(times):
            writer.write(picture(step, 161, 121), float(t_s))
    with FileSource(path) as source:
        frames = list(source.frames())
    assert [f.t_s for f in frames] == pytest.approx(times, abs=1e-4)
    assert frames[0].pixels.shape == (122, 162, 3)
    assert np.abs(frames[9].pixels[:121, :161].astype(int) - picture(9, 161, 121)).mean() < 6


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_other_containers_keep_every_frame(tmp_path: Path, suffix: str) -> None:
    with AnnotatedVideoWriter(tmp_path / f"out{suffix}", 30) as writer:
        for step in range(20):
            writer.write(picture(step), step / 30)
    with FileSource(tmp_path / f"out{suffix}") as source:
        assert [f.t_s for f in source.frames()] == pytest.approx(np.arange(20) / 30, abs=1e-3)


def test_another_size_is_fitted_between_bars(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    white = np.full((200, 100, 3), 255, dtype=np.uint8)
    with AnnotatedVideoWriter(path, 30) as writer:
        writer.write(picture(0), 0.0)
        writer.write(white, 0.1)
    with FileSource(path) as source:
        second = list(source.frames())[1].pixels
    assert second.shape == (120, 160, 3)
    assert second[:, :40].max() < 30 and second[:, 60:100].min() > 220


def test_an_exception_leaves_a_playable_file(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt), AnnotatedVideoWriter(path, 30) as writer:
        for step in range(10):
            writer.write(picture(step), step / 30)
        raise KeyboardInterrupt
    with FileSource(path) as source:
        assert len(list(source.frames())) == 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to kill a writer half way")
def test_a_killed_writer_leaves_a_playable_file(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    program = (
        "import os, numpy as np\n"
        "from tsfmicro.realtime.video import AnnotatedVideoWriter\n"
        f"writer = AnnotatedVideoWriter({str(path)!r}, 30)\n"
        "for i in range(240): writer.write(np.full((64, 64, 3), i, np.uint8), i / 30)\n"
        "os._exit(9)\n"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", program]) == 9
    with FileSource(path) as source:
        assert 60 <= len(list(source.frames())) < 240


def test_no_picture_leaves_no_file(tmp_path: Path) -> None:
    with AnnotatedVideoWriter(tmp_path / "out.mp4", 30):
        pass
    assert not (tmp_path / "out.mp4").exists()


def test_bad_video_requests_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a name ending in \.mp4"):
        AnnotatedVideoWriter(tmp_path / "out.jsonl", 30)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(UsageError, match="it is a folder"):
        AnnotatedVideoWriter(tmp_path / "folder.mp4", 30)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot be written"):
        AnnotatedVideoWriter(tmp_path / "file" / "out.mp4", 30)
    with AnnotatedVideoWriter(tmp_path / "out.mp4", 30) as writer:
        writer.write(picture(0), 0.5)
        with pytest.raises(ContractError, match="expected increasing times"):
            writer.write(picture(1), 0.5)
        with pytest.raises(ContractError, match="pixels_rgb"):
            writer.write(np.zeros((4, 4), dtype=np.uint8), 0.6)


# --- timeline -------------------------------------------------------------------------------------------------------


def scene(seconds: float) -> tuple[Trace, list[Span], list[Span]]:
    t_s = np.arange(0, seconds, 1 / 30)
    trace = Trace(1, t_s, 1 + np.sin(t_s) ** 2, 5.0)
    events = [Span(1, 1.0, 1.1, 1.4, "happiness", "event", "0.87"), Span(1, 2.0, 2.1, 2.3, "", "rejected", "blink")]
    return trace, events, [Span(1, 1.0, 1.1, 1.4, "happiness", "truth", "")]


@pytest.mark.parametrize("seconds", [5.0, 120.0])
def test_timeline_is_written_and_shows_what_it_is_given(tmp_path: Path, seconds: float) -> None:
    trace, events, truth = scene(seconds)
    write_timeline(tmp_path / "new" / "all.png", [trace], events, truth, "clip.mp4")
    write_timeline(tmp_path / "bare.png", [trace], [], None, "clip.mp4")
    full, bare = cv2.imread(str(tmp_path / "new" / "all.png")), cv2.imread(str(tmp_path / "bare.png"))
    assert full.shape[1] >= 1000
    assert full.shape[0] > bare.shape[0]  # the strip of truth
    saturation = [int((np.ptp(image.astype(int), axis=2) > 60).sum()) for image in (full, bare)]
    assert saturation[0] > saturation[1] + 200  # coloured spans


def test_timeline_is_reproducible_and_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trace, events, truth = scene(8.0)
    for name in ("a.png", "b.png"):
        write_timeline(tmp_path / name, [trace], events, truth, "clip.mp4")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert capfd.readouterr() == ("", "")


def test_timeline_of_odd_runs(tmp_path: Path) -> None:
    stray = Span(9, 0.5, 0.6, 0.7, "fear", "truth", "")
    write_timeline(tmp_path / "empty.png", [], [], None, "")
    write_timeline(tmp_path / "stray.png", [Trace(1, [], [], 5.0)], [], [stray], "")
    write_timeline(tmp_path / "one.png", [Trace(1, [0.0], [float("nan")], 5.0)], [], None, "")
    write_timeline(tmp_path / "crowd.png", [Trace(n, [0.0, 1.0], [1.0, 2.0], 5.0) for n in range(20)], [], None, "")
    assert len(list(tmp_path.glob("*.png"))) == 4


def test_timeline_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="expected them in this order"):
        Span(1, 1.0, 0.9, 1.4, "happiness", "event", "")
    with pytest.raises(ContractError, match="2 times and 1 scores"):
        Trace(1, [0.0, 1.0], [1.0], 5.0)
    with pytest.raises(UsageError, match="timeline cannot be written"):
        write_timeline(tmp_path, [], [], None, "")
