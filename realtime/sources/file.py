"""Video files, decoded with PyAV because it gives the exact time of every frame."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from tsfmicro.closing import Closing
from tsfmicro.errors import ContractError, SourceError
from tsfmicro.realtime.sources.stream_errors import reason_of
from tsfmicro.redaction import without_credentials
from tsfmicro.values import Frame, UInt8Array

_ASSUMED_STEP_S = 1.0 / 30.0
"""Step for a frame without a time in a file that states no rate at all."""
_TEXT_FORMATS = frozenset({"tty", "bin", "adf", "idf", "xbin"})
"""ffmpeg draws text files as a picture of a terminal with these; nobody means that."""


class FileSource(Closing):
    """A video or animated GIF. Never drops a frame; keeps the file's own, possibly variable, times."""

    live = False

    def __init__(self, path: str | Path, container: InputContainer | None = None) -> None:
        """Open the file and decode its first frame, so that a file without pictures is refused here.

        Args:
            path: the file.
            container: it, where it is open already; closed here.

        Raises:
            SourceError: the file is no video, holds no video stream, or none of its frames can be decoded.
        """
        # ffmpeg's own complaints would land in the middle of our messages; what matters comes back as errors. Set in
        # ffmpeg itself: PyAV's logger needs the GIL in decoder threads, which a closing file waits for: deadlock.
        av.logging.set_libav_level(av.logging.PANIC)
        self.name = without_credentials(str(path))
        self.undecodable = 0
        self.unordered = 0
        """Frames given up because their time does not advance."""
        self.repaired = 0
        """Frames without a time that were given the one after their predecessor's."""
        self.broke_off = False
        """True once the container ended before its end."""
        self._position = 0
        self._started = False
        self._upright = UprightRgb()
        self._container = container or _open(str(path), self.name)
        try:
            self._stream = self._video_stream()
            self.expected_duration_s = self._duration_s()
            self.expected_frames = self._frame_count()
            self._pictures = self._decode()
            self._first = next(self._pictures, None)
            if self._first is None:
                raise SourceError(
                    f"{self.name} holds a video stream but none of its frames can be decoded; the file is damaged or "
                    f"cut off. Try to play it, or convert it again (ffmpeg -i IN -c:v libx264 OUT.mp4)."
                )
        except BaseException:
            self._container.close()
            raise

    @property
    def skipped(self) -> int:
        """See ``Source.skipped``."""
        return self.undecodable + self.unordered

    @property
    def misstamped(self) -> int:
        """See ``Source.misstamped``."""
        return self.unordered + self.repaired

    def frames(self) -> Iterator[Frame]:
        """See ``Source.frames``."""
        if self._started:
            raise ContractError(f"{self.name} has been read already; open the file again to read it twice")
        self._started = True
        upcoming = self._first
        self._first = None
        while upcoming is not None:
            pixels, index, t_s = upcoming
            yield Frame(pixels=pixels, index=index, t_s=t_s, captured_s=time.monotonic(), source=self.name)
            upcoming = next(self._pictures, None)

    def close(self) -> None:
        """See ``Source.close``."""
        self._pictures.close()
        self._container.close()

    def _video_stream(self) -> VideoStream:
        # The cover picture of a song is a video stream too, of one frame.
        streams = [s for s in self._container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            kinds: list[str] = sorted({s.type for s in self._container.streams}) or ["nothing"]
            raise SourceError(
                f"{self.name} has no video stream (found: {', '.join(kinds)}); give a file with a moving picture."
            )
        stream = streams[0]
        # Frame threads delay the first frame, which does not matter in a file, and double the throughput.
        stream.thread_type = "AUTO"
        return stream

    def _duration_s(self) -> float | None:
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / av.time_base if self._container.duration else None

    def _frame_count(self) -> int | None:
        if self._stream.frames:
            return self._stream.frames
        if self.expected_duration_s and self._stream.average_rate:
            return round(self.expected_duration_s * float(self._stream.average_rate))
        return None

    def _decode(self) -> Generator[tuple[UInt8Array, int, float], None, None]:
        """Pictures with their place and time; what is unusable is counted in ``skipped``."""
        clock = MediaClock(self._stream)
        shape: tuple[int, ...] | None = None
        for picture in self._decodable():
            index, self._position = self._position, self._position + 1
            t_s = clock.time_of(picture)
            if picture.is_corrupt:
                self.undecodable += 1
                continue
            if t_s is None:
                self.unordered += 1
                continue
            pixels = self._upright.of(picture)
            shape = shape or pixels.shape
            if pixels.shape != shape:
                self.undecodable += 1
                continue
            self.repaired = clock.repaired
            yield pixels, index, t_s

    def _decodable(self) -> Iterator[VideoFrame]:
        """Every frame the decoder gives; a packet it refuses counts as one skipped frame."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                self.broke_off = True  # the container itself: a truncated file
                return
            if packet is None:
                return
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self.undecodable += 1
                self._position += 1


class MediaClock:
    """Turns presentation stamps into seconds from the first frame, strictly increasing."""

    def __init__(self, stream: VideoStream) -> None:
        """Start before the first frame; the stream's declared rate serves only frames without a stamp."""
        rate = stream.average_rate or stream.guessed_rate
        self._default_step_s = float(1 / rate) if rate else _ASSUMED_STEP_S
        self._time_base = stream.time_base or Fraction(1, 90_000)
        self._origin_s: float | None = None
        self._last_s: float | None = None
        self.repaired = 0

    def time_of(self, picture: VideoFrame) -> float | None:
        """Seconds from the first frame; None where the stamp does not advance."""
        time_base = picture.time_base or self._time_base
        step_s = float(picture.duration * time_base) if picture.duration else self._default_step_s
        follower_s = 0.0 if self._last_s is None else self._last_s + step_s
        if picture.pts is None:
            t_s = follower_s
            self.repaired += 1
        else:
            stamp_s = float(picture.pts * time_base)
            if self._origin_s is None:
                self._origin_s = stamp_s - follower_s
            t_s = stamp_s - self._origin_s
            if self._last_s is not None and t_s <= self._last_s:
                return None
        self._last_s = t_s
        return t_s


def _open(path: str, name: str) -> InputContainer:
    try:
        # Playlists may name other places: only files are opened, never the network.
        container = av.open(path, options={"protocol_whitelist": "file,crypto,data"})
    except (av.FFmpegError, OSError) as error:
        if isinstance(error, PermissionError):
            raise SourceError(f"{name} may not be read by this user; change its permissions (chmod u+r).") from error
        raise SourceError(
            f"{name} is not a video that can be read ({reason_of(error)}); expected MP4, MOV, MKV, AVI, WebM, GIF or "
            f"the like. If it is an unfinished recording or download, get the complete file."
        ) from error
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise SourceError(f"{name} is a text file, not a video; expected MP4, MOV, MKV, AVI, WebM, GIF or the like.")
    return container


class UprightRgb:
    """Makes arrays of decoded pictures, turned the way the camera was held; one for each source.

    Its reformatter keeps ffmpeg's tables from picture to picture and works in the thread that asks. A picture that is
    asked itself, as in ``to_ndarray(format=...)``, sets all of that up again and starts a thread for every core.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def of(self, picture: VideoFrame) -> UInt8Array:
        """(H, W, 3) RGB."""
        rgb = self._reformatter.reformat(picture, format="rgb24", threads=1)
        pixels = np.asarray(rgb.to_ndarray(), dtype=np.uint8)
        quarter_turns = round(picture.rotation / 90) % 4  # counter-clockwise, as numpy's
        return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if quarter_turns else pixels
