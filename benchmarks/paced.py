"""Clips that arrive like cameras: every frame at its own time, whether or not anybody is ready for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tsfmicro.closing import Closing
from tsfmicro.realtime.sources import open_source
from tsfmicro.values import Frame

_LEAD_S = 0.2
"""From the first look to the first frame, so that opening the clip is not called a delay."""


class LoopedClip(Closing):
    """A clip over and over, on one time line, decoded as it goes. As it is: a recording, as fast as it is read.

    Args:
        clip: file with a picture.
        name: what events call it.
        fps: frames a second of the time line; the clip's own stamps are not used.
        frame_count: when it ends.
    """

    live = False

    def __init__(self, clip: Path, name: str, fps: float, frame_count: int) -> None:
        self.name = name
        self.skipped = self.undecodable = self.misstamped = 0
        self.expected_frames: int | None = frame_count
        self.expected_duration_s: float | None = frame_count / fps
        self._clip, self._fps = clip, fps

    def frames(self) -> Iterator[Frame]:
        """See ``Source.frames``; the seam of the loop is a cut like any other."""
        index = 0
        while index < (self.expected_frames or 0):
            with open_source(str(self._clip)) as source:
                for frame in source.frames():
                    if index == self.expected_frames:
                        return
                    yield Frame(frame.pixels, index, index / self._fps, self._due_s(index), self.name)
                    index += 1

    def _due_s(self, index: int) -> float:
        return time.monotonic()

    def close(self) -> None:
        """Nothing is held open between frames."""


class PacedClip(LoopedClip):
    """The same as a live source: each frame is due at a time of its own, and ``captured_s`` is that time.

    A frame that could not be handed over when it was due is handed over late and still counts from when it was due: a
    stall is paid by every frame it delays, not by one. (The opposite is known as coordinated omission.)
    """

    live = True

    def __init__(
        self,
        clip: Path,
        name: str,
        fps: float,
        frame_count: int,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(clip, name, fps, frame_count)
        self._now_s, self._sleep = now_s, sleep
        self._began_s: float | None = None

    def _due_s(self, index: int) -> float:
        if self._began_s is None:
            self._began_s = self._now_s() + _LEAD_S
        due_s = self._began_s + index / self._fps
        self._sleep(max(0.0, due_s - self._now_s()))
        return due_s
