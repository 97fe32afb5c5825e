"""MediaPipe's face detector and face mesh, without their chatter and with typed results."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from tsfmicro.landmarks.boxes import Box
from tsfmicro.values import LANDMARK_COUNT, Face, UInt8Array

_BLANK: UInt8Array = np.zeros((64, 64, 3), dtype=np.uint8)


class _Model:
    """A MediaPipe graph that is loaded when built: the first picture of a live source does not wait for it."""

    def __init__(self, solution: Any) -> None:
        self._solution = solution
        self._settled = False
        self._process(_BLANK)

    def close(self) -> None:
        """Release the graph."""
        self._solution.close()

    def _process(self, pixels: UInt8Array) -> Any:
        # It loads in threads of its own and talks until its first face; silencing every frame would be waste.
        if self._settled:
            return self._solution.process(pixels)
        with _native_stderr_silenced():
            return self._solution.process(pixels)


class BoxModel(_Model):
    """Finds faces from about a tenth of the picture's width."""

    def __init__(self) -> None:
        with _native_stderr_silenced():
            from mediapipe.python.solutions import face_detection  # takes a second and prints

            _answer_with_values()
            super().__init__(face_detection.FaceDetection(model_selection=0, min_detection_confidence=0.5))

    def boxes(self, pixels: UInt8Array) -> list[Box]:
        """Faces of an (H, W, 3) RGB picture, surest first."""
        found = self._process(pixels).detections or []
        self._settled = self._settled or bool(found)
        height, width = pixels.shape[:2]
        places = [d.location_data.relative_bounding_box for d in sorted(found, key=lambda d: -d.score[0])]
        return [
            Box(p.xmin * width, p.ymin * height, (p.xmin + p.width) * width, (p.ymin + p.height) * height)
            for p in places
        ]


class MeshModel(_Model):
    """Places 468 points on one face and tracks it from picture to picture."""

    def __init__(self) -> None:
        with _native_stderr_silenced():
            from mediapipe.python.solutions import face_mesh

            _answer_with_values()
            super().__init__(face_mesh.FaceMesh(max_num_faces=1, min_detection_confidence=0.5))

    def face(self, pixels: UInt8Array) -> Face | None:
        """The face of an (H, W, 3) RGB picture, in its pixels."""
        meshes = self._process(pixels).multi_face_landmarks
        if not meshes:
            return None
        self._settled = True
        # The third coordinate is in the unit of the first.
        size = np.array([pixels.shape[1], pixels.shape[0], pixels.shape[1]], dtype=np.float32)
        points = np.array([(p.x, p.y, p.z) for p in meshes[0].landmark[:LANDMARK_COUNT]], dtype=np.float32) * size
        across, down = points[454] - points[234], points[152] - points[10]
        return Face(
            np.ascontiguousarray(points[:, :2]),
            yaw_deg=float(np.rad2deg(np.arctan2(across[2], across[0]))),
            pitch_deg=float(np.rad2deg(np.arctan2(down[2], down[1]))),
        )

    def forget(self) -> None:
        """Drop the face that was tracked; the next picture is searched."""
        with _native_stderr_silenced():
            self._solution.reset()
            self._settled = False
            self._process(_BLANK)


def _answer_with_values() -> None:
    """Have MediaPipe answer with a value that goes when it is let go of.

    For every picture it makes a named tuple's class, and hangs the landmarks on the class itself. A class refers to
    itself, so it and 37 KiB of landmarks wait until the garbage collector has walked over them, and some wait for its
    rare full pass. Nothing else of ``collections`` is used there.
    """
    from mediapipe.python import solution_base

    def answer(name: str, fields: Iterable[str]) -> SimpleNamespace:
        return SimpleNamespace()

    solution_base.collections = SimpleNamespace(namedtuple=answer)


_SILENCING = threading.RLock()


@contextlib.contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """Keep the C++ start-up chatter of the component off the user's terminal.

    One thread at a time: the second would take the first one's silence for the terminal.
    """
    with _SILENCING:
        sys.stderr.flush()
        saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(sink, 2)
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            os.close(sink)
