"""Faces of consecutive frames: a search now and then, and one mesh for every face that was found."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Protocol

import numpy as np

from tsfmicro.background import background_thread
from tsfmicro.closing import Closing
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
_TAKEN_UP_AFTER_S = 0.1
"""What a search found is taken up so much later, media time; it is ready by then wherever a session keeps up."""
_SETTLING_PASSES = 3
"""A mesh that was moved finds its points again within so many passes over one picture."""


class LandmarkDetector(Protocol):
    """Finds the faces of consecutive frames of one source."""

    def detect(self, frame: Frame) -> list[Face]:
        """Faces of this frame, in no promised order. Frames may be left out; their times must grow."""

    def close(self) -> None:
        """Release the models."""


class FaceMeshDetector(Closing):
    """MediaPipe: its face detector over tiles of the picture, its face mesh on a part of the picture for every face.

    A mesh over the whole picture misses faces narrower than a tenth of it, and searches it whole in every frame in
    which it sees fewer faces than it was told to expect. So the search is taken out of it: one tile at a time, whether
    or not faces are in view, and the mesh sees only the surroundings of its own face.

    A search, and a mesh that finds its points on a new face, take longer than a frame may; so both run beside the next
    frames. What was found is taken up so long after its picture as a clock of the media says, however long it took: the
    same frames give the same faces.

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
        self._beside = background_thread("face-search")
        self._found: Future[list[_WatchedFace]] | None = None
        self._taken_up_s = 0.0

    def detect(self, frame: Frame) -> list[Face]:
        """See :meth:`LandmarkDetector.detect`. The first frame is searched whole, later ones a tile at a time."""
        had_faces = bool(self._watched)
        for watched in self._watched:
            watched.look(frame.pixels)
        self._drop_lost()
        lost_all = had_faces and not self._watched
        if self._found is not None and (lost_all or frame.t_s >= self._taken_up_s):
            self._take_up(self._found.result(), frame.pixels)
            self._found = None
        if self._found is None and (not self._watched or self._is_due(frame)):
            self._next_search_s = frame.t_s + SEARCH_INTERVAL_S
            if lost_all or self._searches == 0:
                self._search_now(frame.pixels)
            else:
                self._search_beside(frame)
        return [w.face for w in self._watched if w.face is not None and w.sightings >= _SIGHTINGS]

    def close(self) -> None:
        """Release the models."""
        self._beside.shutdown()
        found = [] if self._found is None else self._found.result()
        for mesh in (*self._idle, *(watched.mesh for watched in (*self._watched, *found))):
            mesh.close()
        self._found = None
        self._idle, self._watched = [], []
        self._search.close()

    def _drop_lost(self) -> None:
        """Give up meshes that see nothing, and the younger of two that see the same face."""
        kept: list[_WatchedFace] = []
        for watched in self._watched:
            box = watched.box
            if box is None or _is_among(box, (other.box for other in kept if other.box is not None)):
                self._idle.append(watched.mesh)
            else:
                kept.append(watched)
        self._watched = kept

    def _is_due(self, frame: Frame) -> bool:
        return len(self._watched) < self._max_faces and frame.t_s >= self._next_search_s

    def _search_now(self, pixels: UInt8Array) -> None:
        """Nothing else is to be done: this is the first picture, or every face was lost in it."""
        first = self._searches == 0
        self._watched = self._find(self._next_tiles(pixels), pixels, [])
        if first:  # and it may be the only one
            for watched in self._watched:
                watched.sightings = _SIGHTINGS

    def _search_beside(self, frame: Frame) -> None:
        known = [watched.box for watched in self._watched if watched.box is not None]
        self._found = self._beside.submit(self._find, self._next_tiles(frame.pixels), frame.pixels, known)
        self._taken_up_s = frame.t_s + _TAKEN_UP_AFTER_S

    def _find(self, parts: tuple[Box, ...], pixels: UInt8Array, known: list[Box]) -> list[_WatchedFace]:
        """Faces in some parts of a picture, each seen by a mesh, that are not among those known."""
        found: list[_WatchedFace] = []
        known = [*known]
        for part in parts:
            for box in self._search.boxes(part.cut(pixels)):
                box = box.shifted(part.left, part.top)
                if len(known) == self._max_faces or _is_among(box, known):
                    continue
                mesh = self._idle.pop() if self._idle else MeshModel()
                mesh.forget()
                watched = _WatchedFace(mesh, box)
                watched.look(pixels)
                if watched.box is None or _is_among(watched.box, known):
                    self._idle.append(mesh)
                else:
                    known.append(watched.box)
                    found.append(watched)
        return found

    def _take_up(self, found: list[_WatchedFace], pixels: UInt8Array) -> None:
        """Watch what was found in an earlier picture, where it is in this one."""
        self._watched += found[: self._max_faces - len(self._watched)]
        self._idle += [watched.mesh for watched in found if watched not in self._watched]
        for watched in found:
            if watched in self._watched:
                watched.catch_up(pixels)
        self._drop_lost()

    def _next_tiles(self, pixels: UInt8Array) -> tuple[Box, ...]:
        """All of them at first; then the whole picture, where large faces are found, and one part after the other."""
        whole, *parts = tiles(pixels.shape[1], pixels.shape[0])
        number, self._searches = self._searches, self._searches + 1
        if number == 0 or not parts:
            return (whole, *parts)
        return (whole, parts[number % len(parts)])


def _is_among(box: Box, boxes: Iterable[Box]) -> bool:
    return any(box.same_face_as(other) for other in boxes)


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

    def catch_up(self, pixels: UInt8Array) -> None:
        """Find the face in a picture that is not the next: it may have gone further than a mesh follows at once."""
        self._region = None
        self.look(pixels)

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
