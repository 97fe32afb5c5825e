"""What was filmed: pictures, the landmarks that carry the truth, and blinks; decoded once for all takes of a clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from tsfmicro.benchmarks.spotting.clips import Clip, Kind
from tsfmicro.errors import SourceError
from tsfmicro.landmarks import FaceMeshDetector, eye_opening
from tsfmicro.realtime.sources import FileSource
from tsfmicro.synthetic.portrait import Portrait, framed, portrait_of
from tsfmicro.values import Face, Float32Array, Frame, UInt8Array

_CLOSED = 0.68
"""Share of the usual opening of the eyes (the median of two seconds around) under which they are closed."""
_USUAL_S = 2.0
_LONGEST_BLINK_S = 0.6
_STILL_PX, _STILL_IOD_PX = 420, 115.0
_STILL_EYES_AT = (0.5, 0.4)
_SEVERAL_FPS = 30.0
_SWAY_PX, _SWAY_S = 5.0, 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """A clip in memory."""

    times_s: tuple[float, ...]
    pictures: tuple[UInt8Array, ...]
    """(H, W, 3) RGB each."""
    landmarks_px: tuple[tuple[Float32Array | None, ...], ...]
    """Of every frame, (468, 2) of every face, or None where it is not seen."""
    blinks: tuple[tuple[float, float], ...]
    """Start and end, seconds, of every time both eyes were closed, after the landmarks of every frame."""

    @property
    def duration_s(self) -> float:
        """From the first frame to the end of the last."""
        return self.times_s[-1] + (self.times_s[-1] - self.times_s[0]) / max(len(self.times_s) - 1, 1)

    @property
    def watched_s(self) -> float:
        """How long a face was in view."""
        seen = sum(any(face is not None for face in faces) for faces in self.landmarks_px)
        return self.duration_s * seen / len(self.times_s)

    def backwards(self) -> Footage:
        """Played from its end to its beginning."""
        last_s = self.times_s[-1]
        return Footage(
            tuple(last_s - t_s for t_s in reversed(self.times_s)),
            self.pictures[::-1],
            self.landmarks_px[::-1],
            tuple((last_s - end_s, last_s - start_s) for start_s, end_s in reversed(self.blinks)),
        )

    def at_speed(self, speed: float) -> Footage:
        """Played so many times as fast."""
        times_s = tuple(t_s / speed for t_s in self.times_s)
        blinks = tuple((start_s / speed, end_s / speed) for start_s, end_s in self.blinks)
        return replace(self, times_s=times_s, blinks=blinks)


def load_footage(clip: Clip, folder: Path) -> Footage:
    """Decode a filmed stretch and take the landmarks of every frame of it.

    Raises:
        SourceError: if the file cannot be read, or no face is in the stretch.
    """
    if clip.kind is Kind.SEVERAL:
        return _several(clip, folder)
    times: list[float] = []
    pictures: list[UInt8Array] = []
    faces: list[Face | None] = []
    with FileSource(folder / clip.file) as source, FaceMeshDetector(max_faces=1) as detector:
        for frame in source.frames():
            if frame.t_s > clip.to_s + 1e-6:
                break
            found = detector.detect(frame)
            if frame.t_s >= clip.from_s - 1e-6:
                times.append(frame.t_s - clip.from_s)
                pictures.append(frame.pixels)
                faces.append(found[0] if found else None)
    if not any(faces):
        raise SourceError(f"no face found in {clip.file} between {clip.from_s} s and {clip.to_s} s")
    faces = _filled(faces)
    order = list(range(len(times)))
    if clip.loop_s:
        steps = np.diff(times)
        order = _to_and_fro(len(times), clip.loop_s / float(np.median(steps)))
        times = [float(t) for t in np.arange(len(order)) * float(np.median(steps))]
    else:
        times = [t - times[0] for t in times]
    faces = [faces[i] for i in order]
    return Footage(
        tuple(times),
        tuple(pictures[i] for i in order),
        tuple((None if face is None else face.landmarks_px,) for face in faces),
        tuple(blinks_in(times, [None if face is None else eye_opening(face) for face in faces])),
    )


def still_of(clip: Clip, folder: Path) -> Portrait:
    """The photograph of a still clip, framed like a webcam's picture.

    Raises:
        SourceError: if the file cannot be read, or no face is in it.
    """
    with FaceMeshDetector(max_faces=1) as detector:
        portrait = portrait_of(clip.name, _photograph(clip, folder), detector)
    return framed(portrait, _STILL_PX, _STILL_PX, _STILL_IOD_PX, _STILL_EYES_AT)


def blinks_in(times_s: list[float], openings: list[float | None]) -> Iterator[tuple[float, float]]:
    """Stretches in which the eyes are open less than about two thirds of what is usual around then.

    A stretch longer than 0.6 s is no blink: the eyes are lowered or shut.
    """
    times = np.array(times_s)
    values = np.array([np.nan if opening is None else opening for opening in openings])
    closed = np.zeros(len(values), dtype=bool)
    for i, t_s in enumerate(times):
        near = values[np.abs(times - t_s) <= _USUAL_S / 2]
        near = near[~np.isnan(near)]
        closed[i] = bool(near.size) and bool(values[i] < _CLOSED * np.median(near))
    edges = np.diff(np.concatenate([[0], closed.astype(int), [0]]))
    for start, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        if times[end - 1] - times[start] <= _LONGEST_BLINK_S:
            yield float(times[start]), float(times[end - 1])


def _photograph(clip: Clip, folder: Path) -> UInt8Array:
    if not clip.file:
        from skimage import data

        return np.ascontiguousarray(data.astronaut())
    if Path(clip.file).suffix.lower() in {".jpg", ".png"}:
        return _picture(folder / clip.file)
    with FileSource(folder / clip.file) as source:
        for frame in source.frames():
            if frame.t_s >= clip.from_s - 1e-6:
                return frame.pixels
    raise SourceError(f"{clip.file} ends before {clip.from_s} s")


def _picture(path: Path) -> UInt8Array:
    picture = cv2.imread(str(path))
    if picture is None:
        raise SourceError(f"{path} cannot be read as a picture")
    return np.ascontiguousarray(picture[..., ::-1], dtype=np.uint8)


def _several(clip: Clip, folder: Path) -> Footage:
    """A photograph of several people, swaying as before a hand-held camera."""
    photo = _picture(folder / clip.file)
    height, width = photo.shape[:2]
    with FaceMeshDetector(max_faces=8) as detector:
        for index in range(6):  # faces that join are told of once they were seen twice
            found = detector.detect(Frame(photo, index, index * 0.2, 0.0, clip.name))
    times = [float(t) for t in np.arange(int(clip.loop_s * _SEVERAL_FPS)) / _SEVERAL_FPS]
    pictures: list[UInt8Array] = []
    places: list[tuple[Float32Array | None, ...]] = []
    for t_s in times:
        phase = 2 * np.pi * t_s / _SWAY_S
        shift = np.array([[1.0, 0.0, _SWAY_PX * np.sin(phase)], [0.0, 1.0, _SWAY_PX * np.sin(0.7 * phase)]])
        warped = cv2.warpAffine(photo, shift, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        pictures.append(np.asarray(warped, dtype=np.uint8))
        places.append(tuple((face.landmarks_px + shift[:, 2]).astype(np.float32) for face in found))
    return Footage(tuple(times), tuple(pictures), tuple(places), ())


def _filled(faces: list[Face | None]) -> list[Face | None]:
    """A face missed in a single frame is where its neighbours have it."""
    filled = list(faces)
    for i in range(1, len(faces) - 1):
        before, after = faces[i - 1], faces[i + 1]
        if faces[i] is None and before is not None and after is not None:
            filled[i] = Face(((before.landmarks_px + after.landmarks_px) / 2).astype(np.float32))
    return filled


def _to_and_fro(count: int, wanted: float) -> list[int]:
    cycle = [*range(count), *range(count - 2, 0, -1)]
    return [cycle[i % len(cycle)] for i in range(round(wanted))]
