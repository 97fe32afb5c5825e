"""The overlay window. Opened only where a display exists: without one, OpenCV's window library ends the process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tsfmicro.realtime.dynamic_images import DynamicImages
from tsfmicro.realtime.events import Event, MeEnd, MeRejected
from tsfmicro.realtime.overlay import MarkState, draw
from tsfmicro.realtime.pipeline import FaceView, Step
from tsfmicro.realtime.viewers import (
    CALIBRATING,
    LABEL_HOLD_S,
    ScoreTraces,
    event_caption,
    footer_of,
    image_of,
    movements,
    supersedes,
)
from tsfmicro.values import UInt8Array

_QUIT_KEYS = frozenset({ord("q"), 27})
_PAUSE_KEY = ord(" ")
_RECALIBRATE_KEY = ord("r")
_LOOK_UP_MS = 100
"""How often a paused window looks up for an interruption."""


@dataclass(frozen=True, slots=True)
class Controls:
    """What the keys of a window do to the run."""

    recalibrate: Callable[[], None]
    interrupted: Callable[[], bool]
    """Asked while the window is paused; true ends the pause."""


class StopRequested(Exception):
    """The user closed the window or asked to quit."""


def display_available() -> bool:
    """True where a window can be opened."""
    return sys.platform in {"darwin", "win32"} or any(os.environ.get(v) for v in ("DISPLAY", "WAYLAND_DISPLAY"))


def title_of(source: str) -> str:
    """Title of a source's window; its name has no credentials in it."""
    return f"TSFmicro   {source}   [q] quit   [space] pause   [r] recalibrate"


class Window:
    """Shows every frame with what is known at that moment; every source in a window of its own.

    Args:
        threshold: score from which a movement is followed.
        controls: what the keys do.
        images: of the micro-expressions, to be shown with them; None for none.
    """

    def __init__(self, threshold: float, controls: Controls, images: DynamicImages | None = None) -> None:
        self._threshold = threshold
        self._controls = controls
        self._images = images
        self._traces: dict[str, ScoreTraces] = {}
        self._last_event: dict[tuple[str, int], MeEnd | MeRejected] = {}

    def see(self, step: Step) -> None:
        """Draw and handle the keyboard.

        Raises:
            StopRequested: when the user has had enough.
        """
        self.finish(step.events)
        source = step.frame.source
        if source not in self._traces:
            cv2.namedWindow(title_of(source), cv2.WINDOW_NORMAL)
            self._traces[source] = ScoreTraces(self._threshold)
        traces = self._traces[source]
        traces.add(step)
        t_s = step.frame.t_s
        marks = [
            traces.mark(face, *self._state(source, face, t_s), self._image(source, face, t_s)) for face in step.faces
        ]
        picture = draw(step.frame.pixels, marks, footer_of(step.frame))
        cv2.imshow(title_of(source), np.ascontiguousarray(picture[..., ::-1]))
        key = _key(1)
        if key == _PAUSE_KEY:
            key = self._pause()
        if key in _QUIT_KEYS:
            raise StopRequested
        if key == _RECALIBRATE_KEY:
            self._controls.recalibrate()

    def finish(self, events: Sequence[Event]) -> None:
        """Remember the latest event of each face."""
        for event in movements(events):
            if supersedes(event, self._last_event.get((event.source, event.face_id))):
                self._last_event[event.source, event.face_id] = event

    def close(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()

    def _pause(self) -> int:
        """The key that ended the pause: space, or one that means something else."""
        while not self._controls.interrupted():
            key = _key(_LOOK_UP_MS)
            if key in (_PAUSE_KEY, _RECALIBRATE_KEY, *_QUIT_KEYS):
                return key
        return _PAUSE_KEY

    def _image(self, source: str, face: FaceView, t_s: float) -> UInt8Array | None:
        return image_of(self._last_event.get((source, face.face_id)), self._images, t_s)

    def _state(self, source: str, face: FaceView, t_s: float) -> tuple[MarkState, str]:
        event = self._last_event.get((source, face.face_id))
        if event is not None and t_s <= event.interval.offset.t_s + 2 * LABEL_HOLD_S:
            return ("rejected" if isinstance(event, MeRejected) else "event"), event_caption(event)
        if not face.calibrated:
            return "idle", CALIBRATING
        return ("moving", "moving") if face.active else ("idle", f"face {face.face_id}")


def _key(wait_ms: int) -> int:
    return int(cv2.waitKey(wait_ms)) & 0xFF
