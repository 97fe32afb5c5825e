"""Photographs to make people from: pictures and clips on disk, or the portrait that a dependency carries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from tsfmicro.align import RIGHT_EYE_OUTER, interocular_distance_px
from tsfmicro.errors import SourceError
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.synthetic.portrait import Portrait, framed, portrait_of
from tsfmicro.values import Face, Float32Array, Frame, UInt8Array

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
CLIP_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".gif"})
FRAMES_PER_CLIP = 5
MIN_IOD_PX = 34.0
MAX_ASYMMETRY = 0.16
"""How far the nose tip may stand beside the eyes' middle, inter-ocular distances: frontal faces only."""
_NOSE_TIP, _LEFT_EYE_OUTER = 1, 33
_STORED_IOD_PX = 160.0
ASTRONAUT = "astronaut"
"""Name of the built-in person."""


def astronaut() -> Portrait:
    """The public-domain portrait of Eileen Collins (NASA) that scikit-image carries."""
    with FaceMeshDetector(max_faces=1) as detector:
        return portrait_of(ASTRONAUT, np.ascontiguousarray(data.astronaut()), detector)


def load_people(paths: list[Path]) -> dict[str, tuple[Portrait, ...]]:
    """Every usable frontal face, by person.

    A file is one person, except a photograph of several people, where each is one; a clip gives a few frames of its
    largest face.

    Raises:
        SourceError: if a path does not exist, holds no usable face, or names a person twice.
    """
    people: dict[str, tuple[Portrait, ...]] = {}
    for path in paths:
        found = _people_of(path)
        if not found:
            raise SourceError(f"{path} holds no frontal face at least {MIN_IOD_PX:.0f} px between the eyes")
        twice = sorted(set(found) & {*people, ASTRONAUT})
        if twice:
            raise SourceError(f"{path} would be a second person called {twice[0]}; rename the file")
        people.update(found)
    return people


def _people_of(path: Path) -> dict[str, tuple[Portrait, ...]]:
    if not path.is_file():
        raise SourceError(f"{path} does not exist, or is no file; expected a picture or a clip")
    if path.suffix.lower() in PHOTO_SUFFIXES:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise SourceError(f"{path} is not a picture that can be read")
        faces = _portraits(path.stem, np.ascontiguousarray(picture[..., ::-1]))
        return {portrait.name: (portrait,) for portrait in faces}
    if path.suffix.lower() not in CLIP_SUFFIXES:
        raise SourceError(f"{path} is neither a picture nor a clip: expected {sorted(PHOTO_SUFFIXES | CLIP_SUFFIXES)}")
    frames = [face for pixels in _sample_frames(path) for face in _portraits(path.stem, pixels)]
    people: dict[str, list[Portrait]] = {}
    for portrait in frames:
        people.setdefault(portrait.name, []).append(portrait)
    return {name: tuple(portraits) for name, portraits in people.items()}


def _portraits(stem: str, pixels: UInt8Array) -> list[Portrait]:
    with FaceMeshDetector(max_faces=6) as detector:
        faces: list[Face] = []
        for index in range(3):  # let the tracker settle
            faces = detector.detect(Frame(pixels, index, index / 30, 0.0, stem))
    usable = sorted((f for f in faces if _is_frontal(f.landmarks_px)), key=lambda f: f.box_px[0])
    return [
        _around(f"{stem}#{number}" if len(usable) > 1 else stem, pixels, face.landmarks_px)
        for number, face in enumerate(usable)
    ]


def _is_frontal(landmarks_px: Float32Array) -> bool:
    iod = interocular_distance_px(landmarks_px)
    if iod < MIN_IOD_PX:
        return False
    left, right = landmarks_px[_LEFT_EYE_OUTER], landmarks_px[RIGHT_EYE_OUTER]
    along = (right - left) / iod
    return abs(float((landmarks_px[_NOSE_TIP] - (left + right) / 2) @ along)) / iod < MAX_ASYMMETRY


def _around(name: str, pixels: UInt8Array, landmarks_px: Float32Array) -> Portrait:
    """The face upright with its surroundings, no larger than training ever asks for."""
    whole = Portrait(name, pixels, landmarks_px)
    iod = min(whole.iod_px, _STORED_IOD_PX)
    side = int(3.2 * iod)
    return framed(whole, side, side, iod, (0.5, 0.38))


def _sample_frames(path: Path) -> Iterator[UInt8Array]:
    reader = cv2.VideoCapture(str(path))
    frames: list[UInt8Array] = []
    try:
        while True:
            ok, picture = reader.read()
            if not ok:
                break
            frames.append(np.ascontiguousarray(picture[..., ::-1]))
    finally:
        reader.release()
    for index in np.linspace(0, len(frames) - 1, FRAMES_PER_CLIP).astype(int) if frames else ():
        yield frames[index]
