"""Where frames come from: files, images, network streams and cameras, all behind one small protocol."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tsfmicro.errors import SourceError, UsageError
from tsfmicro.realtime.sources.base import Source
from tsfmicro.realtime.sources.camera import CameraSource, CameraSpec
from tsfmicro.realtime.sources.file import FileSource
from tsfmicro.realtime.sources.images import DEFAULT_IMAGES_FPS, IMAGE_SUFFIXES, ImagesSource
from tsfmicro.realtime.sources.reconnect import ReconnectingSource, RetrySpec
from tsfmicro.realtime.sources.stream import STREAM_SCHEMES, StreamSpec, open_stream
from tsfmicro.redaction import without_credentials

__all__ = [
    "CameraSource",
    "CameraSpec",
    "FileSource",
    "ImagesSource",
    "Source",
    "SourceSpec",
    "open_lasting",
    "open_source",
    "tell_apart",
]

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """How to open whatever it is."""

    images_fps: float = DEFAULT_IMAGES_FPS
    """Pictures a second for images, which carry no time."""
    stream: StreamSpec = field(default_factory=StreamSpec)
    camera: CameraSpec = field(default_factory=CameraSpec)


def open_lasting(open_one: Callable[[], Source], retry: RetrySpec | None = None) -> Source:
    """Open a source; a live one comes back by itself when it is lost.

    Args:
        open_one: makes one connection.
        retry: how long to try when it is lost.

    Raises:
        TsfError: the first connection cannot be made; nothing is tried again.
    """
    first = open_one()
    return ReconnectingSource(first, open_one, retry) if first.live else first


def open_source(text: str, spec: SourceSpec | None = None) -> Source:
    """Open what the user named: a video, a GIF, an image, a folder or glob of images, a stream or a ``/dev/video``.

    Args:
        text: as typed.
        spec: how to open it.

    Raises:
        UsageError: an address of an unknown kind, a bare number or nothing was given.
        SourceError: it does not exist, does not answer, or holds no picture that can be decoded.
    """
    spec = spec or SourceSpec()
    if not text.strip():
        raise UsageError("the source is empty; give a video file, a folder of images, or --camera 0.")
    if address := _URL.match(text):
        if address[1].lower() in STREAM_SCHEMES:
            return open_stream(text, spec.stream)
        raise UsageError(
            f"{without_credentials(text)} begins with {address[1]}://; expected {', '.join(STREAM_SCHEMES)}, a file or "
            f"a folder."
        )
    path = Path(text)
    if text.startswith(("/dev/video", "/dev/v4l/")):
        return CameraSource(text, spec.camera)
    if path.is_dir():
        return ImagesSource(text, spec.images_fps)
    if path.is_file():
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return ImagesSource(text, spec.images_fps)
        return FileSource(text)
    if text.isdecimal():
        raise UsageError(f"{text} is a number and there is no file of that name; for a camera type --camera {text}.")
    if glob.has_magic(text):
        return ImagesSource(text, spec.images_fps)
    raise SourceError(_not_found(text, path))


def tell_apart(sources: Sequence[Source]) -> None:
    """Number sources of one name: masked addresses may differ in their secrets only."""
    taken: set[str] = set()
    for source in sources:
        name, number = source.name, 1
        while source.name in taken:
            number += 1
            source.name = f"{name} #{number}"
        taken.add(source.name)


def _not_found(text: str, path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"{text} does not exist, nor does its folder {folder}; check the path."
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    by_lower = {name.lower(): name for name in names}
    near = [by_lower[hit] for hit in difflib.get_close_matches(path.name.lower(), by_lower, n=3, cutoff=0.5)]
    if near:
        return f"{text} does not exist; did you mean {' or '.join(str(folder / name) for name in near)}?"
    return (
        f"{text} does not exist, and {folder} holds nothing of a similar name; expected a video, or a folder of images."
    )
