"""Cameras: refused helpfully where there are none, and read through OpenCV's V4L2 code on an emulated driver."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.running import environment, spawn
from tsfmicro.errors import SourceError, UsageError
from tsfmicro.realtime.sources import CameraSource, CameraSpec, open_source

DRIVER = Path(__file__).resolve().parents[1] / "streams" / "camera_driver.c"
PATIENCE_S = 60.0
"""Never waited out unless a test fails."""


def test_missing_camera_is_explained_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    for device in (97, "/dev/video97"):
        with pytest.raises(SourceError, match=r"video97|camera:97") as error:
            CameraSource(device)
        assert "/dev/video" in str(error.value)
    with pytest.raises(SourceError):
        open_source("/dev/video97")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("spec", [{"fps": 0.0}, {"fps": float("nan")}, {"format": "MJPEG"}])
def test_impossible_wishes_are_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected"):
        CameraSpec(**spec)


CAMERA_PROGRAM = """
import json, sys, time
from dataclasses import asdict
from tsfmicro.errors import TsfError
from tsfmicro.realtime.sources import CameraSource, CameraSpec
out = {"t": [], "age": [], "red": [], "error": None}
count, size = int(sys.argv[1]), tuple(map(int, sys.argv[3:5])) or None
try:
    with CameraSource(0, CameraSpec(size, 60.0 if size else None, "MJPG" if size else None)) as source:
        out["name"], out["live"], out["mode"] = source.name, source.live, asdict(source.mode)
        time.sleep(float(sys.argv[2]))
        for frame in source.frames():
            out["t"].append(frame.t_s)
            out["age"].append(time.monotonic() - frame.captured_s)
            out["red"].append([float(frame.pixels[..., c].mean()) for c in (0, 2)])
            out["shape"] = frame.pixels.shape
            if len(out["t"]) == count:
                break
except TsfError as error:
    out["error"] = [type(error).__name__, error.exit_code, str(error)]
