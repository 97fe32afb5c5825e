"""Clips that differ in one thing: how many faces they show, or how large their picture is. Made of one clip."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

from tsfmicro.errors import UsageError
from tsfmicro.realtime.sources import open_source
from tsfmicro.values import UInt8Array

TILES = 4
"""Two by two; as many faces as a session follows in one source."""
_APART = 41
"""Frames between the same movement on two faces, so that not all of them move at once."""
_GREY = 128


def write_faces(clip: Path, path: Path, faces: int, max_frames: int) -> Path:
    """Two by two tiles, so many of them the clip, each begun a little later, the others grey.

    Args:
        clip: of one face.
        path: where to; H.264.
        faces: 1 to ``TILES``.
        max_frames: at most so many are written; fewer where the clip ends, but as many for every number of faces.

    Raises:
        UsageError: the clip is too short.
    """
    streams = [islice(_pictures(clip), number * _APART, None) for number in range(TILES)]

    def pictures() -> Iterator[UInt8Array]:
        for tiles in zip(*streams, strict=False):
            shown = [tile if number < faces else np.full_like(tile, _GREY) for number, tile in enumerate(tiles)]
            yield np.vstack([np.hstack(shown[:2]), np.hstack(shown[2:])])

    return _write(path, islice(pictures(), max_frames), clip)


def write_scaled(clip: Path, path: Path, scale: float, max_frames: int) -> Path:
    """The clip in a picture of another size, its face with it.

    Raises:
        UsageError: the clip is too short.
    """

    def pictures() -> Iterator[UInt8Array]:
        for pixels in _pictures(clip):
            size = [2 * round(side * scale / 2) for side in (pixels.shape[1], pixels.shape[0])]
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            yield np.asarray(cv2.resize(pixels, size, interpolation=method), dtype=np.uint8)

    return _write(path, islice(pictures(), max_frames), clip)


def _pictures(clip: Path) -> Iterator[UInt8Array]:
    with open_source(str(clip)) as source:
        for frame in source.frames():
            yield frame.pixels


def _write(path: Path, pictures: Iterator[UInt8Array], clip: Path) -> Path:
    first = next(pictures, None)
    if first is None:
        raise UsageError(f"{clip.name} is too short; expected more than {(TILES - 1) * _APART} frames")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=60)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "18", "preset": "veryfast"}
        container.mux(stream.encode(av.VideoFrame.from_ndarray(first, format="rgb24")))
        for pixels in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path
