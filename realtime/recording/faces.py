"""One face in one frame, as a recording keeps it."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import cv2
import numpy as np

from tsfmicro.align import AlignSpec
from tsfmicro.motion import FacePatch, aligned_grey, grey_of
from tsfmicro.realtime.look import Look
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.watch import SeenFace
from tsfmicro.values import Float32Array, Float64Array, Moment, UInt8Array

_FAST = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
"""Half the time of the default and hardly larger: a camera's noise does not compress."""


def to_record(face: SeenFace, points_px: Float32Array | None) -> dict[str, Any]:
    """Everything but the pixels, as JSON values.

    The grey patch is left out: it is computed from the pixels again, by the same function.

    Args:
        face: the face.
        points_px: of its last record; the points change only when the face gets a new anchor, and are left out while
            they do not.
    """
    sample = face.sample
    record: dict[str, Any] = {
        "box_px": [float(side) for side in face.box_px],
        "new_iod_px": None if face.new_iod_px is None else float(face.new_iod_px),
        "to_crop": sample.patch.to_crop.tolist(),
        "pixels_to_crop": sample.pixels_to_crop.tolist(),
        "centre_px": [float(value) for value in sample.centre_px],
        "iod_px": float(sample.iod_px),
        "look": [float(value) for value in astuple(sample.look)],
        "overlap": float(sample.overlap),
    }
    if points_px is None or not np.array_equal(points_px, sample.patch.points_px):
        record["points_px"] = sample.patch.points_px.tolist()
    return record


def from_record(
    record: dict[str, Any], at: Moment, pixels: UInt8Array, points_px: Float32Array | None, align: AlignSpec
) -> SeenFace:
    """What :func:`to_record` was given, bit for bit.

    Raises:
        KeyError, TypeError, ValueError: the record is not what was written.
    """
    if "points_px" in record:
        points_px = np.array(record["points_px"], dtype=np.float32)
    if points_px is None:
        raise ValueError("the face has no points")
    pixels_to_crop = _transform(record["pixels_to_crop"])
    grey = aligned_grey(grey_of(pixels), pixels_to_crop, align)
    x, y = record["centre_px"]
    left, top, right, bottom = record["box_px"]
    sample = FaceSample(
        moment=at,
        patch=FacePatch(grey, _transform(record["to_crop"]), points_px),
        pixels=pixels,
        pixels_to_crop=pixels_to_crop,
        centre_px=(x, y),
        iod_px=record["iod_px"],
        look=Look(*record["look"]),
        overlap=record["overlap"],
    )
    return SeenFace(sample, (left, top, right, bottom), record["new_iod_px"])


def origin_px(sample: FaceSample) -> tuple[int, int]:
    """Left, top of a sample's pixels in their frame, read off its two transforms."""
    linear = sample.patch.to_crop[:, :2]
    left, top = np.linalg.solve(linear, sample.pixels_to_crop[:, 2] - sample.patch.to_crop[:, 2])
    return round(float(left)), round(float(top))


def to_png(pixels: UInt8Array) -> bytes:
    """(h, w, 3) RGB without loss."""
    done, png = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _FAST)
    if not done:
        raise ValueError(f"a picture of {pixels.shape} cannot be written as PNG")
    return png.tobytes()


def from_png(png: bytes) -> UInt8Array:
    """What :func:`to_png` was given.

    Raises:
        ValueError: it is no picture.
    """
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) if png else None
    if picture is None:
        raise ValueError("a crop is no picture")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _transform(rows: Any) -> Float64Array:
    transform = np.array(rows, dtype=np.float64)
    if transform.shape != (2, 3):
        raise ValueError(f"a transform is {transform.shape}")
    return transform