print(json.dumps(out))
"""


class Emulated:
    """A camera that this computer does not have; OpenCV's own V4L2 code reads it through an emulated driver."""

    def __init__(self, library: Path, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.environment = environment() | {"LD_PRELOAD": str(library), "CAMERA_DRIVER": str(folder)}

    def set(self, state: str) -> None:
        """``unplugged`` or ``frozen``."""
        (self._folder / state).touch()

    def unset(self, state: str) -> None:
        (self._folder / state).unlink()

    def read(self, frames: int, *size: int, wait_s: float = 0.0, **variables: str) -> dict[str, Any]:
        words = [sys.executable, "-c", CAMERA_PROGRAM, str(frames), str(wait_s), *map(str, size)]
        done = subprocess.run(
            words, env=self.environment | variables, capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
        assert done.stderr == ""
        result: dict[str, Any] = json.loads(done.stdout)
        return result


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not sys.platform.startswith("linux"):
        pytest.skip("the emulated driver needs Linux")
    if shutil.which("gcc") is None:
        pytest.skip("the emulated driver needs gcc and the kernel's headers")
    path = tmp_path_factory.mktemp("driver") / "driver.so"
    done = subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-w", "-o", path, DRIVER, "-ldl"],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"the emulated driver does not compile here: {done.stderr.splitlines()[0]}")
    return path


@pytest.fixture
def camera(library: Path, tmp_path: Path) -> Emulated:
    return Emulated(library, tmp_path / "world")


def test_camera_on_an_emulated_driver(camera: Emulated) -> None:
    out = camera.read(20)
    assert out["error"] is None and out["name"] == "camera:0" and out["live"] is True
    assert out["shape"] == [48, 64, 3]
    times = np.asarray(out["t"])
    assert len(times) == 20 and times[0] == 0.0
    assert (np.diff(times) > 0).all()
    assert np.median(np.diff(times)) == pytest.approx(1 / 30, abs=0.01)
    assert np.asarray(out["age"]).min() >= 0 and np.median(np.asarray(out["age"])) < 0.2
    red, blue = np.asarray(out["red"]).mean(axis=0)
    assert red > 200 and blue < 60  # RGB, not BGR


def test_a_camera_grants_what_it_likes(camera: Emulated) -> None:
    out = camera.read(3, 40, 30)
    assert out["mode"] == {"width_px": 32, "height_px": 24, "fps": 30.0, "format": "YUYV"}
    assert out["shape"] == [24, 32, 3]


@pytest.mark.parametrize("wait_s", [0.7, 1.5])
def test_what_waited_in_the_buffers_is_left_out(camera: Emulated, wait_s: float) -> None:
    out = camera.read(10, wait_s=wait_s)
    assert out["error"] is None
    # Four old frames and then a hole as long as the wait: that is not what the camera sees.
    assert max(np.diff(np.asarray(out["t"]))) < 0.5 * wait_s
    assert out["age"][0] < 0.5 * wait_s


def test_a_camera_that_never_delivers(camera: Emulated) -> None:
    camera.set("frozen")
    out = camera.read(100, OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT="1")
    assert out["error"][:2] == ["SourceError", 3] and "no picture" in out["error"][2]


def test_a_camera_that_is_not_plugged_in(camera: Emulated) -> None:
    camera.set("unplugged")
    assert camera.read(100)["error"][:2] == ["SourceError", 3]


def seen(events: Path) -> list[str]:
    """Types of the events so far."""
    lines = events.read_text(encoding="utf-8").splitlines(keepends=True) if events.exists() else []
    return [json.loads(line)["type"] for line in lines if line.endswith("\n")]


def wait_for(kind: str, count: int, events: Path, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + PATIENCE_S
    while seen(events).count(kind) < count:
        assert time.monotonic() < until and process.poll() is None, f"no {kind}: {seen(events)}"
        time.sleep(0.05)


def test_a_camera_that_freezes_is_unplugged_and_plugged_in_again(camera: Emulated, tmp_path: Path) -> None:
    events, stats, video = (tmp_path / f"out.{kind}" for kind in ("jsonl", "json", "mp4"))
    command = spawn(
        "--camera", 0, "--camera-size", "1280x720", "--camera-fps", 60, "--camera-format", "MJPG", "--spot-only",
        "--no-display", "--events", events, "--stats", stats, "--video", video, "--retry-for", 30,
    )  # fmt: skip
    variables = camera.environment | {"OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables) as process:
        while process.poll() is None and not video.exists():  # the first frame is drawn
            time.sleep(0.05)
        camera.set("frozen")
        wait_for("source.lost", 1, events, process)
        camera.unset("frozen")
        wait_for("source.restored", 1, events, process)
        camera.set("unplugged")
        wait_for("source.lost", 2, events, process)
        camera.unset("unplugged")
        wait_for("source.restored", 2, events, process)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (130, ""), err
    assert "camera:0: 64x48 YUYV, says 30 frames/s (asked for 1280x720 MJPG 60 frames/s); the rate is measured" in err
    assert seen(events)[-1] == "session.end" and "is back after" in err and "Traceback" not in err
    (report,) = json.loads(stats.read_text(encoding="utf-8"))["sources"]
    assert report["camera"]["format"] == "YUYV" and report["ledger"]["times_lost"] == 2
    assert report["ledger"]["captured"] > 0 and report["ledger"]["longest_gap_s"] > 0.5


def test_a_camera_that_stays_away_ends_it_with_4(camera: Emulated, tmp_path: Path) -> None:
    video = tmp_path / "out.mp4"
    command = spawn("--camera", 0, "--spot-only", "--no-display", "--retry-for", 0.3, "--video", video)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=camera.environment
    ) as process:
        while process.poll() is None and not video.exists():
            time.sleep(0.05)
        camera.set("unplugged")
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 4, err
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["type"] for record in records if "source" in record["type"]] == ["source.lost"]
    assert (records[-1]["type"], records[-1]["reason"]) == ("session.end", "source_lost")
    assert "camera:0 was lost and did not come back" in err.splitlines()[-1]
