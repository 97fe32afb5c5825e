"""Cameras: what a driver answers, what that is good for, and what to do about one that is refused."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doctor.examples import CONTAINER, PLAIN, ROOT, WHEEL
from tsfmicro.doctor import cameras
from tsfmicro.doctor.cameras import Surroundings, best_mode, judge_cameras
from tsfmicro.doctor.v4l2 import (
    ENUM_FMT,
    ENUM_FRAMEINTERVALS,
    ENUM_FRAMESIZES,
    QUERYCAP,
    Camera,
    Mode,
    describe,
    device_paths,
    read_camera,
)
from tsfmicro.realtime.gates import GateSpec

SHIM = ROOT.parent / "shared" / "streams" / "v4l2_camera_shim.c"
VGA_60 = Mode("MJPG", 640, 480, 60.0)
HD_30 = Mode("MJPG", 1920, 1080, 30.0)
HD_5 = Mode("YUYV", 1920, 1080, 5.0)


class Driver:
    """Answers as a kernel driver does; the numbers are those of linux/videodev2.h."""

    def __init__(self, capabilities: int, device_capabilities: int, modes: dict[str, dict[tuple[int, int], list[int]]]):
        self.capabilities, self.device_capabilities, self.modes = capabilities, device_capabilities, modes
        self.stepwise = False

    def __call__(self, request: int, structure: bytes) -> bytes | None:
        index = struct.unpack_from("=I", structure)[0]
        formats = list(self.modes)
        match request:
            case _ if request == QUERYCAP:
                words = (0x050000, self.capabilities, self.device_capabilities)
                return struct.pack("=16s32s32s3I12x", b"uvcvideo", b"HD Webcam", b"usb-1", *words)
            case _ if request == ENUM_FMT and index < len(formats):
                return struct.pack("=3I32s4sI12x", index, 1, 0, b"a format", formats[index].encode(), 0)
            case _ if request == ENUM_FRAMESIZES:
                sizes = list(self.modes[structure[4:8].decode()])
                if self.stepwise and index == 0:
                    return struct.pack("=I4sI6I8x", 0, structure[4:8], 3, 32, 1920, 8, 24, 1080, 8)
                if index < len(sizes):
                    return struct.pack("=I4s3I16x8x", index, structure[4:8], 1, *sizes[index])
            case _ if request == ENUM_FRAMEINTERVALS:
                size = struct.unpack_from("=2I", structure, 8)
                rates = self.modes[structure[4:8].decode()].get(size, [])
                if index < len(rates):
                    return struct.pack("=I4s2I3I16x8x", index, structure[4:8], *size, 1, 1, rates[index])
        return None


def test_the_structures_have_the_sizes_of_the_kernel() -> None:
    driver = Driver(1, 1, {"MJPG": {(640, 480): [30]}})
    for request, size in ((QUERYCAP, 104), (ENUM_FMT, 64), (ENUM_FRAMESIZES, 44), (ENUM_FRAMEINTERVALS, 52)):
        assert request >> 16 & 0x3FFF == size  # the size is part of the number
        question = struct.pack("=I4sII", 0, b"MJPG", 640, 480).ljust(size, b"\0")
        assert len(driver(request, question) or b"") == size


def test_modes_of_a_webcam() -> None:
    driver = Driver(
        0x84A00001, 0x04200001, {"MJPG": {(640, 480): [30, 60], (1920, 1080): [30]}, "YUYV": {(640, 480): []}}
    )
    camera = describe("/dev/video0", driver)
    assert (camera.name, camera.captures, camera.error) == ("HD Webcam", True, None)
    assert camera.modes == (VGA_60, HD_30, Mode("YUYV", 640, 480, None))


def test_a_metadata_node_delivers_no_pictures() -> None:
    camera = describe("/dev/video1", Driver(0x84A00001, 0x04A00000, {"MJPG": {(640, 480): [30]}}))
    assert (camera.captures, camera.modes) == (False, ())


def test_an_old_driver_has_no_capabilities_of_the_device() -> None:
    assert describe("/dev/video0", Driver(0x04000001, 0, {})).captures


def test_a_driver_of_any_size_names_its_largest() -> None:
    driver = Driver(1, 0, {"YUYV": {(1920, 1080): [25]}})
    driver.stepwise = True
    assert describe("/dev/video0", driver).modes == (Mode("YUYV", 1920, 1080, 25.0),)


def test_a_node_that_is_no_camera(tmp_path: Path) -> None:
    (tmp_path / "video0").write_text("not a device")
    assert read_camera(tmp_path / "video0").error == errno.ENOTTY
    assert read_camera(tmp_path / "video9").error == errno.ENOENT


def test_nodes_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("video10", "video2", "videodev", "video0"):
        (tmp_path / name).touch()
    assert [path.name for path in device_paths(tmp_path)] == ["video0", "video2", "video10"]


def test_an_emulated_driver(tmp_path: Path) -> None:
    """The same questions through the system's ioctl, answered by an emulated driver behind /dev/video0."""
    if not SHIM.exists() or shutil.which("gcc") is None:
        pytest.skip("the emulated driver needs gcc and ../shared/streams")
    library, raw = tmp_path / "driver.so", tmp_path / "frames.yuyv"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-w", "-o", library, SHIM, "-ldl"], check=True, timeout=60)
    raw.write_bytes(bytes(64 * 48 * 2))
    program = (
        "import json; from pathlib import Path; from tsfmicro.doctor.v4l2 import read_camera;"
        "c = read_camera(Path('/dev/video0')); print(json.dumps([c.name, c.captures, c.error, list(c.modes)]))"
    )
    emulated = {"LD_PRELOAD": str(library), "FAKECAM_RAW": str(raw), "FAKECAM_W": "64", "FAKECAM_H": "48"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | emulated | {"PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=True, timeout=60,
    )  # fmt: skip
    assert json.loads(done.stdout) == ["fakecam shim", True, None, []]  # it enumerates formats, but no sizes


# --- judging --------------------------------------------------------------------------------------------------------


def judged(camera: Camera, around: Surroundings = PLAIN) -> tuple[str, str, str]:
    (found,) = judge_cameras([camera], around, WHEEL)
    return found.status, found.detail, found.fix or ""


def test_the_least_rate_is_that_of_the_gates() -> None:
    assert GateSpec().min_fps == cameras.MIN_FPS


@pytest.mark.parametrize(
    ("modes", "best"),
    [
        ((HD_30, VGA_60, HD_5), VGA_60),
        ((HD_5, Mode("MJPG", 1280, 720, 30.0), HD_30), Mode("MJPG", 1280, 720, 30.0)),
        ((Mode("MJPG", 320, 240, 120.0), VGA_60), VGA_60),
        ((Mode("MJPG", 640, 480, 120.0), Mode("MJPG", 1280, 720, 60.0)), Mode("MJPG", 1280, 720, 60.0)),
        ((Mode("YUYV", 320, 240, 15.0),), Mode("YUYV", 320, 240, 15.0)),
        ((), None),
    ],
)
def test_the_mode_worth_naming(modes: tuple[Mode, ...], best: Mode | None) -> None:
    assert best_mode(modes) == best


def test_a_good_camera() -> None:
    status, detail, _ = judged(Camera("/dev/video2", "HD Webcam", True, (VGA_60, HD_30)))
    assert status == "ok"
    for hint in ("HD Webcam", "60 frames/s at 640x480", "30 frames/s at 1920x1080", "2 modes", "--camera 2"):
        assert hint in detail


@pytest.mark.parametrize(("fps", "hint"), [(15.0, "every movement is rejected"), (25.0, "want 30")])
def test_a_slow_camera(fps: float, hint: str) -> None:
    status, detail, fix = judged(Camera("/dev/video0", "", True, (Mode("YUYV", 640, 480, fps),)))
    assert status == "warn" and hint in detail and "v4l2-ctl -d /dev/video0" in fix


def test_29_97_is_30() -> None:
    assert judged(Camera("/dev/video0", "", True, (Mode("YUYV", 640, 480, 30000 / 1001),)))[0] == "ok"


@pytest.mark.parametrize("modes", [(), (Mode("YUYV", 640, 480, None),)])
def test_a_camera_that_declares_no_rate(modes: tuple[Mode, ...]) -> None:
    status, detail, _ = judged(Camera("/dev/video0", "x", True, modes))
    assert status == "ok" and "no frame rate" in detail


def test_a_camera_this_user_may_not_use() -> None:
    status, detail, fix = judged(Camera("/dev/video0", "", False, (), errno.EACCES))
    assert status == "warn" and "group video" in detail
    assert fix.startswith("sudo usermod -aG video $USER")


def test_a_camera_the_container_was_not_given() -> None:
    status, _, fix = judged(Camera("/dev/video0", "", False, (), errno.EPERM), CONTAINER)
    assert status == "warn" and "docker run --device /dev/video0" in fix


@pytest.mark.parametrize(("error", "hint"), [(errno.EBUSY, "fuser -v /dev/video0"), (errno.EIO, "dmesg")])
def test_a_camera_that_does_not_answer(error: int, hint: str) -> None:
    status, detail, fix = judged(Camera("/dev/video0", "", False, (), error))
    assert status == "warn" and os.strerror(error) in detail and hint in fix


def test_only_nodes_without_pictures() -> None:
    (found,) = judge_cameras([Camera("/dev/video1", "x", False, ())], PLAIN, WHEEL)
    assert found.status == "ok" and "/dev/video1 deliver no pictures" in found.detail


def test_a_metadata_node_beside_a_camera_is_not_worth_a_line() -> None:
    pair = [Camera("/dev/video0", "x", True, (VGA_60,)), Camera("/dev/video1", "x", False, ())]
    assert len(judge_cameras(pair, PLAIN, WHEEL)) == 1


@pytest.mark.parametrize(
    ("around", "hint"),
    [
        (PLAIN, "no /dev/video"),
        (CONTAINER, "docker run --device"),
        (Surroundings(is_linux=True, in_container=False, in_wsl=True), "usbipd"),
        (Surroundings(is_linux=False, in_container=False, in_wsl=False), "tsf-live --camera 0"),
    ],
)
def test_no_camera_is_no_fault(around: Surroundings, hint: str) -> None:
    (found,) = judge_cameras([], around, WHEEL)
    assert found.status == "ok" and hint in found.detail
