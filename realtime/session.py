"""One run of ``tsf-live``: sources in, sinks and viewers out, everything closed whatever happens."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from tsfmicro import __version__
from tsfmicro.errors import SourceLostError
from tsfmicro.landmarks import LandmarkDetector
from tsfmicro.realtime.analyzer import Closing
from tsfmicro.realtime.events import Event, SessionEnd, SessionStart
from tsfmicro.realtime.garbage import loaded_objects_set_aside
from tsfmicro.realtime.ledger import Ledger, total
from tsfmicro.realtime.naming import name
from tsfmicro.realtime.naming_thread import Named, NamingThread, part
from tsfmicro.realtime.pipeline import EventRecogniser, Observation, PipelineSpec, Step, Tally
from tsfmicro.realtime.readers import Delivery, Readers
from tsfmicro.realtime.recognise import Namer
from tsfmicro.realtime.recording.replay import NoDetector, RecordedWatch, ReplaySource
from tsfmicro.realtime.sinks import EventSink
from tsfmicro.realtime.source_run import Limits, SourceRun
from tsfmicro.realtime.sources import Source
from tsfmicro.realtime.sources.reconnect import Lost
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.realtime.viewers import Viewer
from tsfmicro.realtime.window import StopRequested
from tsfmicro.values import Frame

_LOOK_UP_S = 0.1
"""How often a wait for frames looks up for an interruption: nobody waits for Ctrl-C."""
_KEPT_EVENTS = 1_000
"""Movements remembered for the summary: a month must not cost more memory than a day."""


@dataclass(slots=True)
class Outputs:
    """Where a run goes. The session closes all of it."""

    sinks: list[EventSink] = field(default_factory=list)
    viewers: list[Viewer] = field(default_factory=list)
    keep: Callable[[Closing], None] | None = None
    """Given every movement as it was seen, before its event."""

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
    ledger: Ledger = field(default_factory=Ledger)
    """What became of every frame, all sources together."""
    sources: tuple[Mapping[str, Any], ...] = ()
    """See ``SourceRun.report``."""


class Session:
    """Runs all sources at once through the pure pipeline, one after the other frame by frame, and numbers the events.

    Threads read, this one analyses; another names the movements of live sources meanwhile. A source that is lost for
    good does not end the others.

    Args:
        detector: makes the landmark component of one source.
        recogniser: None only spots.
        model: what ``session.start`` says of the recogniser.
        limits: when to stop early.
        clock: times the stages.
        spec: constants of the pipeline.
        interrupted: asked before every frame, and often while there is none; true ends the run as Ctrl-C does.
    """

    def __init__(
        self,
        detector: Callable[[], LandmarkDetector],
        recogniser: Namer | None,
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
        self._runs: list[SourceRun] = []
        self._naming: NamingThread | None = None
        self._unseen: dict[int, list[Event]] = {}
        self._kept: deque[Event] = deque(maxlen=_KEPT_EVENTS)

    @property
    def spec(self) -> PipelineSpec:
        """Constants of the pipeline."""
        return self._spec

    def recalibrate(self) -> None:
        """Learn again how the faces in view usually move, in all sources; from the thread of :meth:`run`."""
        for run in self._runs:
            run.recalibrate()

    def reports(self) -> tuple[Mapping[str, Any], ...]:
        """For every source, its books as they stand; see ``SourceRun.report``."""
        return tuple(run.report() for run in self._runs)

    def run(self, sources: Sequence[Source], outputs: Outputs) -> Summary:
        """Run to the end of the sources, a limit, or an interruption. Once only.

        An interruption (Ctrl-C) and a lost source are flushed like an end: what was seen is written.

        Raises:
            KeyboardInterrupt, SourceLostError: again, once everything is flushed and closed.
        """
        began_s = time.monotonic()
        names = tuple(source.name for source in sources)
        readers = Readers(sources, self._clock)
        if self._recogniser is not None:
            self._naming = NamingThread(self._recogniser, readers.wake)
        stopped: BaseException | None = None
        reason = "failed"
        try:
            start = SessionStart(__version__, names, self._model, datetime.now(UTC).isoformat(timespec="seconds"))
            self._emit([start], outputs)
            self._runs = []
            for source in sources:
                self._runs.append(self._begin(source, outputs))
            with loaded_objects_set_aside():
                readers.start()
                reason, stopped = self._analyse(readers, outputs)
        except KeyboardInterrupt as interrupt:
            stopped, reason = interrupt, "interrupted"
        except StopRequested:
            reason = "closed"
        finally:
            readers.stop()
            wall_s = time.monotonic() - began_s
            with ExitStack() as stack:  # every one, whatever the others do; the last first
                # Last of all: a thread that waits for an answer may need seconds, and the records do not wait for it.
                stack.callback(readers.close)
                stack.callback(outputs.close)
                if self._naming is not None:
                    stack.callback(self._naming.close)
                stack.callback(lambda: self._emit([self._end(wall_s, reason)], outputs))
                for number in reversed(range(len(self._runs))):
                    stack.callback(self._finish, number, reason, outputs)
        if stopped is not None:
            raise stopped
        return Summary(self._tally(), wall_s, reason, tuple(self._kept), self._ledger(), self.reports())

    def _begin(self, source: Source, outputs: Outputs) -> SourceRun:
        replayed = isinstance(source, ReplaySource)
        detector = NoDetector() if replayed else self._detector()
        watch = RecordedWatch() if replayed else None
        recogniser = EventRecogniser(
            source.name, detector, self._recogniser, self._spec, self._clock, watch, outputs.keep
        )
        return SourceRun(source, detector, recogniser, self._limits)

    def _analyse(self, readers: Readers, outputs: Outputs) -> tuple[str, SourceLostError | None]:
        """Frame by frame until every source has ended; the reason of the one named last, and the first loss."""
        lost: SourceLostError | None = None
        while any(run.reason is None for run in self._runs):
            if self._interrupted():
                raise KeyboardInterrupt
            self._tell_named(outputs)
            held: list[tuple[int, Observation]] = []
            try:
                for taken in readers.take(_LOOK_UP_S):
                    if taken.item is not None:
                        limit = self._advance(taken.lane, taken.item, taken.dropped, held, outputs)
                        if limit is not None:
                            self._leave(taken.lane, limit, readers, outputs)
                    elif taken.error is None:
                        self._finish(taken.lane, "end_of_source", outputs)
                    elif isinstance(taken.error, SourceLostError):
                        lost = lost or taken.error
                        self._finish(taken.lane, "source_lost", outputs)
                    else:
                        raise taken.error
            finally:
                self._decide(held, outputs)
            for number, run in enumerate(self._runs):
                limit = run.limit_while_waiting() if run.reason is None else None
                if limit is not None:
                    self._leave(number, limit, readers, outputs)
        return ("source_lost" if lost else self._runs[-1].reason or "end_of_source"), lost

    def _advance(
        self,
        number: int,
        delivery: Delivery,
        dropped: int,
        held: list[tuple[int, Observation]],
        outputs: Outputs,
    ) -> str | None:
        """Take one item of a source; the limit that was reached, if one was.

        What holds movements to be named is added to ``held``; everything else is told at once.
        """
        run, item = self._runs[number], delivery.item
        if isinstance(item, Frame):
            limit = run.limit_before(item)
            if limit is None:
                run.update(delivery.ledger, dropped)
                observed = run.observe(item)
                held.append((number, observed))
                if not observed.unnamed:
                    self._decide([held.pop()], outputs)
            return limit
        self._await_names(outputs)
        run.update(delivery.ledger, dropped)
        if item is not None:
            events = run.lost(item) if isinstance(item, Lost) else run.restored(item)
            self._emit(events, outputs)
            self._unseen.setdefault(number, []).extend(events)
        return None

    def _decide(self, observations: Sequence[tuple[int, Observation]], outputs: Outputs) -> None:
        """Name what several sources showed, all of it in one call, and tell it; live sources do not wait for it."""
        later: list[tuple[int, Observation]] = []
        now: list[tuple[int, Observation]] = []
        for number, observed in observations:
            waits = self._naming is not None and self._runs[number].live and observed.unnamed
            (later if waits else now).append((number, observed))
        if self._naming is not None and later:
            parted = [part(observed.findings) for _, observed in later]
            self._naming.ask(later, [findings.later for findings in parted])
            for (number, observed), findings in zip(later, parted, strict=True):
                self._show(number, self._runs[number].undecided(observed, findings.now), outputs)
        named = name([observed.findings for _, observed in now], self._recogniser)
        for (number, observed), events in zip(now, named, strict=True):
            self._show(number, self._runs[number].decided(observed, events), outputs)

    def _tell_named(self, outputs: Outputs) -> None:
        """Tell what has been named meanwhile."""
        if self._naming is not None:
            self._tell(self._naming.answered(), outputs)

    def _await_names(self, outputs: Outputs) -> None:
        """Tell everything that is being named: what comes next must not overtake it."""
        if self._naming is not None:
            self._tell(self._naming.drain(), outputs)

    def _tell(self, named: Iterable[Named], outputs: Outputs) -> None:
        for frame in named:
            events = self._runs[frame.source].named(frame.observed, frame.events)
            self._emit(events, outputs)
            self._unseen.setdefault(frame.source, []).extend(events)

    def _leave(self, number: int, reason: str, readers: Readers, outputs: Outputs) -> None:
        readers.abandon(number)
        self._finish(number, reason, outputs)

    def _finish(self, number: int, reason: str, outputs: Outputs) -> None:
        run = self._runs[number]
        if run.reason is not None:
            return
        try:
            self._await_names(outputs)
        finally:  # a recogniser that fails keeps nobody's last events
            last = run.finish(reason)
            self._emit(last, outputs)
            for viewer in outputs.viewers:
                viewer.finish([*self._unseen.pop(number, []), *last])

    def _show(self, number: int, step: Step, outputs: Outputs) -> None:
        with self._clock.stage("output"):
            self._emit(step.events, outputs)
            # Viewers see frames; what came between two of them comes with the second.
            unseen = self._unseen.pop(number, [])
            seen = replace(step, events=(*unseen, *step.events)) if unseen else step
            for viewer in outputs.viewers:
                viewer.see(seen)

    def _emit(self, events: Sequence[Event], outputs: Outputs) -> None:
        for event in events:
            for sink in outputs.sinks:
                sink.write(event, self._seq)
            self._seq += 1
            if event.type.startswith("me."):
                self._kept.append(event)

    def _tally(self) -> Tally:
        tallies = [run.tally for run in self._runs]
        return Tally(
            frames=sum(t.frames for t in tallies),
            dropped=sum(t.dropped for t in tallies),
            faces=sum(t.faces for t in tallies),
            events=sum(t.events for t in tallies),
            rejected=sum(t.rejected for t in tallies),
        )

    def _ledger(self) -> Ledger:
        return total(run.ledger for run in self._runs)

    def _end(self, wall_s: float, reason: str) -> SessionEnd:
        t = self._tally()
        wall_s = round(wall_s, 3)
        return SessionEnd(t.frames, t.dropped, t.faces, t.events, t.rejected, wall_s, reason, self._ledger())
