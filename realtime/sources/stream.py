"""Network streams through PyAV: RTSP, RTMP, UDP and HTTP, each with its timeouts, and recordings over HTTP."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame

from tsfmicro.closing import Closing
from tsfmicro.errors import SourceError, SourceLostError, UsageError
from tsfmicro.realtime.sources.file import FileSource, UprightRgb
from tsfmicro.realtime.sources.stream_clock import StreamClock
from tsfmicro.realtime.sources.stream_errors import is_timeout, opening_error, reason_of
from tsfmicro.redaction import without_credentials
from tsfmicro.values import Frame

STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp")
TRANSPORTS = ("tcp", "udp")
_PROTOCOLS = "rtp,srtp,udp,tcp,tls,http,https,httpproxy,hls,rtmp,rtmps,rtmpt,rtmpts,crypto,data"
"""What a stream may open in turn. Not ``file``: a play list must not read this machine's files."""
_PICTURES_ONLY = frozenset({"mpjpeg", "jpeg_pipe", "mjpeg", "png_pipe", "h264", "hevc"})
"""Formats without times: ffmpeg invents 25 frames a second for them, we take the arrival."""
_NO_WAIT_S = 0.002
"""Data that is there within this time was there already."""
_LONGEST_PILE_S = 2.0
"""A stream that is still not waited for after so long is sent faster than it was filmed."""
_MISSING_END_S = 1.0
"""A recording played over RTSP that ends earlier than this before its stated end was cut off."""


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """How to open a stream."""

    open_s: float = 5.0
    """Longest wait for an answer and the stream's description."""
    read_s: float = 3.0
    """Longest wait for data. ffmpeg may wait for it twice before it gives up."""
    rtsp_transport: str = "tcp"
    """``tcp`` loses no packets, ``udp`` is not held up by a lost one."""

    def __post_init__(self) -> None:
        if self.rtsp_transport not in TRANSPORTS:
            raise UsageError(f"the RTSP transport is {self.rtsp_transport}; expected {' or '.join(TRANSPORTS)}")


def open_stream(url: str, spec: StreamSpec | None = None) -> StreamSource | StreamedRecording:
    """Connect and see that there is a picture.

    What comes over HTTP and states a duration is a recording; everything else is live.

    Raises:
        SourceError: refused, unauthorised, unknown, silent for too long, or without a picture.
    """
    spec = spec or StreamSpec()
    container = _connect(url, spec)
    try:
        if container.duration and url.lower().startswith("http"):
            return StreamedRecording(url, container)
        return StreamSource(url, container, spec)
    except BaseException:
        container.close()
        raise


