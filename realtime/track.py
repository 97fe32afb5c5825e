"""Identities over time: which face of this frame is which face of the last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tsfmicro.landmarks.boxes import Box
from tsfmicro.values import Face, Float64Array, Moment, TrackedFace

PATIENCE_S = 1.0
"""How long an identity waits for its face: a hand, or somebody who walks past."""
_SAME_FACE_WIDTHS = 0.6
"""A face may be this many of its own widths away from where it was expected and still be the same."""
_VELOCITY_MEMORY_S = 0.3


@dataclass(slots=True)
class _Track:
    face_id: int
    centre: Float64Array
    width_px: float
    last_seen: Moment
    velocity: Float64Array = field(default_factory=lambda: np.zeros(2))
    """Pixels a second."""

    def expected(self, t_s: float) -> Float64Array:
        """Where its centre should be: two faces that cross are told apart by the way they go."""
        return self.centre + self.velocity * (t_s - self.last_seen.t_s)

    def move(self, at: Moment, box: Box) -> None:
        centre = np.array(box.centre)
        step_s = at.t_s - self.last_seen.t_s
        if step_s > 0:
            weight = 1 - np.exp(-step_s / _VELOCITY_MEMORY_S)
            self.velocity = self.velocity + weight * ((centre - self.centre) / step_s - self.velocity)
        self.centre, self.width_px, self.last_seen = centre, max(box.width, 1.0), at


@dataclass(frozen=True, slots=True)
class TrackerUpdate:
    """Faces in view, and identities that were given up."""

    faces: tuple[TrackedFace, ...]
    lost: tuple[tuple[int, Moment], ...]
    """Identity and the last frame it was seen in."""


class FaceTracker:
    """Nearest-first matching of faces to where they are expected. An identity given up is never given again.

    Args:
        patience_s: how long an identity waits for its face.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._tracks: list[_Track] = []
        self._seen = 0

    @property
    def identities(self) -> int:
        """Identities given so far."""
        return self._seen

    def update(self, at: Moment, faces: list[Face]) -> TrackerUpdate:
        """Match the faces that were found in the next frame."""
        lost = [t for t in self._tracks if at.t_s - t.last_seen.t_s > self._patience_s]
        self._tracks = [t for t in self._tracks if t not in lost]
        boxes = [Box(*face.box_px) for face in faces]
        pairs = sorted(
            (float(np.linalg.norm(box.centre - track.expected(at.t_s))) / max(box.width, track.width_px), f, t)
            for f, box in enumerate(boxes)
            for t, track in enumerate(self._tracks)
        )
        face_of_track: dict[int, int] = {}
        for distance, f, t in pairs:
            if distance <= _SAME_FACE_WIDTHS and f not in face_of_track.values() and t not in face_of_track:
                face_of_track[t] = f
        track_of_face = {f: self._tracks[t] for t, f in face_of_track.items()}
        tracked: list[TrackedFace] = []
        for f, (face, box) in enumerate(zip(faces, boxes, strict=True)):
            track = track_of_face.get(f)
            is_new = track is None
            if track is None:
                self._seen += 1
                track = _Track(self._seen, np.array(box.centre), max(box.width, 1.0), at)
                self._tracks.append(track)
            track.move(at, box)
            tracked.append(TrackedFace(track.face_id, face, is_new))
        return TrackerUpdate(
            tuple(sorted(tracked, key=lambda t: t.face_id)), tuple((t.face_id, t.last_seen) for t in lost)
        )

    def carry(self, at: Moment, boxes: Mapping[int, Box]) -> None:
        """Faces that were followed into the next frame without being searched for."""
        for track in self._tracks:
            if track.face_id in boxes:
                track.move(at, boxes[track.face_id])

    def close(self) -> tuple[tuple[int, Moment], ...]:
        """Give up every identity, at the end of a source."""
        lost = tuple((t.face_id, t.last_seen) for t in self._tracks)
        self._tracks = []
        return lost
