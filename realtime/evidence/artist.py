"""A process of its own that draws: in a thread, matplotlib would hold up the frames of a live camera."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from tsfmicro.errors import TsfError
from tsfmicro.realtime.evidence.material import Material
from tsfmicro.realtime.evidence.picture import Movement, write_picture

_NICENESS = 10
"""The analysis goes first."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One picture to draw."""

    path: Path
    material: Material
    event: Movement


class Artist:
    """Draws one picture after the other. Its process ends with it, or with this process, however that ends."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), name="evidence", daemon=True)
        self._process.start()
        theirs.close()

    def draw(self, job: Job) -> None:
        """Draw, and wait for it.

        Raises:
            TsfError: the picture cannot be written, or the process is gone.
        """
        try:
            self._connection.send(job)
            failure = self._connection.recv()
        except (EOFError, OSError) as error:
            raise TsfError(f"the process that draws the evidence ended before {job.path} was drawn") from error
        if failure is not None:
            raise failure

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.join()


def _work(connection: Connection) -> None:
    """Draw until nobody is at the other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the session, which then closes this
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    while True:
        try:
            job: Job = connection.recv()
        except EOFError:
            return
        failure: BaseException | None = None
        try:
            write_picture(job.path, job.material, job.event)
        except TsfError as error:
            failure = error
        except Exception as error:  # a process's outermost: told to the one that asked
            failure = TsfError(f"{job.path} could not be drawn: {type(error).__name__} {error}")
        connection.send(failure)
