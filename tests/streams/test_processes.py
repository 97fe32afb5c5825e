"""The command against a real server, in a process of its own: what it writes, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.running import environment, spawn
from tests.streams.conftest import Serve
from tests.streams.serving import PATIENCE_S
from tsfmicro import cli

SECRET = "S3cret-pw"


def written(path: Path) -> list[dict[str, Any]]:
    """Complete lines of an event file that may still be written."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def wait_until_reading(process: subprocess.Popen[str], *files: Path) -> None:
    """The video exists as soon as the first frame is drawn."""
    until = time.monotonic() + 4 * PATIENCE_S
    while process.poll() is None and not all(file.exists() and file.stat().st_size for file in files):
        assert time.monotonic() < until, "it does not begin to read"
        time.sleep(0.05)


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return process.communicate(timeout=2 * PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # faulthandler shows where it hangs
        pytest.fail(f"still running: {process.communicate()[1]}")


def test_control_c_ends_it_while_every_source_is_frozen(serve: Serve, tmp_path: Path) -> None:
    servers = [serve(), serve()]
    events = tmp_path / "out.jsonl"
    command = spawn(*(s.url for s in servers), "--spot-only", "--no-display", "--events", events, "--retry-for", "inf")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()) as run:
        wait_until_reading(run, events)
        for server in servers:
            server.freeze()
        until = time.monotonic() + PATIENCE_S
        while sum(record["type"] == "source.lost" for record in written(events)) < 2:
            assert time.monotonic() < until and run.poll() is None
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        out, err = ended(run)
    assert (run.returncode, out) == (130, ""), err
    assert err.splitlines()[-1] == "interrupted; everything up to here is written" and "Traceback" not in err
    records = written(events)
    assert (records[-1]["type"], records[-1]["reason"]) == ("session.end", "interrupted")
    assert records[-1]["ledger"]["times_lost"] == 2


def test_a_lost_stream_ends_it_with_4_and_the_password_is_nowhere(serve: Serve, tmp_path: Path) -> None:
    server = serve(login=("bob", SECRET, "digest"))
    events, stats, video, timeline = (tmp_path / f"out.{kind}" for kind in ("jsonl", "json", "mp4", "png"))
    command = spawn(
        f"{server.url}?token={SECRET}", "--spot-only", "--no-display", "--events", events, "--stats", stats,
        "--video", video, "--timeline", timeline, "--retry-for", 0.2,
    )  # fmt: skip
    debugging = environment() | {cli.DEBUG_VARIABLE: "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=debugging) as run:
        wait_until_reading(run, video)
        server.kill()
        out, err = ended(run)
    assert (run.returncode, out) == (4, ""), err
    assert err.splitlines()[-1].startswith(f"error: rtsp://127.0.0.1:{server.port}/cam?token=*** was lost")
    kinds = [record["type"] for record in written(events)]
    assert kinds[0] == "session.start" and kinds[-1] == "session.end" and "source.lost" in kinds
    (report,) = json.loads(stats.read_text(encoding="utf-8"))["sources"]
    assert report["ledger"]["times_lost"] == 1 and report["capture_to_decision"]["p99_ms"] > 0
    for path in (events, stats, video, timeline):
        assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in err and "bob" not in err


def test_a_wrong_password_ends_it_with_3(serve: Serve, tmp_path: Path) -> None:
    server = serve(login=("bob", "right", "basic"))
    done = subprocess.run(
        spawn(server.url.replace("right", SECRET), "--spot-only", "--no-display"),
        capture_output=True, text=True, check=False, timeout=4 * PATIENCE_S, env=environment(), cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: rtsp://127.0.0.1") and "does not accept" in done.stderr
    assert SECRET not in done.stderr and "Traceback" not in done.stderr
