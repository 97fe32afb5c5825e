"""Cameras: refused helpfully where there are none, and read through OpenCV's V4L2 code on an emulated driver."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tsfmicro.errors import SourceError
from tsfmicro.realtime.sources import CameraSource, open_source

ROOT = Path(__file__).resolve().parents[2]
SHIM = ROOT.parent / "shared" / "streams" / "v4l2_camera_shim.c"


def test_missing_camera_is_explained_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    for device in (97, "/dev/video97"):
        with pytest.raises(SourceError, match=r"video97|camera:97") as error:
            CameraSource(device)
        assert "/dev/video" in str(error.value)
    with pytest.raises(SourceError):
        open_source("/dev/video97")
    assert capfd.readouterr().err == ""


CAMERA_PROGRAM = """
import json, sys, time
from tsfmicro.errors import TsfError
from tsfmicro.realtime.sources import CameraSource, open_source
out = {"t": [], "age": [], "red": [], "error": None}
try:
    with CameraSource(0) as source:
        out["name"], out["live"] = source.name, source.live
        for frame in source.frames():
            out["t"].append(frame.t_s)
            out["age"].append(time.monotonic() - frame.captured_s)
            out["red"].append([float(frame.pixels[..., c].mean()) for c in (0, 2)])
            out["shape"] = frame.pixels.shape
            if len(out["t"]) == int(sys.argv[1]):
                break
except TsfError as error:
    out["error"] = [type(error).__name__, error.exit_code, str(error)]
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def emulated_driver(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment in which OpenCV's own V4L2 code finds an emulated driver behind /dev/video0."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the emulated driver needs Linux")
    if shutil.which("gcc") is None:
        pytest.skip("the emulated driver needs gcc")
    if not SHIM.exists():
        pytest.skip("the emulated driver is not in ../shared/streams")
    folder = tmp_path_factory.mktemp("driver")
    library, raw = folder / "driver.so", folder / "frames.yuyv"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-w", "-o", library, SHIM, "-ldl"], check=True, timeout=60)
    yuyv = np.zeros((10, 48, 64, 2), dtype=np.uint8)
    yuyv[..., 0] = 81  # a saturated red in BT.601
    yuyv[:, :, 0::2, 1], yuyv[:, :, 1::2, 1] = 90, 240
    raw.write_bytes(yuyv.tobytes())
    return os.environ | {
        "LD_PRELOAD": str(library),
        "FAKECAM_RAW": str(raw),
        "FAKECAM_W": "64",
        "FAKECAM_H": "48",
        "PYTHONPATH": str(ROOT),
    }


def run_camera(environment: dict[str, str], frames: int) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", CAMERA_PROGRAM, str(frames)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_camera_on_an_emulated_driver(emulated_driver: dict[str, str]) -> None:
    out = run_camera(emulated_driver, 20)
    assert out["error"] is None and out["name"] == "camera:0" and out["live"] is True
    assert out["shape"] == [48, 64, 3]
    times = np.asarray(out["t"])
    assert len(times) == 20 and times[0] == 0.0
    assert (np.diff(times) > 0).all()
    assert np.median(np.diff(times)) == pytest.approx(1 / 30, abs=0.01)
    assert np.asarray(out["age"]).min() >= 0 and np.median(np.asarray(out["age"])) < 0.2
    red, blue = np.asarray(out["red"]).mean(axis=0)
    assert red > 200 and blue < 60  # RGB, not BGR


def test_unplugged_camera_on_an_emulated_driver(emulated_driver: dict[str, str]) -> None:
    out = run_camera(emulated_driver | {"FAKECAM_UNPLUG": "12"}, 100)
    assert out["error"][:2] == ["SourceLostError", 4]  # type: ignore[index]
    assert 5 <= len(np.asarray(out["t"])) <= 10  # two of twelve are warm-up


def test_camera_that_never_delivers_on_an_emulated_driver(emulated_driver: dict[str, str]) -> None:
    started = time.monotonic()
    out = run_camera(emulated_driver | {"FAKECAM_UNPLUG": "1"}, 100)
    assert out["error"][:2] == ["SourceError", 3]  # type: ignore[index]
    assert time.monotonic() - started < 30
