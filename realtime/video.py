"""The annotated video: what was seen, with the source's own timing."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from tsfmicro.closing import Closing
from tsfmicro.errors import ContractError, UsageError
from tsfmicro.values import UInt8Array, require_array

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")
"""Containers that keep a variable frame rate."""
_TICKS = {"libx264": 90_000, "mpeg4": 60_000}
"""Ticks a second by codec, best first; MPEG-4 counts a second in 16 bits."""
_KEYFRAME_EVERY_S = 2.0


class AnnotatedVideoWriter(Closing):
    """Writes pictures at their media times. Nothing is created before the first picture."""

    def __init__(self, path: str | Path, fps_hint: float | None = None) -> None:
        """Check the path.

        Args:
            path: the file; its suffix chooses the container.
            fps_hint: about how many pictures a second to expect; only for the encoder's rate control.

        Raises:
            UsageError: nothing can be written there, or the suffix is unknown.
        """
        self._path = Path(path)
        self._fps = Fraction(fps_hint or 30.0).limit_denominator(1001)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._size = (0, 0)
        self._last_pts: int | None = None
        if self._path.suffix.lower() not in VIDEO_SUFFIXES:
            raise UsageError(
                f"the annotated video is to be {self._path}; expected a name ending in {', '.join(VIDEO_SUFFIXES)}."
            )
        if self._path.is_dir():
            raise UsageError(f"the annotated video cannot be written to {self._path}: it is a folder.")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def write(self, pixels_rgb: UInt8Array, t_s: float) -> None:
        """Append one picture.

        Args:
            pixels_rgb: (H, W, 3); of another size than the first it is fitted in with black bars.
            t_s: media seconds, later than the one before.

        Raises:
            ContractError: wrong shape, or ``t_s`` does not advance.
            UsageError: the file cannot be written.
        """
        require_array("pixels_rgb", pixels_rgb, (None, None, 3), np.uint8)
        try:
            stream, container = self._opened(pixels_rgb)
            ticks = stream.codec_context.time_base
            pts = round(t_s / float(ticks))
            if self._last_pts is not None and pts <= self._last_pts:
                raise ContractError(f"a picture at {t_s} s follows one that is not earlier; expected increasing times")
            self._last_pts = pts
            picture = av.VideoFrame.from_ndarray(self._fitted(pixels_rgb), format="rgb24")
            picture.pts, picture.time_base = pts, ticks
            container.mux(stream.encode(picture))
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Finish the file. May be called twice.

        Raises:
            UsageError: the end of the file cannot be written.
        """
        container, stream = self._container, self._stream
        self._container = self._stream = None
        if container is None or stream is None:
            return
        try:
            try:
                container.mux(stream.encode(None))
            finally:
                container.close()
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def _opened(self, first: UInt8Array) -> tuple[VideoStream, OutputContainer]:
        if self._stream is not None and self._container is not None:
            return self._stream, self._container
        # In ffmpeg itself, not through PyAV's Python logger: see FileSource.
        av.logging.set_libav_level(av.logging.PANIC)
        codec = next((name for name in _TICKS if name in av.codecs_available), None)
        if codec is None:
            raise UsageError(f"the annotated video needs one of the codecs {', '.join(_TICKS)}; this PyAV has neither.")
        # A fragmented file plays even if the process is killed; on close it becomes an ordinary, seekable one.
        options = {"flush_packets": "1"}
        if self._path.suffix.lower() != ".mkv":
            options["movflags"] = "+hybrid_fragmented"
        container = av.open(str(self._path), "w", options=options)
        self._container = container
        stream = cast(VideoStream, container.add_stream(codec, rate=self._fps))
        height, width = first.shape[:2]
        # Colour is stored at half size, so both sides must be even.
        self._size = (width + width % 2, height + height % 2)
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS[codec])
        stream.codec_context.gop_size = max(1, round(_KEYFRAME_EVERY_S * float(self._fps)))
        if codec == "libx264":
            stream.options = {"crf": "20", "preset": "veryfast"}
        else:
            stream.codec_context.bit_rate = 4 * width * height * 2
        self._stream = stream
        return stream, container

    def _fitted(self, pixels: UInt8Array) -> UInt8Array:
        """(H', W', 3) of the file's size: padded by a repeated edge line, or scaled between black bars."""
        width, height = self._size
        have_height, have_width = pixels.shape[:2]
        right, bottom = width - have_width, height - have_height
        if right in (0, 1) and bottom in (0, 1):
            return pixels if right + bottom == 0 else np.pad(pixels, ((0, bottom), (0, right), (0, 0)), mode="edge")
        scale = min(width / have_width, height / have_height)
        inner_width, inner_height = max(1, round(have_width * scale)), max(1, round(have_height * scale))
        left, top = (width - inner_width) // 2, (height - inner_height) // 2
        canvas = np.zeros((height, width, 3), dtype=np.uint8)
        canvas[top : top + inner_height, left : left + inner_width] = cv2.resize(
            pixels, (inner_width, inner_height), interpolation=cv2.INTER_AREA
        )
        return canvas

    def _unwritable(self, error: Exception) -> UsageError:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return UsageError(f"the annotated video cannot be written to {self._path}: {reason}; choose another place.")
