"""Writes a recording while a session runs."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from tsfmicro.align import AlignSpec
from tsfmicro.errors import ContractError, UsageError
from tsfmicro.realtime.events import Event, SessionEnd, SessionStart, SourceLost, SourceRestored, Stats
from tsfmicro.realtime.new_folder import make_new_folder
from tsfmicro.realtime.pipeline import Step
from tsfmicro.realtime.recording.faces import to_png, to_record
from tsfmicro.realtime.recording.layout import CROPS_FILE, HEADER_FILE, SIGHTS_FILE, Header, guarded
from tsfmicro.realtime.watch import Sight
from tsfmicro.redaction import without_credentials
from tsfmicro.values import Float32Array, Moment

GIB = 2**30


class Recorder:
    """Keeps the sights of every frame. A viewer for the frames, and a sink for what happens between them.

    Every frame is handed to the operating system before the next one comes, so that a session that is killed leaves all
    of them.

    Args:
        folder: made if it does not exist.
        align: geometry of the crops.
        limit_bytes: recording ends at this size; the session goes on.
        say: told when that happens.

    Raises:
        UsageError: the folder holds something already, or nothing can be written there.
    """

    def __init__(self, folder: Path, align: AlignSpec, limit_bytes: float, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._align = align
        self._limit_bytes = limit_bytes
        self._say = say
        self._sources: dict[str, int] = {}
        self._frames: list[int] = []
        self._points: dict[tuple[int, int], Float32Array] = {}
        self._bytes = self._crops_end = 0
        self._lines: BinaryIO | None = None
        self._crops: BinaryIO | None = None
        make_new_folder(folder, "recording")

    def write(self, event: Event, seq: int) -> None:
        """See ``EventSink.write``.

        Raises:
            UsageError: nothing can be written, or two sources share a name.
        """
        match event:
            case SessionStart():
                self._begin(event)
            case SourceLost():
                detail = without_credentials(event.detail)
                at = _moment(event.at)
                self._line("lost", event.source, {**at, "reason": event.reason, "detail": detail})
                self._forget(self._sources[event.source])
            case SourceRestored():
                self._line("restored", event.source, {**_moment(event.at), "gap_s": event.gap_s})
            case SessionEnd():
                self._put({"kind": "session_end", "reason": event.reason, "frames": self._frames})

    def see(self, step: Step) -> None:
        """See ``Viewer.see``.

        Raises:
            UsageError: nothing can be written.
        """
        if self._lines is None:
            return
        if step.sight is None:
            raise ContractError("a step without its sight cannot be recorded")
        number = self._sources[step.frame.source]
        sight = step.sight
        crops = b""
        faces: list[dict[str, Any]] = []
        for face_id, face in sight.faces.items():
            png = to_png(face.sample.pixels)
            place = [self._crops_end + len(crops), len(png), zlib.crc32(png)]
            crops += png
            faces.append({"id": face_id, "crop": place, **to_record(face, self._points.get((number, face_id)))})
        self._remember(number, sight)
        height, width = step.frame.pixels.shape[:2]
        record: dict[str, Any] = {
            **_moment(sight.at),
            "size_px": [width, height],
            "lost": [[face_id, at.frame, at.t_s] for face_id, at in sight.lost],
            "faces": faces,
        }
        if sight.afresh:
            record["afresh"] = True
        self._put_crops(crops)
        self._line("frame", step.frame.source, record | _books(step.events))
        self._frames[number] += 1
        if self._bytes >= self._limit_bytes:
            self._put({"kind": "full"})
            self.close()
            self._say(
                f"the recording is full ({self._limit_bytes / GIB:g} GiB) at {sight.at.t_s:.1f} s; the session goes on"
            )

    def finish(self, events: Sequence[Event]) -> None:
        """See ``Viewer.finish``."""
        for name in dict.fromkeys(event.source for event in events if isinstance(event, Stats)):
            self._line("end", name, _books(events))

    def close(self) -> None:
        """Close the files. May be called twice.

        Raises:
            UsageError: what was left cannot be written.
        """
        lines, crops = self._lines, self._crops
        self._lines = self._crops = None
        for file in (crops, lines):
            if file is not None:
                try:
                    file.close()
                except OSError as error:
                    raise self._unwritable(error) from error

    def _begin(self, start: SessionStart) -> None:
        self._sources = {name: number for number, name in enumerate(start.sources)}
        if len(self._sources) < len(start.sources):
            raise UsageError("--record tells sources apart by their names; name each one once")
        self._frames = [0] * len(start.sources)
        names = tuple(without_credentials(name) for name in start.sources)
        try:
            text = Header(names, self._align, start.model, start.t_wall).dumps()
            (self._folder / HEADER_FILE).write_text(text, encoding="utf-8", newline="\n")
            self._crops = (self._folder / CROPS_FILE).open("wb")
            self._lines = (self._folder / SIGHTS_FILE).open("wb")
        except OSError as error:
            raise self._unwritable(error) from error

    def _remember(self, number: int, sight: Sight) -> None:
        for face_id, _ in sight.lost:
            self._points.pop((number, face_id), None)
        for face_id, face in sight.faces.items():
            self._points[number, face_id] = face.sample.patch.points_px

    def _forget(self, number: int) -> None:
        """Across a gap no identity lives on."""
        self._points = {key: points for key, points in self._points.items() if key[0] != number}

    def _line(self, kind: str, source: str, record: dict[str, Any]) -> None:
        if self._lines is not None:
            self._put({"kind": kind, "source": self._sources[source], **record})

    def _put(self, record: dict[str, Any]) -> None:
        if self._lines is None:
            return
        line = guarded(record)
        try:
            self._lines.write(line)
            self._lines.flush()
        except OSError as error:
            raise self._unwritable(error) from error
        self._bytes += len(line)

    def _put_crops(self, crops: bytes) -> None:
        if self._crops is None:
            return
        try:
            self._crops.write(crops)
            self._crops.flush()
        except OSError as error:
            raise self._unwritable(error) from error
        self._crops_end += len(crops)
        self._bytes += len(crops)

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(f"the recording cannot be written to {self._folder}: {error.strerror}.")


def _moment(at: Moment) -> dict[str, Any]:
    return {"frame": int(at.frame), "t_s": float(at.t_s)}


def _books(events: Sequence[Event]) -> dict[str, Any]:
    """The ledger that was told with a frame, so that a replay tells the same."""
    ledgers = [event.ledger for event in events if isinstance(event, Stats) and event.ledger is not None]
    return {"ledger": asdict(ledgers[-1])} if ledgers else {}
