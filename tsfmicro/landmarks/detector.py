"""Faces of consecutive frames: a search now and then, and one mesh for every face that was found."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

import numpy as np

from tsfmicro.errors import ContractError
from tsfmicro.landmarks.boxes import Box, tiles
from tsfmicro.landmarks.mediapipe_models import BoxModel, MeshModel
from tsfmicro.values import Face, Frame, UInt8Array

SEARCH_INTERVAL_S = 0.2
"""While faces are in view, one tile of the picture is searched for another this often."""
_REGION = 2.2
"""A mesh sees this many times its face."""
_OFF_CENTRE = 0.22
"""A face this share of its region off the middle gets a new region,"""
_GROWN = 1.4
"""and so does one that grew or shrank by this factor."""
_SIGHTINGS = 2
"""A face that joins is told of once it was seen this often: letters and clouds look like a face for one picture."""
_SMALLEST_PX = 16
"""Side of the smallest part of a picture that is looked at."""
_SETTLING_PASSES = 3
"""A mesh that was moved finds its points again within so many passes over one picture."""


class LandmarkDetector(Protocol):
    """Finds the faces of consecutive frames of one source."""

    def detect(self, frame: Frame) -> list[Face]:
        """Faces of this frame, in no promised order. Frames may be left out; their times must grow."""

    def close(self) -> None:
        """Release the models."""


class FaceMeshDetector:
    """MediaPipe: its face detector over tiles of the picture, its face mesh on a part of the picture for every face.

    A mesh over the whole picture misses faces narrower than a tenth of it, and searches it whole in every frame in
    which it sees fewer faces than it was told to expect. So the search is taken out of it: one tile at a time, whether
    or not faces are in view, and the mesh sees only the surroundings of its own face.

    Args:
        max_faces: more than this many are ignored.

    Raises:
        ContractError: if ``max_faces`` is not positive.
    """

    def __init__(self, max_faces: int = 4) -> None:
        if max_faces < 1:
            raise ContractError(f"max_faces is {max_faces}; expected 1 or more")
        self._max_faces = max_faces
        self._search = BoxModel()
        self._idle = [MeshModel()]
        self._watched: list[_WatchedFace] = []
        self._next_search_s = 0.0
        self._searches = 0

    def detect(self, frame: Frame) -> list[Face]:
        """See :meth:`LandmarkDetector.detect`. The first frame is searched whole, later ones a tile at a time."""
        for watched in self._watched:
            watched.look(frame.pixels)
        self._drop_lost()
        if len(self._watched) < self._max_faces and (not self._watched or frame.t_s >= self._next_search_s):
            self._next_search_s = frame.t_s + SEARCH_INTERVAL_S
            self._search_for_more(frame.pixels)
        return [w.face for w in self._watched if w.face is not None and w.sightings >= _SIGHTINGS]

    def close(self) -> None:
        """Release the models."""
        for mesh in (*self._idle, *(watched.mesh for watched in self._watched)):
            mesh.close()
        self._idle, self._watched = [], []
        self._search.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drop_lost(self) -> None:
        """Give up meshes that see nothing, and the younger of two that see the same face."""
        kept: list[_WatchedFace] = []
        for watched in self._watched:
            box = watched.box
            if box is None or any(other.box is not None and box.same_face_as(other.box) for other in kept):
                self._idle.append(watched.mesh)
            else:
                kept.append(watched)
        self._watched = kept

    def _search_for_more(self, pixels: UInt8Array) -> None:
        for tile in self._next_tiles(pixels.shape[1], pixels.shape[0]):
            for found in self._search.boxes(tile.cut(pixels)):
                box = found.shifted(tile.left, tile.top)
                if len(self._watched) < self._max_faces and not self._is_watched(box):
                    self._watch(box, pixels)

    def _next_tiles(self, width_px: int, height_px: int) -> tuple[Box, ...]:
        """All of them at first; then the whole picture, where large faces are found, and one part after the other."""
        whole, *parts = tiles(width_px, height_px)
        number, self._searches = self._searches, self._searches + 1
        if number == 0 or not parts:
            return (whole, *parts)
        return (whole, parts[number % len(parts)])

    def _is_watched(self, box: Box) -> bool:
        return any(watched.box is not None and box.same_face_as(watched.box) for watched in self._watched)

    def _watch(self, box: Box, pixels: UInt8Array) -> None:
        mesh = self._idle.pop() if self._idle else MeshModel()
        mesh.forget()
        watched = _WatchedFace(mesh, box)
        if self._searches == 1:  # a first picture may be the only one
            watched.sightings = _SIGHTINGS
        watched.look(pixels)
        if watched.box is None or self._is_watched(watched.box):
            self._idle.append(mesh)
        else:
            self._watched.append(watched)


class _WatchedFace:
    """One mesh and the part of the picture it sees."""

    def __init__(self, mesh: MeshModel, box: Box) -> None:
        self.mesh = mesh
        self.face: Face | None = None
        self.sightings = 0
        """In how many pictures the face was seen."""
        self._seen = box
        self._region: Box | None = None
        self._size_then = 1.0

    @property
    def box(self) -> Box | None:
        """Around the landmarks; None where the face was not seen."""
        return None if self.face is None else Box(*self.face.box_px)

    def look(self, pixels: UInt8Array) -> None:
        """Find the face in the next picture, near where it was."""
        region = self._region
        moved = region is None or self._outgrown(region, pixels)
        if region is None or moved:
            region = self._region = self._seen.around(_REGION, pixels.shape[1], pixels.shape[0])
            self._size_then = max(self._seen.width, 1.0)
        if region.width < _SMALLEST_PX or region.height < _SMALLEST_PX:
            self.face = None
            return
        part = region.cut(pixels)
        face = None
        for _ in range(_SETTLING_PASSES if moved else 1):
            face = self.mesh.face(part)
        if face is None:
            self.face = None
            return
        corner = np.array([region.left, region.top], dtype=np.float32)
        self.face = Face(face.landmarks_px + corner, yaw_deg=face.yaw_deg, pitch_deg=face.pitch_deg)
        self.sightings += 1
        self._seen = Box(*self.face.box_px)

    def _outgrown(self, region: Box, pixels: UInt8Array) -> bool:
        """Whether another region would show the face better than this one."""
        better = self._seen.around(_REGION, pixels.shape[1], pixels.shape[0])
        if region.right > pixels.shape[1] or region.bottom > pixels.shape[0]:
            return True
        grown = self._seen.width / self._size_then
        off = max(abs(a - b) for a, b in zip(region.centre, better.centre, strict=True))
        return off > _OFF_CENTRE * max(region.width, region.height) or not 1 / _GROWN < grown < _GROWN


def landmarks_of_photo(pixels: UInt8Array, detector: LandmarkDetector) -> Face | None:
    """The largest face of a single picture, or None.

    A few passes let the tracker settle, which is steadier than one cold detection.
    """
    faces: list[Face] = []
    for index in range(4):
        faces = detector.detect(Frame(pixels=pixels, index=index, t_s=index / 30, captured_s=0.0, source="photo"))
    return max(faces, key=lambda face: float(np.ptp(face.landmarks_px, axis=0).prod()), default=None)
