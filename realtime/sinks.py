"""Where events go: files and pipes of JSON lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Protocol, TextIO

from tsfmicro.closing import Closing
from tsfmicro.errors import UsageError
from tsfmicro.realtime.event_json import dumps, to_record
from tsfmicro.realtime.events import Event

STDOUT = "-"


class EventSink(Protocol):
    """Takes the events of a run, in order."""

    def write(self, event: Event, seq: int) -> None:
        """Take one event; ``seq`` is its place in the run, the same for every sink."""
        ...

    def close(self) -> None:
        """Flush and give back what is held. May be called twice."""
        ...


class JsonLinesSink(Closing):
    """Writes every event as one line of JSON and flushes it, so that a reader at the other end is never behind."""

    def __init__(self, path: str | Path) -> None:
        """Open the file, replacing an old one; missing folders are made.

        Args:
            path: a file, or ``-`` for standard output.

        Raises:
            UsageError: nothing can be written there.
        """
        self._name = str(path)
        self._to_stdout = self._name == STDOUT
        self._file: TextIO = sys.stdout if self._to_stdout else _create(Path(path))

    def write(self, event: Event, seq: int) -> None:
        """See ``EventSink.write``.

        Raises:
            ContractError: the event holds a value that JSON does not have.
            UsageError: the disk is full or the file is gone.
            BrokenPipeError: whoever read standard output has left; the caller decides whether that ends the run.
        """
        line = dumps(to_record(event, seq)) + "\n"
        try:
            self._file.write(line)
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UsageError(f"events cannot be written to {self._name}: {error.strerror}.") from error

    def close(self) -> None:
        """See ``EventSink.close``. Standard output stays open: it is not ours."""
        if self._to_stdout:
            return
        try:
            self._file.close()
        except OSError as error:  # what was left in the buffer
            raise UsageError(f"events cannot be written to {self._name}: {error.strerror}.") from error


def _create(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The same bytes on every system, whatever its own encoding and line end.
        return path.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        reason = "it is a folder" if path.is_dir() else error.strerror
        raise UsageError(
            f"events cannot be written to {path}: {reason}; expected a file such as events.jsonl."
        ) from error
