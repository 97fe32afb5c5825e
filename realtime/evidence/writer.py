"""Draws the evidence of every micro-expression while the session goes on."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from pathlib import Path

from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime.analyzer import Closing
from tsfmicro.realtime.event_json import event_key
from tsfmicro.realtime.events import Event, MeEnd
from tsfmicro.realtime.evidence.material import Material, material_of
from tsfmicro.realtime.evidence.picture import write_picture
from tsfmicro.realtime.new_folder import make_new_folder

_WAITING = 32
"""Events that may wait to be drawn, half a megabyte each; then the analysis waits for the drawing."""


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    path: Path
    material: Material
    event: MeEnd


class EvidenceWriter:
    """One PNG for every ``me.end``, named by the event's ``id``, so that files and events sort alike.

    Drawing takes as long as many frames, so a thread of its own does it. What waits to be drawn is small; events hold
    no pictures.

    Args:
        folder: made if it does not exist.
        preprocess: whose geometry the crops have.

    Raises:
        UsageError: the folder holds something already, or nothing can be written there.
    """

    def __init__(self, folder: Path, preprocess: PreprocessSpec) -> None:
        make_new_folder(folder, "evidence")
        self._folder = folder
        self._preprocess = preprocess
        self._unnamed: dict[tuple[str, str], Material] = {}
        self._jobs: queue.Queue[_Job | None] = queue.Queue(_WAITING)
        self._failure: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._draw, name="evidence", daemon=True)
        self._thread.start()

    def keep(self, closing: Closing) -> None:
        """Take what is needed of a movement until its event comes."""
        self._unnamed[closing.source, closing.event_id] = material_of(closing, self._preprocess)

    def write(self, event: Event, seq: int) -> None:
        """See ``EventSink.write``.

        Raises:
            UsageError: an earlier picture could not be written.
        """
        self._raise_failure()
        if isinstance(event, MeEnd):
            material = self._unnamed.pop((event.source, event.event_id))
            self._jobs.put(_Job(self._folder / f"{event_key(event, seq)}.png", material, event))

    def close(self) -> None:
        """Draw what waits. May be called twice.

        Raises:
            UsageError: a picture could not be written.
        """
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        self._thread.join()
        self._raise_failure()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _draw(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                write_picture(job.path, job.material, job.event)
            except BaseException as error:  # a thread's outermost: told to the thread that analyses
                self._failure = error
