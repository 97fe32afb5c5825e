"""One run of ``tsf-live``: sources in, sinks and viewers out, everything closed whatever happens."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tsfmicro import __version__
from tsfmicro.errors import SourceLostError, UsageError
from tsfmicro.landmarks import LandmarkDetector
from tsfmicro.realtime.events import Event, SessionEnd, SessionStart
from tsfmicro.realtime.pipeline import EventRecogniser, PipelineSpec, Step, Tally
from tsfmicro.realtime.recognise import Recogniser
from tsfmicro.realtime.sinks import EventSink
from tsfmicro.realtime.sources import Source
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.realtime.viewers import Viewer
from tsfmicro.realtime.window import StopRequested
from tsfmicro.values import Frame

_KEPT_EVENTS = 10_000
"""Movements remembered for the summary: a month must not cost more memory than a day."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop before the source ends."""

    duration_s: float | None = None
    """Media time of each source."""
    max_frames: int | None = None
    """Of each source."""

    def __post_init__(self) -> None:
        if self.duration_s is not None and not math.isfinite(self.duration_s):
            raise UsageError(f"--duration is {self.duration_s}; expected seconds")


@dataclass(slots=True)
class Outputs:
    """Where a run goes. The session closes all of it."""

    sinks: list[EventSink] = field(default_factory=list)
    viewers: list[Viewer] = field(default_factory=list)

    def close(self) -> None:
        """Close every one, in order; one that cannot be closed does not keep the others open."""
        with ExitStack() as stack:
            for viewer in reversed(self.viewers):
                stack.callback(viewer.close)
            for sink in reversed(self.sinks):
                stack.callback(sink.close)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to."""

    tally: Tally
    wall_s: float
    reason: str
    """As in ``session.end``."""
    events: tuple[Event, ...]
    """The last movements: ``me.*``."""


class Session:
    """Runs sources one after the other through the pure pipeline and numbers the events.

    Args:
        detector: makes the landmark component of one source.
        recogniser: None only spots.
        model: what ``session.start`` says of the recogniser.
        limits: when to stop early.
        clock: times the stages.
        spec: constants of the pipeline.
        interrupted: asked before every frame; true ends the run as Ctrl-C does.
    """

    def __init__(
        self,
        detector: Callable[[], LandmarkDetector],
        recogniser: Recogniser | None,
        model: Mapping[str, Any] | None,
        limits: Limits,
        clock: StageClock,
        spec: PipelineSpec | None = None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._detector = detector
        self._recogniser = recogniser
        self._model = model
        self._limits = limits
        self._clock = clock
        self._spec = spec or PipelineSpec()
        self._interrupted = interrupted
        self._seq = 0
        self._total = Tally()
        self._kept: deque[Event] = deque(maxlen=_KEPT_EVENTS)

    @property
    def spec(self) -> PipelineSpec:
        """Constants of the pipeline."""
        return self._spec

    def run(self, sources: Sequence[Source], outputs: Outputs) -> Summary:
        """Run to the end of the sources, a limit, or an interruption.

        An interruption (Ctrl-C) and a lost source are flushed like an end: what was seen is written.

        Raises:
            KeyboardInterrupt, SourceLostError: again, once everything is flushed and closed.
        """
        began_s = time.monotonic()
        names = tuple(source.name for source in sources)
        stopped: BaseException | None = None
        reason = "failed"
        try:
            start = SessionStart(__version__, names, self._model, datetime.now(UTC).isoformat(timespec="seconds"))
            self._emit([start], outputs)
            for source in sources:
                last = self._run_one(source, outputs)
                if last == "closed":
                    break
            reason = last
        except KeyboardInterrupt as interrupt:
            stopped, reason = interrupt, "interrupted"
        except SourceLostError as lost:
            stopped, reason = lost, "source_lost"
        finally:
            wall_s = time.monotonic() - began_s
            try:
                self._emit([self._end(wall_s, reason)], outputs)
            finally:
                outputs.close()
        if stopped is not None:
            raise stopped
        return Summary(self._total, wall_s, reason, tuple(self._kept))

    def _end(self, wall_s: float, reason: str) -> SessionEnd:
        t = self._total
        return SessionEnd(t.frames, t.dropped, t.faces, t.events, t.rejected, round(wall_s, 3), reason)

    def _run_one(self, source: Source, outputs: Outputs) -> str:
        detector = self._detector()
        recogniser = EventRecogniser(source.name, detector, self._recogniser, self._spec, self._clock)
        reason = "end_of_source"
        try:
            for frame in self._timed(source.frames()):
                if self._interrupted():
                    raise KeyboardInterrupt
                limit = self._limit_reached(frame, recogniser.tally)
                if limit is not None:
                    reason = limit
                    break
                self._show(recogniser.step(frame), outputs)
        except StopRequested:
            reason = "closed"
        finally:
            try:
                last = recogniser.finish()
                self._emit(last, outputs)
                for viewer in outputs.viewers:
                    viewer.finish(last)
            finally:
                detector.close()
                self._add(recogniser.tally)
        return reason

    def _timed(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        while True:
            with self._clock.stage("decode"):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame

    def _limit_reached(self, frame: Frame, tally: Tally) -> str | None:
        if self._limits.max_frames is not None and tally.frames >= self._limits.max_frames:
            return "max_frames"
        if self._limits.duration_s is not None and frame.t_s >= self._limits.duration_s:
            return "duration"
        return None

    def _show(self, step: Step, outputs: Outputs) -> None:
        with self._clock.stage("output"):
            self._emit(step.events, outputs)
            for viewer in outputs.viewers:
                viewer.see(step)

    def _emit(self, events: Sequence[Event], outputs: Outputs) -> None:
        for event in events:
            for sink in outputs.sinks:
                sink.write(event, self._seq)
            self._seq += 1
            if event.type.startswith("me."):
                self._kept.append(event)

    def _add(self, tally: Tally) -> None:
        self._total.frames += tally.frames
        self._total.dropped += tally.dropped
        self._total.faces += tally.faces
        self._total.events += tally.events
        self._total.rejected += tally.rejected
