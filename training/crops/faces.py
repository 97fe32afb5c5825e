"""From an onset and an apex picture to their crops: as the data set cut them, by face mesh, or by MTCNN."""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from tsfmicro.align import compose, interocular_distance_px
from tsfmicro.errors import SourceError
from tsfmicro.landmarks import FaceMeshDetector, landmarks_of_photo
from tsfmicro.motion import displacement, face_patch
from tsfmicro.preprocess import Preprocessor, PreprocessSpec
from tsfmicro.values import CropPair, UInt8Array

PairCropper = Callable[[UInt8Array, UInt8Array], CropPair]
"""Takes two (H, W, 3) uint8 RGB pictures.

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


def make_cropper(faces: Faces, spec: PreprocessSpec) -> PairCropper:
    """The one that was asked for; models are loaded here, once a process."""
    if faces is Faces.DATASET:
        return _WholePicture(spec)
    if faces is Faces.LANDMARKS:
        return _ByLandmarks(spec)
    return _ByMtcnn(spec)


class _WholePicture:
    def __init__(self, spec: PreprocessSpec) -> None:
        self._side = (spec.align.size_px, spec.align.size_px)

    def __call__(self, onset: UInt8Array, apex: UInt8Array) -> CropPair:
        return CropPair(_resized(onset, self._side), _resized(apex, self._side))


def _resized(pixels: UInt8Array, side: tuple[int, int]) -> UInt8Array:
    shrinks = pixels.shape[0] > side[0] or pixels.shape[1] > side[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, side, interpolation=interpolation), dtype=np.uint8)


class _ByLandmarks:
    """The crops of the live loop: the apex held on the onset by the head's measured motion, not by its landmarks."""

    def __init__(self, spec: PreprocessSpec) -> None:
        self._preprocessor = Preprocessor(spec)

    def __call__(self, onset: UInt8Array, apex: UInt8Array) -> CropPair:
        # A tracker carries the last face over into the next picture, so every picture gets a new one.
        patches = []
        for name, pixels in (("onset", onset), ("apex", apex)):
            with FaceMeshDetector(max_faces=1) as detector:
                face = landmarks_of_photo(pixels, detector)
            if face is None or interocular_distance_px(face.landmarks_px) < 1:
                raise SourceError(f"no face found in the {name} frame")
            patches.append(face_patch(pixels, face.landmarks_px, self._preprocessor.spec.align))
        first, second = patches
        moved = displacement(first, second, self._preprocessor.spec.align)
        back = np.asarray(cv2.invertAffineTransform(moved.rigid), dtype=np.float64)
        return self._preprocessor.crop_pair(onset, first.to_crop, apex, compose(back, second.to_crop))


class _ByMtcnn:
    def __init__(self, spec: PreprocessSpec) -> None:
        from facenet_pytorch import MTCNN

        self._side = (spec.align.size_px, spec.align.size_px)
        self._detector = MTCNN(select_largest=True, post_process=False, device="cpu")

    def __call__(self, onset: UInt8Array, apex: UInt8Array) -> CropPair:
        boxes, _ = self._detector.detect(onset)
        if boxes is None:
            raise SourceError("no face found in the onset frame")
        height, width = (min(a, b) for a, b in zip(onset.shape[:2], apex.shape[:2], strict=True))
        left, top = (max(round(float(value)), 0) for value in boxes[0][:2])
        right, bottom = min(round(float(boxes[0][2])), width), min(round(float(boxes[0][3])), height)
        if right - left < 16 or bottom - top < 16:
            raise SourceError("the face in the onset frame is smaller than 16 px")
        return CropPair(
            _resized(onset[top:bottom, left:right], self._side), _resized(apex[top:bottom, left:right], self._side)
        )