class StreamSource(Closing):
    """One connection to a live stream."""

    live = True
    expected_frames: int | None = None

    def __init__(self, url: str, container: InputContainer, spec: StreamSpec) -> None:
        """Wait for the first picture, so that a stream without one is refused here. Use :func:`open_stream`.

        Raises:
            SourceError: no picture comes.
        """
        self.name = without_credentials(url)
        self.undecodable = self._position = 0
        self._container = container
        self._spec = spec
        self._clock = StreamClock()
        self._upright = UprightRgb()
        self._waited_s = 0.0
        self._arrived_s = time.monotonic()
        self._opened_s = time.monotonic()
        # Some recorders play what is past over RTSP, at its own pace.
        self.expected_duration_s = container.duration / av.time_base if container.duration else None
        self._has_times = container.format.name not in _PICTURES_ONLY
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            kinds: list[str] = sorted({s.type for s in container.streams}) or ["nothing"]
            raise SourceError(
                f"{self.name} answers, but has no picture (found: {', '.join(kinds)}); check the path of the address."
            )
        self._stream = streams[0]
        # Frame threads would hold back a frame for every core: latency for nothing at the pace of a camera.
        self._stream.thread_type = "SLICE"
        self._stream.codec_context.thread_count = 1
        self._pictures = self._decoded()
        try:
            probe = next(self._pictures)
        except SourceLostError as lost:
            raise SourceError(f"{self.name} answers, but sends no picture that can be decoded: {lost}") from None
        # Not shown to anybody: it waited while the rest was opened.
        self._shape = (probe.height, probe.width)
        self.undecodable = self._position = 0

    @property
    def skipped(self) -> int:
        """See ``Source.skipped``."""
        return self.undecodable + self._clock.unordered

    @property
    def misstamped(self) -> int:
        """See ``Source.misstamped``."""
        return self._clock.unordered + self._clock.rebased

    def frames(self) -> Iterator[Frame]:
        """See ``Source.frames``. ``captured_s`` is the arrival at this machine.

        Raises:
            SourceLostError: the stream ended before the end it states, if it states one, or fell silent, broke, or
                changed the size of its picture.
        """
        try:
            for picture in self._up_to_date():
                frame = self._frame(picture)
                if frame is not None:
                    yield frame
        except SourceLostError as lost:
            if lost.reason == "ended" and self._is_over():
                return
            raise

    def close(self) -> None:
        """See ``Source.close``."""
        self._pictures.close()
        self._container.close()

    def _frame(self, picture: VideoFrame) -> Frame | None:
        """The picture with its place and time; None where it cannot be used."""
        arrived_s = self._arrived_s
        index, self._position = self._position, self._position + 1
        if picture.is_corrupt:
            self.undecodable += 1
            return None
        t_s = self._clock.time_of(self._stamp_s(picture, arrived_s), arrived_s)
        if t_s is None:
            return None
        shape = (picture.height, picture.width)
        if shape != self._shape:
            before, now = (f"{width}x{height}" for height, width in (self._shape, shape))
            raise SourceLostError(f"{self.name} changed its picture from {before} to {now}", "resized")
        return Frame(self._upright.of(picture), index, t_s, arrived_s, self.name)

    def _is_over(self) -> bool:
        stated_s = self.expected_duration_s
        return stated_s is not None and time.monotonic() - self._opened_s > stated_s - _MISSING_END_S

    def _stamp_s(self, picture: VideoFrame, arrived_s: float) -> float | None:
        if not self._has_times:
            return arrived_s
        if picture.pts is None or picture.time_base is None:  # the first of an RTSP connection, always
            return None
        return float(picture.pts * picture.time_base)

    def _up_to_date(self) -> Iterator[VideoFrame]:
        """The pictures without those that piled up since the stream was opened: old news, and they come all at once."""
        began_s = time.monotonic()
        for picture in self._pictures:
            if self._waited_s > _NO_WAIT_S or time.monotonic() > began_s + _LONGEST_PILE_S:
                yield picture
                break
        yield from self._pictures

    def _decoded(self) -> Generator[VideoFrame, None, None]:
        """Every picture that can be decoded, to the end of the connection, which is a loss."""
        packets = self._container.demux(self._stream)
        while True:
            asked_s = time.monotonic()
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                # PyAV's own message holds the address with its password: no cause, no context.
                if is_timeout(error):
                    raise SourceLostError(f"{self.name} fell silent for {self._spec.read_s:g} s", "timeout") from None
                raise SourceLostError(f"{self.name} broke off ({reason_of(error)})", "broken") from None
            self._arrived_s = time.monotonic()
            self._waited_s = self._arrived_s - asked_s
            if packet is None:
                raise SourceLostError(f"{self.name} ended: the other side closed the connection", "ended")
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self.undecodable += 1
                self._position += 1


class StreamedRecording(Closing):
    """A recording on a server: read to its end without dropping a frame, never asked for twice."""

    live = False

    def __init__(self, url: str, container: InputContainer) -> None:
        """Decode the first frame. Use :func:`open_stream`.

        Raises:
            SourceError: there is no picture that can be decoded.
        """
        self.name = without_credentials(url)
        self._file = FileSource(self.name, container)
        self.expected_frames = self._file.expected_frames
        self.expected_duration_s = self._file.expected_duration_s

    @property
    def skipped(self) -> int:
        """See ``Source.skipped``."""
        return self._file.skipped

    @property
    def undecodable(self) -> int:
        """See ``Source.undecodable``."""
        return self._file.undecodable

    @property
    def misstamped(self) -> int:
        """See ``Source.misstamped``."""
        return self._file.misstamped

    def frames(self) -> Iterator[Frame]:
        """See ``Source.frames``.

        Raises:
            SourceLostError: it breaks off before the end it states.
        """
        reached_s = 0.0
        for frame in self._file.frames():
            reached_s = frame.t_s
            yield frame
        if self._file.broke_off:
            stated = "" if self.expected_duration_s is None else f" of {self.expected_duration_s:.1f} s"
            raise SourceLostError(
                f"{self.name} broke off at {reached_s:.1f} s{stated}; download it and give the file.", "broken"
            )

    def close(self) -> None:
        """See ``Source.close``."""
        self._file.close()


def _connect(url: str, spec: StreamSpec) -> InputContainer:
    # In ffmpeg itself, not through PyAV's Python logger: see FileSource.
    av.logging.set_libav_level(av.logging.PANIC)
    options = {"protocol_whitelist": _PROTOCOLS}
    if url.lower().startswith("rtsp"):
        options["rtsp_transport"] = spec.rtsp_transport
        # Twenty frames would be held back to guess a frame rate that nobody here believes.
        options["fpsprobesize"] = "0"
    began_s = time.monotonic()
    try:
        return av.open(url, options=options, timeout=(spec.open_s, spec.read_s))
    except (av.FFmpegError, OSError, ValueError) as error:
        waited_s = time.monotonic() - began_s
        raise opening_error(error, url, waited_s, spec.open_s) from None
