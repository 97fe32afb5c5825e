"""Pictures of a folder or a glob pattern, played as a film."""

from __future__ import annotations

import glob
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from tsfmicro.closing import Closing
from tsfmicro.errors import SourceError, UsageError
from tsfmicro.redaction import without_credentials
from tsfmicro.values import Frame, UInt8Array

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
DEFAULT_IMAGES_FPS = 30.0
_LAST_INTEGER = re.compile(r"(\d+)(?!.*\d)")
_END_MARKS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}
"""First bytes of JPEG and PNG, and the mark that ends a complete file of that kind."""


class ImagesSource(Closing):
    """A folder, a glob pattern or one image. Ordered by the last number in the name, so ``img9`` precedes ``img10``."""

    live = False
    misstamped = 0

    def __init__(self, text: str | Path, fps: float = DEFAULT_IMAGES_FPS) -> None:
        """List the pictures and read the first that can be read.

        Args:
            text: a folder, a glob pattern or an image file.
            fps: pictures a second; image files carry no time. A picture that cannot be read keeps its place in
                time; numbers missing in the names are no gap.

        Raises:
            UsageError: ``fps`` is not a positive number.
            SourceError: there is no picture, or none that can be read.
        """
        if not (math.isfinite(fps) and fps > 0):
            raise UsageError(f"the frame rate of images is {fps}; expected a positive number such as 30 or 200.")
        self.name = without_credentials(str(text))
        self.fps = fps
        self.undecodable = 0
        self._paths = _listed(str(text))
        if not self._paths:
            raise SourceError(
                f"{self.name} holds no images; looked for {', '.join(IMAGE_SUFFIXES)} in either case. "
                f"For a video give its file name."
            )
        self.expected_frames: int | None = len(self._paths)
        self.expected_duration_s: float | None = len(self._paths) / fps
        self._shape: tuple[int, ...] | None = None
        self._first_index = 0
        for index, path in enumerate(self._paths):
            first = read_image(path)
            if first is not None:
                self._shape, self._first_index = first.shape, index
                break
        if self._shape is None:
            raise SourceError(
                f"{self.name}: none of the {len(self._paths)} images can be read (first: {self._paths[0].name}); "
                f"they are damaged or not what their names say."
            )

    @property
    def skipped(self) -> int:
        """See ``Source.skipped``."""
        return self.undecodable

    def frames(self) -> Iterator[Frame]:
        """See ``Source.frames``. A picture of another size than the first is skipped: it cannot be compared."""
        self.undecodable = 0
        for index, path in enumerate(self._paths):
            pixels = read_image(path)
            if pixels is None or pixels.shape != self._shape:
                self.undecodable += 1
                continue
            t_s = (index - self._first_index) / self.fps
            yield Frame(pixels=pixels, index=index, t_s=t_s, captured_s=time.monotonic(), source=self.name)

    def close(self) -> None:
        """Nothing is held open."""


def read_image(path: Path) -> UInt8Array | None:
    """(H, W, 3) RGB, or None where the file is unreadable or cut off.

    A decoder fills the missing part of a cut-off picture with grey and reports success, so the end is checked first.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return None
    mark = _END_MARKS.get(data[:2])
    # Looking in the second half only: the preview inside a photo ends with the same mark.
    if not data or (mark is not None and mark not in data[len(data) // 2 :]):
        return None
    try:
        picture = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if picture is None else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _listed(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        found = list(path.iterdir())
    elif path.is_file():
        found = [path]
    else:
        found = [Path(hit) for hit in glob.glob(text, recursive=True)]  # noqa: PTH207 - Path.glob takes no absolute pattern
    return sorted(filter(_is_image, found), key=_order)


def _is_image(path: Path) -> bool:
    hidden = path.name.startswith((".", "Thumbs"))  # what macOS and Windows leave in folders
    return path.suffix.lower() in IMAGE_SUFFIXES and not hidden and path.is_file()


def _order(path: Path) -> tuple[int, str]:
    number = _LAST_INTEGER.search(path.stem)
    return (int(number.group(1)) if number else -1, str(path))
