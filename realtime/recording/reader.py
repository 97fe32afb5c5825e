"""Reads one source's part of a recording."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tsfmicro.errors import ContractError, SourceError, SourceLostError
from tsfmicro.realtime.ledger import Ledger
from tsfmicro.realtime.recording.faces import from_png, from_record, origin_px
from tsfmicro.realtime.recording.layout import CROPS_FILE, SIGHTS_FILE, Header, unguarded
from tsfmicro.realtime.sources.reconnect import Lost, Restored
from tsfmicro.realtime.watch import SeenFace, Sight
from tsfmicro.values import Float32Array, Frame, Moment, UInt8Array

_TAIL_BYTES = 65_536
_BACKGROUND = (36, 40, 46)
"""Where nothing was recorded."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordedFrame(Frame):
    """A frame of a replay: its picture shows the recorded faces on an empty ground.

    ``captured_s`` is its place in the recording, by which several sources are put in order.
    """

    sight: Sight
    ledger: Ledger | None
    """The books that were told with this frame; None where none were."""


class CutOff(Exception):
    """The recording ends here, without its end."""


class SourceReader:
    """The frames, losses and returns of one source, in order.

    Args:
        folder: of the recording.
        header: of the recording.
        number: of the source, in the order of the header.

    Raises:
        SourceError: a file is missing or cannot be read.
    """

    def __init__(self, folder: Path, header: Header, number: int) -> None:
        self._folder = folder
        self._align = header.align
        self._name = header.sources[number]
        self._number = number
        self._place = 0
        self._points: dict[int, Float32Array] = {}
        self._last = Moment(0, 0.0)
        self.end: dict[str, Any] | None = None
        """The line that ended the source; None where there is none (yet)."""
        self.end_place = float("inf")
        """Of that line in the recording."""
        self._lines = _open(folder / SIGHTS_FILE)
        try:
            self._crops = _open(folder / CROPS_FILE)
        except SourceError:
            self._lines.close()
            raise

    def items(self) -> Iterator[RecordedFrame | Lost | Restored]:
        """Read to the end of the source.

        Raises:
            CutOff: the recording ends without the source having ended.
            SourceLostError: the recording is damaged.
        """
        for line in self._lines:
            self._place += 1
            if not line.endswith(b"\n"):
                break
            try:
                record = unguarded(line)
                kind = record["kind"]
                if kind in {"full", "session_end"}:  # also of a source that never had a frame
                    self.end, self.end_place = record, self._place
                    return
                if record.get("source") == self._number:
                    if kind == "end":
                        self.end, self.end_place = record, self._place
                        return
                    yield self._item(kind, record)
            except (KeyError, TypeError, ValueError, ContractError) as error:
                raise SourceLostError(
                    f"the recording in {self._folder} is damaged in line {self._place} of {SIGHTS_FILE} "
                    f"({_reason(error)}); the events up to there are true",
                    "broken",
                ) from error
        raise CutOff

    def close(self) -> None:
        """Close the files. May be called twice."""
        self._lines.close()
        self._crops.close()

    def _item(self, kind: str, record: dict[str, Any]) -> RecordedFrame | Lost | Restored:
        at = Moment(record["frame"], record["t_s"])
        place_s = float(self._place)
        match kind:
            case "frame":
                self._last = at
                return self._frame(at, record)
            case "lost":
                return Lost(at, str(record["reason"]), str(record["detail"]), place_s, place_s)
            case "restored":
                return Restored(at, float(record["gap_s"]), place_s)
            case _:
                raise ValueError(f"nothing of kind {kind} is known")

    def _frame(self, at: Moment, record: dict[str, Any]) -> RecordedFrame:
        faces: dict[int, SeenFace] = {}
        for row in record["faces"]:
            face_id = int(row["id"])
            face = from_record(row, at, self._crop(*row["crop"]), self._points.get(face_id), self._align)
            faces[face_id], self._points[face_id] = face, face.sample.patch.points_px
        lost = tuple((int(face_id), Moment(frame, t_s)) for face_id, frame, t_s in record["lost"])
        for face_id, _ in lost:
            self._points.pop(face_id, None)
        width, height = record["size_px"]
        return RecordedFrame(
            pixels=_picture(width, height, faces),
            index=at.frame,
            t_s=at.t_s,
            captured_s=float(self._place),
            source=self._name,
            sight=Sight(at, lost, faces, afresh=bool(record.get("afresh", False))),
            ledger=Ledger(**record["ledger"]) if "ledger" in record else None,
        )

    def _crop(self, offset: int, length: int, check: int) -> UInt8Array:
        self._crops.seek(offset)
        png = self._crops.read(length)
        if len(png) < length:
            raise CutOff
        if zlib.crc32(png) != check:
            raise ValueError("the check sum of a crop is another")
        return from_png(png)


def ending(folder: Path) -> dict[str, Any] | None:
    """The last line of a recording, where it says how the session or the recording ended; None where it was cut off.

    Raises:
        SourceError: the file is missing, or holds nothing.
    """
    with _open(folder / SIGHTS_FILE) as lines:
        size = lines.seek(0, 2)
        lines.seek(max(0, size - _TAIL_BYTES))
        tail = lines.read()
    if b"\n" not in tail:
        raise SourceError(f"the recording in {folder} holds no frame; the session was ended before the first one.")
    try:
        last = unguarded(tail.rstrip(b"\n").rpartition(b"\n")[2] + b"\n")
    except (ValueError, json.JSONDecodeError):
        return None
    return last if tail.endswith(b"\n") and last.get("kind") in {"session_end", "full"} else None


def _picture(width: int, height: int, faces: dict[int, SeenFace]) -> UInt8Array:
    """(height, width, 3): the recorded faces where they were."""
    picture = np.empty((height, width, 3), dtype=np.uint8)
    picture[:] = _BACKGROUND
    for face in faces.values():
        pixels = face.sample.pixels
        left, top = origin_px(face.sample)
        part = picture[max(top, 0) : top + pixels.shape[0], max(left, 0) : left + pixels.shape[1]]
        part[:] = pixels[: part.shape[0], : part.shape[1]]
    return picture


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}; the recording is incomplete.") from error


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
