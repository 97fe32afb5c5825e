"""A process of its own that draws: in a thread, matplotlib would hold up the frames of a live camera."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from tsfmicro.errors import TsfError
from tsfmicro.realtime.evidence.material import Material
from tsfmicro.realtime.evidence.picture import Movement, write_picture
from tsfmicro.values import Float32Array

_NICENESS = 10
"""The analysis goes first."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One picture to draw."""

    path: Path
    material: Material
    event: Movement
    dynamic_image: Float32Array | None = None
    """(64, 64) in 0..1 as the recogniser draws it; None from one that draws none."""


class Artist:
    """Draws one picture after the other. Its process ends with it, or with this process, however that ends."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), name="evidence", daemon=True)
        with _deaf():
            self._process.start()
        theirs.close()
        # Were this forgotten open, the end of the program would wait for a process that waits for more to draw.
        atexit.register(self._connection.close)

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
        atexit.unregister(self._connection.close)


@contextmanager
def _deaf() -> Iterator[None]:
    """What starts in here hears no interruption: Ctrl-C and service managers send theirs to every process of a session.

    The session is told too, and closes what it started when it has flushed.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting a first process would start it, and leave the signals unblocked
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection) -> None:
    """Draw until nobody is at the other end."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    while True:
        try:
            job: Job = connection.recv()
        except EOFError:
            return
        failure: BaseException | None = None
        try:
            write_picture(job.path, job.material, job.event, job.dynamic_image)
        except TsfError as error:
            failure = error
        except Exception as error:  # a process's outermost: told to the one that asked
            failure = TsfError(f"{job.path} could not be drawn: {type(error).__name__} {error}")
        try:
            connection.send(failure)
        except OSError:
            return
