"""Local cameras through OpenCV: V4L2 on Linux, the platform's own way elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from tsfmicro.errors import SourceError, SourceLostError
from tsfmicro.values import Frame, UInt8Array

_WARM_UP_FRAMES = 2
"""The first frames of a camera come late and are badly exposed."""
_OLDEST_STAMP_S = 1.0
"""A driver stamp older than this is on another clock than ours."""


class CameraSource:
    """A camera by index or ``/dev`` path. Rates asked for or declared are not believed: frames are stamped."""

    live = True
    expected_frames: int | None = None
    expected_duration_s: float | None = None

    def __init__(self, device: int | str) -> None:
        """Open the camera.

        Raises:
            SourceError: it does not open; the message says which cameras there are and what usually helps.
        """
        self.name = f"camera:{device}" if isinstance(device, int) else device
        self.skipped = 0
        backend = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY
        with _silent_opencv():
            self._capture = cv2.VideoCapture(device, backend)
        if not self._capture.isOpened():
            raise SourceError(f"{self.name} cannot be opened. {_advice(device)}")

    def frames(self) -> Iterator[Frame]:
        """See ``Source.frames``. ``captured_s`` is the driver's stamp where it is on the monotonic clock.

        Raises:
            SourceError: the camera opens but delivers no picture.
            SourceLostError: it delivered pictures and stopped: unplugged, or taken by another program.
        """
        for _ in range(_WARM_UP_FRAMES):
            if self._read() is None:
                raise SourceError(
                    f"{self.name} opens but delivers no picture; another program may hold it (close it, or see "
                    f"`fuser /dev/video*`), or this is not its picture device: try the next number."
                )
        first_s: float | None = None
        last_s = -np.inf
        index = 0
        while True:
            taken = self._read()
            if taken is None:
                raise SourceLostError(
                    f"{self.name} stopped delivering after {index} frames; it was unplugged or taken by another "
                    f"program. Check the cable and start again."
                )
            picture, captured_s = taken
            if captured_s <= last_s:
                self.skipped += 1
                index += 1
                continue
            last_s = captured_s
            first_s = captured_s if first_s is None else first_s
            pixels = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            yield Frame(pixels=pixels, index=index, t_s=captured_s - first_s, captured_s=captured_s, source=self.name)
            index += 1

    def close(self) -> None:
        """See ``Source.close``."""
        with _silent_opencv():
            self._capture.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> tuple[UInt8Array, float] | None:
        """(H, W, 3) BGR and the monotonic second it was captured; None where the camera gives nothing."""
        with _silent_opencv():
            delivered, picture = self._capture.read()
        now_s = time.monotonic()
        if not delivered or picture is None:
            return None
        # V4L2 stamps each buffer on CLOCK_MONOTONIC. A reader that is late gets buffers up to 0.1 s old, all at once.
        stamp_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
        plausible = 0.0 <= now_s - stamp_s <= _OLDEST_STAMP_S
        return np.asarray(picture, dtype=np.uint8), stamp_s if plausible else now_s


@contextmanager
def _silent_opencv() -> Iterator[None]:
    """OpenCV reports a missing device with three lines on stderr; our own message says it better."""
    before = cv2.getLogLevel()
    cv2.setLogLevel(0)
    try:
        yield
    finally:
        cv2.setLogLevel(before)


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
