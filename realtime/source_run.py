"""One source's way through the pipeline, in the thread that analyses."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tsfmicro.errors import UsageError
from tsfmicro.landmarks import LandmarkDetector
from tsfmicro.realtime.events import Event, MeApex, MeEnd, MeStart, SourceLost, SourceRestored, Stats
from tsfmicro.realtime.ledger import Ledger
from tsfmicro.realtime.pipeline import EventRecogniser, Observation, Step
from tsfmicro.realtime.recording.replay import ReplaySource
from tsfmicro.realtime.sources import Source
from tsfmicro.realtime.sources.reconnect import Lost, Restored
from tsfmicro.realtime.stage_clock import Histogram
from tsfmicro.values import Frame

_LOG = logging.getLogger(__name__)
_FPS_KNOWN_AFTER = 60
"""Frames after which the measured rate is believed."""


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


class SourceRun:
    """Analyses one source and keeps its books.

    Args:
        source: named in the events; read elsewhere.
        detector: closed by :meth:`finish`.
        recogniser: the pure pipeline of this source.
        limits: when to stop early.
        now_s: monotonic clock, the one frames are stamped with.
    """

    def __init__(
        self,
        source: Source,
        detector: LandmarkDetector,
        recogniser: EventRecogniser,
        limits: Limits,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = source.name
        self.reason: str | None = None
        """Why it ended, as in ``session.end``; None while it runs."""
        self._live = source.live
        self._replayed = isinstance(source, ReplaySource)
        self._detector = detector
        self._recogniser = recogniser
        self._limits = limits
        self._now_s = now_s
        self._books = Ledger()
        self._analysed = self._late = self._dropped = 0
        self._latency = Histogram()
        self._first_captured_s: float | None = None
        self._fps: float | None = None
        self._rate_told = False
        self.tally = recogniser.tally

    @property
    def ledger(self) -> Ledger:
        """What became of the frames so far; of a recorded session, what became of them then."""
        if self._replayed:
            return self._books
        return replace(self._books, analysed=self._analysed, dropped=self._dropped, late=self._late)

    def update(self, books: Ledger, dropped: int) -> None:
        """Take over the books of the reader and the count of the hand-off, as they stood with the item just taken."""
        self._books, self._dropped = books, dropped

    def limit_before(self, frame: Frame) -> str | None:
        """Why this frame must not be analysed; None where it may."""
        if self._limits.max_frames is not None and self.tally.frames >= self._limits.max_frames:
            return "max_frames"
        if self._limits.duration_s is not None and frame.t_s >= self._limits.duration_s:
            return "duration"
        return None

    def limit_while_waiting(self) -> str | None:
        """Why there is nothing to wait for: a live source need not send the frame that would be one too many."""
        if not self._live:
            return None
        if self._limits.max_frames is not None and self.tally.frames >= self._limits.max_frames:
            return "max_frames"
        if self._limits.duration_s is None or self._first_captured_s is None:
            return None
        return "duration" if self._now_s() - self._first_captured_s >= self._limits.duration_s else None

    @property
    def live(self) -> bool:
        """True where the source does not wait."""
        return self._live

    def observe(self, frame: Frame) -> Observation:
        """Analyse a frame, up to the names; :meth:`decided`, or :meth:`undecided` and :meth:`named`, take those."""
        if self._first_captured_s is None:
            self._first_captured_s = frame.captured_s
        observed = self._recogniser.observe(frame)
        self._analysed += 1
        return observed

    def decided(self, observed: Observation, events: Sequence[Event]) -> Step:
        """What the frame observed last came to: its findings, named."""
        self._measure_rate()
        return Step(observed.frame, observed.faces, self._completed(events, self._decision_s(observed)), observed.sight)

    def undecided(self, observed: Observation, events: Sequence[Event]) -> Step:
        """The frame observed last while some of its movements are being named; :meth:`named` takes those.

        Args:
            observed: the frame.
            events: what can be told of it already.
        """
        self._measure_rate()
        told = self._completed(events, self._since_capture_s(observed))
        return Step(observed.frame, observed.faces, told, observed.sight, observed.unnamed)

    def named(self, observed: Observation, events: Sequence[Event]) -> tuple[Event, ...]:
        """The rest of an undecided frame: only now is it decided."""
        return self._completed(events, self._decision_s(observed))

    def _measure_rate(self) -> None:
        self._fps = self._recogniser.fps_measured
        self._tell_rate()

    def _since_capture_s(self, observed: Observation) -> float | None:
        return max(0.0, self._now_s() - observed.frame.captured_s) if self._live else None

    def _decision_s(self, observed: Observation) -> float | None:
        """How long after its capture a live frame is decided on: now. Goes into the books, once a frame."""
        compute_s = self._since_capture_s(observed)
        if compute_s is not None:
            self._latency.add(compute_s * 1e3)
            self._late += self._fps is not None and compute_s > 1 / self._fps
        return compute_s

    def _tell_rate(self) -> None:
        """Once: a rate at which no micro-expression can be told from other movements."""
        if self._rate_told or self._analysed < _FPS_KNOWN_AFTER or self._fps is None:
            return
        self._rate_told = True
        if self._fps < self._recogniser.min_fps:
            _LOG.warning(
                "%s delivers %.1f frames/s; with fewer than %g no micro-expression is reported: one can rise within "
                "1/25 s. Ask the camera for a higher rate (--camera-fps), or give it more light",
                self.name,
                self._fps,
                self._recogniser.min_fps,
            )

    def recalibrate(self) -> None:
        """Learn again how the faces in view usually move."""
        self._recogniser.recalibrate()

    def lost(self, item: Lost) -> list[Event]:
        """The source went away: what was open is closed, nothing is compared across the gap."""
        event = SourceLost(self.name, item.at, item.reason, item.detail)
        return [event, *self._completed(self._recogniser.gap(), None)]

    def restored(self, item: Restored) -> list[Event]:
        """The source came back."""
        return [SourceRestored(self.name, item.at, item.gap_s)]

    def finish(self, reason: str) -> list[Event]:
        """End of the source, for whatever reason; its last events."""
        self.reason = reason
        try:
            return list(self._completed(self._recogniser.finish(), None))
        finally:
            self._detector.close()

    def report(self) -> dict[str, Any]:
        """For ``--stats``: the books, the measured rate, and how long after its capture a frame was decided on."""
        return {
            "source": self.name,
            "live": self._live,
            "fps_measured": None if self._fps is None else round(self._fps, 3),
            "ledger": asdict(self.ledger),
            "capture_to_decision": self._latency.report() if self._live else None,
        }

    def _completed(self, events: Sequence[Event], compute_s: float | None) -> tuple[Event, ...]:
        """The pipeline's events with what only a session knows: the books, and clocks of the world."""
        return tuple(self._complete(event, compute_s) for event in events)

    def _complete(self, event: Event, compute_s: float | None) -> Event:
        if isinstance(event, Stats):
            return replace(event, ledger=self.ledger)
        if isinstance(event, MeStart | MeApex | MeEnd):
            return replace(event, compute_s=compute_s)
        return event
