"""Servers on loopback that tests start, freeze, kill and bring back."""

from __future__ import annotations

import contextlib
import functools
import http.server
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from tsfmicro.values import UInt8Array

SYSTEM_PYTHON = Path("/usr/bin/python3")
SCRIPT = Path(__file__).with_name("rtsp_server.py")
PATIENCE_S = 30.0
"""Long enough for any machine; nothing waits that long unless it fails."""
_PROBE = """
import gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
missing = [n for n in ("appsrc", "qtdemux", "h264parse", "rtph264pay") if Gst.ElementFactory.find(n) is None]
raise SystemExit(f"no GStreamer element {', '.join(missing)}" if missing else 0)
"""


@functools.cache
def rtsp_missing() -> str | None:
    """Why there can be no RTSP server here; None where there can."""
    advice = "apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-{base,good,bad}"
    if not SYSTEM_PYTHON.exists():
        return f"no {SYSTEM_PYTHON}; on Debian: {advice}"
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", _PROBE], capture_output=True, text=True, check=False, timeout=60, env={"HOME": "/tmp"}
    )
    said = (done.stderr.strip().splitlines() or ["?"])[-1]
    return None if done.returncode == 0 else f"no RTSP server to test with ({said}); on Debian: {advice}"


def moving_picture(index: int, width: int, height: int) -> UInt8Array:
    """(H, W, 3): every index another one."""
    rows, columns = np.mgrid[0:height, 0:width]
    picture = np.stack([rows + 5 * index, columns + 3 * index, np.full_like(rows, 40)], axis=-1)
    return np.asarray(picture % 256, dtype=np.uint8)


def write_pictures(folder: Path, width: int = 160, height: int = 120, count: int = 60) -> Path:
    """One H.264 picture per file, to be played round and round."""
    folder.mkdir(parents=True)
    coder = av.CodecContext.create("libx264", "w")
    coder.width, coder.height, coder.pix_fmt = width, height, "yuv420p"
    coder.time_base, coder.framerate = Fraction(1, 30), Fraction(30, 1)
    coder.options = {"preset": "ultrafast", "g": "10", "tune": "zerolatency"}
    packets = []
    for index in range(count):
        frame = av.VideoFrame.from_ndarray(moving_picture(index, width, height), format="rgb24")
        frame.pts = index
        packets += coder.encode(frame)
    packets += coder.encode(None)
    for index, packet in enumerate(packets):
        (folder / f"{index:05d}.h264").write_bytes(bytes(packet))
    return folder


def write_film(path: Path, frames: int) -> Path:
    """An MP4 of 30 frames/s whose table of contents comes first, as servers want it."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.options = {"preset": "ultrafast", "g": "5", "tune": "zerolatency"}
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(moving_picture(index, 160, 120), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class RtspServer:
    """A process that serves one camera; see rtsp_server.py."""

    def __init__(self, pictures: Path, rate: int = 30, login: tuple[str, str, str] | None = None) -> None:
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self._login = login
        self.start(pictures, rate)

    @property
    def url(self) -> str:
        login = f"{self._login[0]}:{self._login[1]}@" if self._login else ""
        return f"rtsp://{login}127.0.0.1:{self.port}/cam"

    def start(self, pictures: Path, rate: int = 30) -> None:
        """Serve, on the port of last time."""
        words = [str(SYSTEM_PYTHON), str(SCRIPT), str(self.port), str(pictures), str(rate), *(self._login or ())]
        until = time.monotonic() + PATIENCE_S
        while True:  # right after a kill the port may still be taken
            self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            assert self._process.stdout is not None
            said = self._process.stdout.readline().split()
            if said[:1] == ["ready"]:
                self.port = int(said[1])
                return
            self.kill()
            assert time.monotonic() < until, "the RTSP server does not start"
            time.sleep(0.1)

    def freeze(self) -> None:
        """As if somebody pulled the cable: connections stay, nothing comes."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Gone, without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextlib.contextmanager
def http_server(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """An HTTP server that answers every GET in the given way; its address without a slash at the end."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError):
                answer(self)

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="http")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def send_mjpeg(
    request: http.server.BaseHTTPRequestHandler,
    count: int,
    fps: float,
    side: Callable[[int], int] = lambda index: 96,
    broken: Sequence[int] = (),
) -> None:
    """So many pictures as cameras send them, some of them broken, then the end of the connection."""
    request.send_response(200)
    request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
    request.end_headers()
    for index in range(count):
        done, data = cv2.imencode(".jpg", moving_picture(index, side(index), side(index)))
        assert done
        if index in broken:
            data[20:] = 0
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        request.wfile.write(head.encode() + data.tobytes() + b"\r\n")
        request.wfile.flush()
        time.sleep(1 / fps)


def send_file(request: http.server.BaseHTTPRequestHandler, path: Path, upto: int | None = None) -> None:
    """A file, as servers of files do; cut off after so many bytes where asked."""
    data = path.read_bytes()
    request.send_response(200)
    request.send_header("Content-Type", "video/mp4")
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        request.wfile.write(data[:upto])


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port
