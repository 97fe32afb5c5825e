"""Face landmarks behind one small protocol, so that the component can be replaced.

MediaPipe's FaceMesh gives meaning (which point is a brow, is the eye closed); it does not measure motion, its
points jitter by 0.1-0.2 px. See :mod:`tsfmicro.motion` for what does.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from tsfmicro.errors import ContractError
from tsfmicro.values import LANDMARK_COUNT, Face, Frame, UInt8Array

DETECTION_INTERVAL_S = 0.5
"""How often the number of faces is counted again."""

_COUNTER = 0

_EYELIDS = {
    "left": ((159, 145), (158, 153), (160, 144), (33, 133)),
    "right": ((386, 374), (385, 380), (387, 373), (263, 362)),
}


class LandmarkDetector(Protocol):
    """Finds the faces of consecutive frames of one source."""

    def detect(self, frame: Frame) -> list[Face]:
        """Faces of this frame, in no promised order."""

    def close(self) -> None:
        """Release the models."""


def eye_opening(face: Face) -> float:
    """Eye aspect ratio: mean lid distance over eye width, the more open eye of the two.

    After Soukupova and Cech (2016), on three lid pairs. About 0.3 open and below 0.15 closed; a wink is no blink,
    hence the more open eye.
    """
    points = face.landmarks_px

    def ratio(pairs: tuple[tuple[int, int], ...]) -> float:
        *lids, corners = (float(np.linalg.norm(points[a] - points[b])) for a, b in pairs)
        return float(np.mean(lids)) / max(corners, 1e-6)

    return max(ratio(_EYELIDS["left"]), ratio(_EYELIDS["right"]))


class FaceMeshDetector:
    """MediaPipe FaceMesh, tracking between frames.

    FaceMesh searches the whole picture in every frame in which it tracks fewer faces than it was told to expect.
    So the faces are counted by the detector every half second of media time, and a mesh for just that many runs
    in between: one face costs what one face costs.

    Args:
        max_faces: more than this many are ignored.

    Raises:
        ContractError: if ``max_faces`` is not positive.
    """

    def __init__(self, max_faces: int = 4) -> None:
        if max_faces < 1:
            raise ContractError(f"max_faces is {max_faces}; expected 1 or more")
        self._max_faces = max_faces
        self._models: dict[int, Any] = {}
        """The counter under 0, the mesh for n faces under n."""
        self._settled: set[int] = set()
        self._count = 1
        self._next_count_s = 0.0
        self._load_models()

    def detect(self, frame: Frame) -> list[Face]:
        """Faces of this frame. Frames must come in order of time."""
        if frame.t_s >= self._next_count_s and self._max_faces > 1:
            self._count = self._count_faces(frame.pixels)
            self._next_count_s = frame.t_s + DETECTION_INTERVAL_S
        found = self._process(self._count, frame.pixels).multi_face_landmarks or []
        size = np.array([frame.pixels.shape[1], frame.pixels.shape[0]], dtype=np.float32)
        return [
            Face(np.array([(p.x, p.y) for p in mesh.landmark[:LANDMARK_COUNT]], dtype=np.float32) * size)
            for mesh in found
        ]

    def close(self) -> None:
        """Release the models."""
        for model in self._models.values():
            model.close()
        self._models.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _load_models(self) -> None:
        # Models load at their first picture, which takes longer than a live source waits: so not at the user's first.
        blank = np.zeros((64, 64, 3), dtype=np.uint8)
        self._process(1, blank)
        if self._max_faces > 1:
            self._process(_COUNTER, blank)

    def _count_faces(self, pixels: UInt8Array) -> int:
        found = self._process(_COUNTER, pixels).detections or []
        return min(max(len(found), 1), self._max_faces)

    def _process(self, key: int, pixels: UInt8Array) -> Any:
        # A model loads in threads of its own and talks until its first face; silencing every frame would be waste.
        if key in self._settled:
            return self._models[key].process(pixels)
        with _native_stderr_silenced():
            if key not in self._models:
                self._models[key] = _load(key)
            result = self._models[key].process(pixels)
        if getattr(result, "multi_face_landmarks", None) or getattr(result, "detections", None):
            self._settled.add(key)
        return result


def _load(key: int) -> Any:
    # Importing MediaPipe takes a second and prints: not at import of this module.
    from mediapipe.python.solutions import face_detection, face_mesh

    if key == _COUNTER:
        return face_detection.FaceDetection(model_selection=0, min_detection_confidence=0.5)
    return face_mesh.FaceMesh(max_num_faces=key, min_detection_confidence=0.5)


@contextlib.contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """Keep the C++ start-up chatter of the landmark component off the user's terminal."""
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


def landmarks_of_photo(pixels: UInt8Array, detector: LandmarkDetector) -> Face | None:
    """The largest face of a single picture, or None.

    A few passes let the tracker settle, which is steadier than one cold detection.
    """
    faces: list[Face] = []
    for index in range(4):
        faces = detector.detect(Frame(pixels=pixels, index=index, t_s=index / 30, captured_s=0.0, source="photo"))
    return max(faces, key=lambda face: float(np.ptp(face.landmarks_px, axis=0).prod()), default=None)
