"""From pictures of a clip to their crops: as the data set cut them, by face mesh, or by MTCNN."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from tsfmicro.align import compose, interocular_distance_px
from tsfmicro.errors import SourceError
from tsfmicro.landmarks import FaceMeshDetector, landmarks_of_photo
from tsfmicro.motion import displacement, face_patch
from tsfmicro.preprocess import Preprocessor, PreprocessSpec
from tsfmicro.values import UInt8Array

Cropper = Callable[[Sequence[UInt8Array]], list[UInt8Array]]
"""Takes the (H, W, 3) uint8 RGB pictures of one clip, onset and apex or the frames of a window, and gives a (S, S, 3)
crop of each; all are held on the first.

Raises:
    SourceError: if there is no face to crop.
"""


class Faces(enum.StrEnum):
    """Who finds the face."""

    DATASET = "dataset"
    """Nobody: the data set's own crops as they are, resized."""
    LANDMARKS = "landmarks"
    """The landmark component and the alignment of the live loop."""
    MTCNN = "mtcnn"
    """The detector of the TSFmicro paper; its box on the onset is used for both."""


def read_picture(path: Path) -> UInt8Array:
    """(H, W, 3) uint8 RGB of a picture, grey ones included.

    Raises:
        SourceError: if it cannot be read.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise SourceError(f"{path.name} cannot be read: {error.strerror}") from error
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if picture is None:
        raise SourceError(f"{path.name} is not a picture that can be decoded")
    return np.ascontiguousarray(picture[..., ::-1])


def make_cropper(faces: Faces, spec: PreprocessSpec) -> Cropper:
    """The one that was asked for; models are loaded here, once a process."""
    if faces is Faces.DATASET:
        return _WholePicture(spec)
    if faces is Faces.LANDMARKS:
        return _ByLandmarks(spec)
    return _ByMtcnn(spec)


class _WholePicture:
    def __init__(self, spec: PreprocessSpec) -> None:
        self._side = (spec.align.size_px, spec.align.size_px)

    def __call__(self, pictures: Sequence[UInt8Array]) -> list[UInt8Array]:
        return [_resized(picture, self._side) for picture in pictures]


def _resized(pixels: UInt8Array, side: tuple[int, int]) -> UInt8Array:
    shrinks = pixels.shape[0] > side[0] or pixels.shape[1] > side[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, side, interpolation=interpolation), dtype=np.uint8)


class _ByLandmarks:
    """The crops of the live loop: all held on the first by the head's measured motion, not by their landmarks."""

    def __init__(self, spec: PreprocessSpec) -> None:
        self._preprocessor = Preprocessor(spec)

    def __call__(self, pictures: Sequence[UInt8Array]) -> list[UInt8Array]:
        # A tracker carries the last face over into the next picture, so every picture gets a new one.
        patches = []
        align = self._preprocessor.spec.align
        for index, pixels in enumerate(pictures):
            with FaceMeshDetector(max_faces=1) as detector:
                face = landmarks_of_photo(pixels, detector)
            if face is None or interocular_distance_px(face.landmarks_px) < 1:
                raise SourceError(f"no face found in the {_name(index, len(pictures))} frame")
            patches.append(face_patch(pixels, face.landmarks_px, align))
        crops = [self._preprocessor.crop(pictures[0], patches[0].to_crop)]
        for pixels, patch in zip(pictures[1:], patches[1:], strict=True):
            moved = displacement(patches[0], patch, align)
            back = np.asarray(cv2.invertAffineTransform(moved.rigid), dtype=np.float64)
            crops.append(self._preprocessor.crop(pixels, compose(back, patch.to_crop)))
        return crops


def _name(index: int, count: int) -> str:
    if count == 2:
        return ("onset", "apex")[index]
    return "first" if index == 0 else f"window's {index + 1}."


class _ByMtcnn:
    def __init__(self, spec: PreprocessSpec) -> None:
        from facenet_pytorch import MTCNN

        self._side = (spec.align.size_px, spec.align.size_px)
        self._detector = MTCNN(select_largest=True, post_process=False, device="cpu")

    def __call__(self, pictures: Sequence[UInt8Array]) -> list[UInt8Array]:
        boxes, _ = self._detector.detect(pictures[0])
        which = _name(0, len(pictures))
        if boxes is None:
            raise SourceError(f"no face found in the {which} frame")
        height, width = (min(picture.shape[axis] for picture in pictures) for axis in (0, 1))
        left, top = (max(round(float(value)), 0) for value in boxes[0][:2])
        right, bottom = min(round(float(boxes[0][2])), width), min(round(float(boxes[0][3])), height)
        if right - left < 16 or bottom - top < 16:
            raise SourceError(f"the face in the {which} frame is smaller than 16 px")
        return [_resized(picture[top:bottom, left:right], self._side) for picture in pictures]
