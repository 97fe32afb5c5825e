"""How a command ends when it is interrupted, fails, or its reader leaves."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from tests.running import Done, Prompt, environment, spawn
from tsfmicro import cli
from tsfmicro.errors import SourceError
from tsfmicro.realtime import commands
from tsfmicro.realtime.sources import SourceSpec
from tsfmicro.realtime.sources.demo import DemoSource
from tsfmicro.values import Frame

# --- 130, 1, and other ends -----------------------------------------------------------------------------------------


def test_control_c(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    def frames(self: DemoSource) -> Iterator[Frame]:
        for index in range(4):
            yield Frame(np.zeros((64, 96, 3), np.uint8), index, index / 60, 0.0, self.name)
        raise KeyboardInterrupt

    monkeypatch.setattr(DemoSource, "frames", frames)
    done = prompt.live("demo:", "--spot-only")
    assert done.code == 130
    assert (done.records[-1]["type"], done.records[-1]["reason"]) == ("session.end", "interrupted")
    assert done.records[-1]["frames"] == 4
    assert "Traceback" not in done.err


def test_control_c_is_answered(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    def frames(self: DemoSource) -> Iterator[Frame]:
        yield Frame(np.zeros((64, 96, 3), np.uint8), 0, 0.0, 0.0, self.name)
        raise KeyboardInterrupt

    monkeypatch.setattr(DemoSource, "frames", frames)
    assert prompt.live("demo:", "--spot-only").err == "interrupted; everything up to here is written\n"


def test_control_c_while_a_source_is_opened(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(name: str, spec: SourceSpec) -> NoReturn:
        signal.raise_signal(signal.SIGINT)  # while somebody waits for an answer
        raise SourceError(f"{name} did not answer within 5 s")

    monkeypatch.setattr(commands, "open_source", opened)
    done = prompt.live("rtsp://cam/live", "--spot-only")
    assert (done.code, done.out) == (130, "")
    assert "did not answer" not in done.err and "Traceback" not in done.err


def test_an_unexpected_failure_does_not_tell_passwords(
    prompt: Prompt, monkeypatch: pytest.MonkeyPatch, clip: Path
) -> None:
    def opened(name: str, spec: SourceSpec) -> NoReturn:
        raise RuntimeError(f"something about {name}")

    monkeypatch.setattr(commands, "open_source", opened)
    for debug in ("", "1"):
        monkeypatch.setenv(cli.DEBUG_VARIABLE, debug)
        done = prompt.live("rtsp://bob:S3cret@cam/live?token=S3cret", "--spot-only")
        assert done.code == 1 and "rtsp://cam/live?token=***" in done.err
        assert "S3cret" not in done.err and "bob" not in done.err
        assert ("Traceback" in done.err) == bool(debug)


def broken(max_faces: int) -> NoReturn:
    raise RuntimeError("the model would not load")


def test_the_unexpected_is_a_sentence(
    prompt: Prompt, monkeypatch: pytest.MonkeyPatch, clip: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(commands, "FaceMeshDetector", broken)
    done = prompt.live(clip, "--spot-only", "--events", tmp_path / "out.jsonl")
    done.assert_refused(1, "RuntimeError", "the model would not load", cli.DEBUG_VARIABLE)


def test_the_unexpected_has_a_traceback_for_who_asks(
    prompt: Prompt, monkeypatch: pytest.MonkeyPatch, clip: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv(cli.DEBUG_VARIABLE, "1")
    monkeypatch.setattr(commands, "FaceMeshDetector", broken)
    done = prompt.live(clip, "--spot-only", "--events", tmp_path / "out.jsonl")
    assert done.code == 1
    assert "Traceback (most recent call last)" in done.err and "in broken" in done.err
    assert done.err.splitlines()[-1].startswith("error: unexpected RuntimeError")


# --- true processes -------------------------------------------------------------------------------------------------


def test_a_process_ends_with_the_code(tmp_path: Path) -> None:
    command = spawn(tmp_path / "absent.mp4", "--spot-only")
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(), cwd=tmp_path, timeout=120
    )
    Done(done.returncode, done.stdout, done.stderr).assert_refused(3, "absent.mp4")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_interrupted_writes_its_end(tmp_path: Path, number: signal.Signals) -> None:
    events = tmp_path / "out.jsonl"
    command = spawn("demo:", "--spot-only", "--no-display", "--events", events)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path
    ) as process:
        while process.poll() is None and not (events.exists() and "face.new" in events.read_text(encoding="utf-8")):
            time.sleep(0.05)
        process.send_signal(number)
        try:
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # faulthandler shows where it hangs
            pytest.fail(f"still running a minute after Ctrl-C: {process.communicate()[1]}")
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    records = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    assert [record["type"] for record in records[-2:]] == ["stats", "session.end"]
    assert records[-1]["reason"] == "interrupted"


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash to build the pipe with")
def test_a_reader_that_leaves_is_no_error(clip: Path, tmp_path: Path) -> None:
    done = piped_into_head(clip, tmp_path)
    assert json.loads(done.stdout)["type"] == "session.start"
    assert "error" not in done.stderr.lower() and "Traceback" not in done.stderr and "Exception" not in done.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash to build the pipe with")
def test_a_reader_that_leaves_has_exit_code_0(clip: Path, tmp_path: Path) -> None:
    assert piped_into_head(clip, tmp_path).returncode == 0


def piped_into_head(clip: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """``tsf-live CLIP | head -n 1``, with the exit code of tsf-live."""
    pipe = '"$@" | head -n 1; exit "${PIPESTATUS[0]}"'
    command = ["bash", "-c", pipe, "bash", *spawn(clip, "--spot-only", "--no-display")]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(), cwd=folder, timeout=120
    )
