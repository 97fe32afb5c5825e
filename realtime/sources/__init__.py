"""Where frames come from: video files, images and cameras, all behind one small protocol."""

from __future__ import annotations

import difflib
import glob
import re
from pathlib import Path

from tsfmicro.errors import SourceError, UsageError
from tsfmicro.realtime.sources.base import Source, without_credentials
from tsfmicro.realtime.sources.camera import CameraSource
from tsfmicro.realtime.sources.file import FileSource
from tsfmicro.realtime.sources.images import DEFAULT_IMAGES_FPS, IMAGE_SUFFIXES, ImagesSource

__all__ = ["CameraSource", "FileSource", "ImagesSource", "Source", "open_source", "without_credentials"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def open_source(text: str, images_fps: float = DEFAULT_IMAGES_FPS) -> Source:
    """Open what the user named: a video, a GIF, an image, a folder or glob of images, or a ``/dev/video`` path.

    Args:
        text: as typed.
        images_fps: pictures a second for images, which carry no time.

    Raises:
        UsageError: a network address, a bare number or nothing was given.
        SourceError: it does not exist or holds no picture that can be decoded.
    """
    if not text.strip():
        raise UsageError("the source is empty; give a video file, a folder of images, or --camera 0.")
    if _URL.match(text):
        raise UsageError(
            f"{without_credentials(text)} is a network address, and network streams are not in this version; "
            f"record it to a file first (ffmpeg -i URL -c copy clip.mkv) and give that, or use --camera 0."
        )
    path = Path(text)
    if text.startswith("/dev/video"):
        return CameraSource(text)
    if path.is_dir():
        return ImagesSource(text, images_fps)
    if path.is_file():
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return ImagesSource(text, images_fps)
        return FileSource(text)
    if text.isdecimal():
        raise UsageError(f"{text} is a number and there is no file of that name; for a camera type --camera {text}.")
    if glob.has_magic(text):
        return ImagesSource(text, images_fps)
    raise SourceError(_not_found(text, path))


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
