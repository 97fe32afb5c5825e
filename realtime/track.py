"""Identities over time: which face of this frame is which face of the last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsfmicro.values import Face, Float32Array, Moment, TrackedFace

PATIENCE_S = 0.5
"""How long an identity waits for its face."""
_SAME_FACE_WIDTHS = 0.6
"""A face may move this many of its own widths between two frames and still be the same."""


@dataclass(slots=True)
class _Track:
    face_id: int
    centre: Float32Array
    width_px: float
    last_seen: Moment


@dataclass(frozen=True, slots=True)
class TrackerUpdate:
    """Faces in view, and identities that were given up."""

    faces: tuple[TrackedFace, ...]
    lost: tuple[tuple[int, Moment], ...]
    """Identity and the last frame it was seen in."""


class FaceTracker:
    """Nearest-first matching of face centres. An identity out of view for long is given up, never given again.

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
        """Match the faces of the next frame."""
        lost = [t for t in self._tracks if at.t_s - t.last_seen.t_s > self._patience_s]
        self._tracks = [t for t in self._tracks if t not in lost]
        places = [_place(face) for face in faces]
        pairs = sorted(
            (float(np.linalg.norm(centre - track.centre)) / max(width, track.width_px), f, t)
            for f, (centre, width) in enumerate(places)
            for t, track in enumerate(self._tracks)
        )
        face_of_track: dict[int, int] = {}
        for distance, f, t in pairs:
            if distance <= _SAME_FACE_WIDTHS and f not in face_of_track.values() and t not in face_of_track:
                face_of_track[t] = f
        track_of_face = {f: self._tracks[t] for t, f in face_of_track.items()}
        tracked: list[TrackedFace] = []
        for f, face in enumerate(faces):
            centre, width = places[f]
            track = track_of_face.get(f)
            is_new = track is None
            if track is None:
                self._seen += 1
                track = _Track(self._seen, centre, width, at)
                self._tracks.append(track)
            track.centre, track.width_px, track.last_seen = centre, width, at
            tracked.append(TrackedFace(track.face_id, face, is_new))
        return TrackerUpdate(
            tuple(sorted(tracked, key=lambda t: t.face_id)), tuple((t.face_id, t.last_seen) for t in lost)
        )

    def close(self) -> tuple[tuple[int, Moment], ...]:
        """Give up every identity, at the end of a source."""
        lost = tuple((t.face_id, t.last_seen) for t in self._tracks)
        self._tracks = []
        return lost


def _place(face: Face) -> tuple[Float32Array, float]:
    left, top, right, bottom = face.box_px
    return np.array([(left + right) / 2, (top + bottom) / 2], dtype=np.float32), max(right - left, 1.0)
