"""Draws the evidence of movements while the session goes on."""

from __future__ import annotations

import queue
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np

from tsfmicro.preprocess import Preprocessor, PreprocessSpec
from tsfmicro.realtime.analyzer import Closing, event_crops
from tsfmicro.realtime.event_json import event_key
from tsfmicro.realtime.events import Event, MeEnd, MeRejected
from tsfmicro.realtime.evidence.artist import Artist, Job
from tsfmicro.realtime.evidence.material import Material
from tsfmicro.realtime.new_folder import make_new_folder
from tsfmicro.realtime.window_recognise import WindowRecogniser
from tsfmicro.realtime.windows import event_window

_WAITING = 32
"""Movements that may wait to be drawn, half a megabyte each, with a window of eight frames 1.7; then the analysis waits
for the drawing."""


class EvidenceWriter:
    """One PNG for every ``me.end``, named by the event's ``id``, so that files and events sort alike.

    Drawing takes as long as many frames, so another process does it. What waits to be drawn is small; events hold no
    pictures.

    Args:
        folder: made if it does not exist.
        preprocess: whose geometry the crops have.
        rejected: draw the movements that were rejected too.
        windows: the recogniser of windows, for the window and its dynamic image; None where there is none.

    Raises:
        UsageError: the folder holds something already, or nothing can be written there.
    """

    def __init__(
        self,
        folder: Path,
        preprocess: PreprocessSpec,
        rejected: bool = False,
        windows: WindowRecogniser | None = None,
    ) -> None:
        make_new_folder(folder, "evidence")
        self._folder = folder
        self._preprocess = preprocess
        self._rejected = rejected
        self._windows = windows
        self._unnamed: dict[tuple[str, str], Material] = {}
        self._jobs: queue.Queue[Job | None] = queue.Queue(_WAITING)
        self._failure: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._hand_over, args=(Artist(),), name="evidence", daemon=True)
        self._thread.start()

    def keep(self, closing: Closing) -> None:
        """Take what is needed of a movement until its event comes."""
        if self._rejected or not closing.rejected:
            self._unnamed[closing.source, closing.event_id] = material_of(
                closing, self._preprocess, None if self._windows is None else self._windows.window_frames
            )

    def write(self, event: Event, seq: int) -> None:
        """See ``EventSink.write``.

        Raises:
            TsfError: an earlier picture could not be written.
        """
        self._raise_failure()
        if isinstance(event, MeEnd) or (isinstance(event, MeRejected) and self._rejected):
            material = self._unnamed.pop((event.source, event.event_id))
            self._jobs.put(Job(self._folder / f"{event_key(event, seq)}.png", material, event))

    def close(self) -> None:
        """Draw what waits. May be called twice.

        Raises:
            TsfError: a picture could not be written.
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

    def _hand_over(self, artist: Artist) -> None:
        with artist:
            while (job := self._jobs.get()) is not None:
                try:
                    artist.draw(self._with_dynamic_image(job))
                except BaseException as error:  # a thread's outermost: told to the thread that analyses
                    self._failure = error

    def _with_dynamic_image(self, job: Job) -> Job:
        """Asked here and not where movements are named: a rejected one never is, and nothing waits for it here."""
        window = job.material.window
        if self._windows is None or window is None:
            return job
        return replace(job, dynamic_image=self._windows.dynamic_image(window))


def material_of(closing: Closing, preprocess: PreprocessSpec, window_frames: int | None = None) -> Material:
    """Take from a movement what is needed; its pictures can go.

    Args:
        closing: the movement.
        preprocess: whose geometry the crops have.
        window_frames: of the window from onset to offset; None for none.
    """
    preprocessor = Preprocessor(preprocess)
    finished = closing.finished
    onset = finished.sample_at(finished.interval.onset)
    apex = finished.sample_at(finished.interval.apex)
    return Material(
        crops=event_crops(onset, apex, closing.moved, preprocessor),
        align=preprocess.align,
        points_px=onset.patch.points_px,
        times_s=np.array([sample.moment.t_s for sample in finished.samples]),
        traces=finished.traces,
        window=(
            None if window_frames is None else event_window(finished, window_frames, preprocess.align, preprocessor)
        ),
    )
