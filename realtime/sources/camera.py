"""Local cameras through OpenCV: V4L2 on Linux, the platform's own way elsewhere."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tsfmicro.closing import Closing
from tsfmicro.errors import SourceError, SourceLostError, UsageError
from tsfmicro.values import Frame, UInt8Array

_WARM_UP_FRAMES = 2
"""The first frames of a camera come late and are badly exposed."""
_READ_S = 4
"""Longest wait for a frame, whole seconds."""
_OLDEST_STAMP_S = 1.0
"""A driver stamp older than this is on another clock than ours."""


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """What to ask a camera for. Drivers grant what they like."""

    size_px: tuple[int, int] | None = None
    """Width, height."""
    fps: float | None = None
    format: str | None = None
    """Four letters such as MJPG, which many USB cameras need for more than a few large frames a second."""

    def __post_init__(self) -> None:
        if self.format is not None and not (len(self.format) == 4 and self.format.isascii()):
            raise UsageError(f"--camera-format is {self.format}; expected four letters such as MJPG or YUYV")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise UsageError(f"--camera-fps is {self.fps}; expected a positive number such as 30 or 60")


@dataclass(frozen=True, slots=True)
class CameraMode:
    """What a camera grants, by its own account; the size is that of its pictures."""

    width_px: int
    height_px: int
    fps: float
    format: str


class CameraSource(Closing):
    """A camera by index or ``/dev`` path. Rates asked for or declared are not believed: frames are stamped."""

    live = True
    expected_frames: int | None = None
    expected_duration_s: float | None = None
    undecodable = 0

    def __init__(self, device: int | str, spec: CameraSpec | None = None) -> None:
        """Open the camera, ask it for a mode, and wait for its first pictures.

        Raises:
            SourceError: it does not open, or delivers no picture; the message says what usually helps.
        """
        self.name = f"camera:{device}" if isinstance(device, int) else device
        self.misstamped = 0
        self._stamps_ours = True
        # OpenCV waits ten seconds for a camera that hangs, unless told otherwise before it first reads.
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(_READ_S))
        backend = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY
        with _SILENCE:
            self._capture = cv2.VideoCapture(device, backend)
        if not self._capture.isOpened():
            raise SourceError(f"{self.name} cannot be opened. {_advice(device)}")
        self._ask_for(spec or CameraSpec())
        picture = self._warmed_up()
        if picture is None:
            self.close()
            raise SourceError(
                f"{self.name} opens but delivers no picture; another program may hold it (close it, or see "
                f"`fuser /dev/video*`), or this is not its picture device: try the next number."
            )
        self.mode = self._granted(picture)

    @property
    def skipped(self) -> int:
        """See ``Source.skipped``."""
        return self.misstamped

    def frames(self) -> Iterator[Frame]:
        """See ``Source.frames``. ``captured_s`` is the driver's stamp where it is on the monotonic clock.

        Raises:
            SourceLostError: it stopped, unplugged or taken by another program, or changed its picture's size.
        """
        first_s: float | None = None
        last_s = time.monotonic()  # what waited in the driver's buffers since the camera was opened is old news
        index = 0
        while True:
            taken = self._read()
            if taken is None:
                raise SourceLostError(
                    f"{self.name} stopped delivering after {index} frames; it hangs, was unplugged, or was taken by "
                    f"another program; check the cable."
                )
            picture, captured_s = taken
            height, width = picture.shape[:2]
            if (width, height) != (self.mode.width_px, self.mode.height_px):
                raise SourceLostError(f"{self.name} changed its picture to {width}x{height}", "resized")
            if captured_s <= last_s:
                if first_s is not None:
                    self.misstamped += 1
                    index += 1
                continue
            last_s = captured_s
            first_s = captured_s if first_s is None else first_s
            pixels = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            yield Frame(pixels=pixels, index=index, t_s=captured_s - first_s, captured_s=captured_s, source=self.name)
            index += 1

    def close(self) -> None:
        """See ``Source.close``."""
        with _SILENCE:
            self._capture.release()

    def _warmed_up(self) -> UInt8Array | None:
        """The first picture worth looking at; None where there is none."""
        picture: UInt8Array | None = None
        for _ in range(_WARM_UP_FRAMES):
            taken = self._read()
            if taken is None:
                return None
            picture, captured_s = taken
            # Read as soon as it was there, a frame is hardly older: then it was stamped on our clock.
            self._stamps_ours = 0.0 <= time.monotonic() - captured_s <= _OLDEST_STAMP_S
        return picture

    def _ask_for(self, spec: CameraSpec) -> None:
        wanted: list[tuple[int, float]] = []
        if spec.format is not None:  # first: it decides which sizes and rates there are
            wanted.append((cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*spec.format.upper())))
        if spec.size_px is not None:
            wanted += [(cv2.CAP_PROP_FRAME_WIDTH, spec.size_px[0]), (cv2.CAP_PROP_FRAME_HEIGHT, spec.size_px[1])]
        if spec.fps is not None:
            wanted.append((cv2.CAP_PROP_FPS, spec.fps))
        with _SILENCE:
            for what, value in wanted:
                self._capture.set(what, value)

    def _granted(self, picture: UInt8Array) -> CameraMode:
        height, width = picture.shape[:2]
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC))
        letters = "".join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24))
        return CameraMode(width, height, float(self._capture.get(cv2.CAP_PROP_FPS)), letters)

    def _read(self) -> tuple[UInt8Array, float] | None:
        """(H, W, 3) BGR and the monotonic second it was captured; None where the camera gives nothing."""
        with _SILENCE:
            delivered, picture = self._capture.read()
        now_s = time.monotonic()
        if not delivered or picture is None:
            return None
        # V4L2 stamps each buffer on CLOCK_MONOTONIC. A reader that is late gets buffers up to 0.1 s old, all at once.
        stamp_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
        return np.asarray(picture, dtype=np.uint8), min(stamp_s, now_s) if self._stamps_ours else now_s


class _Silence:
    """While entered, from whichever threads, OpenCV logs nothing.

    It reports a missing device with three lines on stderr; our own message says it better.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = cv2.getLogLevel()
                cv2.setLogLevel(0)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                cv2.setLogLevel(self._before)


_SILENCE = _Silence()


def _advice(device: int | str) -> str:
    """What to try next, from what is visible on this machine."""
    if not sys.platform.startswith("linux"):
        return "Check that it is plugged in and that this terminal is allowed to use the camera."
    asked = Path(f"/dev/video{device}" if isinstance(device, int) else device)
    present = sorted(Path("/dev").glob("video*"))
    if asked.exists() and not os.access(asked, os.R_OK | os.W_OK):
        return f"{asked} exists but this user may not use it: sudo usermod -aG video $USER, then log in again."
    if asked.exists():
        return f"{asked} exists: another program may hold it (fuser {asked}), or it is not a picture device."
    if present:
        return f"There are {', '.join(map(str, present))}: try one of these, for example --camera {present[0]}."
    version = Path("/proc/version")
    if version.exists() and "microsoft" in version.read_text(encoding="utf-8", errors="replace").lower():
        return "No /dev/video* here: under WSL a USB camera has to be attached first (usbipd attach --wsl)."
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return "No /dev/video* here: give the container its camera (docker run --device /dev/video0 ...)."
    return "No /dev/video* here: plug a camera in, or give a video file, a folder of images or demo: instead."
