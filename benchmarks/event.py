"""Scenario ``event``: demonstration clips of known truth through the whole path, several seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from tsfmicro.intervals import Counts, Match, count, match_intervals
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.realtime.events import Event, MeApex, MeEnd
from tsfmicro.realtime.pipeline import EventRecogniser, analyse
from tsfmicro.realtime.recognise import Namer
from tsfmicro.realtime.sources.demo import DemoSource
from tsfmicro.synthetic.timecourse import TrueEvent


@dataclass(frozen=True, slots=True)
class ClipResult:
    """One clip against its truth."""

    seed: int
    truth: tuple[TrueEvent, ...]
    found: tuple[MeEnd, ...]
    matches: tuple[Match, ...]
    counts: Counts
    lookaheads_s: tuple[float, ...]
    """Of every confirmed apex."""

    @property
    def apex_errors_ms(self) -> list[float]:
        """Absolute, of the matched events."""
        return [
            abs(self.found[m.found].interval.apex.t_s - self.truth[m.truth].course.apex_s) * 1e3 for m in self.matches
        ]

    @property
    def onset_errors_ms(self) -> list[float]:
        """Absolute, of the matched events."""
        return [
            abs(self.found[m.found].interval.onset.t_s - self.truth[m.truth].course.onset_s) * 1e3 for m in self.matches
        ]

    @property
    def named_right(self) -> int:
        """Matched events whose label, not abstained from, is the true one."""
        return sum(
            (r := self.found[m.found].recognition) is not None and r.label == self.truth[m.truth].emotion
            for m in self.matches
        )

    @property
    def answered(self) -> int:
        """Matched events that got a label."""
        return sum((r := self.found[m.found].recognition) is not None and r.label is not None for m in self.matches)


def score_clip(seed: int, truth: tuple[TrueEvent, ...], events: list[Event]) -> ClipResult:
    """Match what was found to what was hidden."""
    found = tuple(event for event in events if isinstance(event, MeEnd))
    true_spans = [(e.course.onset_s, e.course.offset_s) for e in truth]
    found_spans = [(e.interval.onset.t_s, e.interval.offset.t_s) for e in found]
    return ClipResult(
        seed=seed,
        truth=truth,
        found=found,
        matches=tuple(match_intervals(true_spans, found_spans)),
        counts=count(true_spans, found_spans),
        lookaheads_s=tuple(event.lookahead_s for event in events if isinstance(event, MeApex)),
    )


def run_clips(seeds: list[int], recogniser: Namer | None) -> Iterator[ClipResult]:
    """Run one demonstration clip per seed."""
    for seed in seeds:
        with DemoSource(seed) as source, FaceMeshDetector() as detector:
            path = EventRecogniser(source.name, detector, recogniser)
            events = [event for step in analyse(source.frames(), path) for event in step.events]
            yield score_clip(seed, source.truth, events + path.finish())


def row_of(results: list[ClipResult]) -> dict[str, Any]:
    """Pooled figures of several clips."""
    counts = sum((r.counts for r in results), Counts())
    apex, onset = ([e for r in results for e in errors(r)] for errors in (_apex, _onset))
    lookaheads = [s for r in results for s in r.lookaheads_s]
    return {
        "clips": len(results),
        "hidden": sum(len(r.truth) for r in results),
        "tp": counts.tp,
        "fp": counts.fp,
        "fn": counts.fn,
        "f1": round(counts.f1, 4),
        "apex_error_median_ms": round(median(apex), 2) if apex else None,
        "onset_error_median_ms": round(median(onset), 2) if onset else None,
        "apex_lookahead_median_ms": round(median(lookaheads) * 1e3, 1) if lookaheads else None,
        "apex_lookahead_max_ms": round(max(lookaheads) * 1e3, 1) if lookaheads else None,
        "named_right": sum(r.named_right for r in results),
        "answered": sum(r.answered for r in results),
    }


def _apex(result: ClipResult) -> list[float]:
    return result.apex_errors_ms


def _onset(result: ClipResult) -> list[float]:
    return result.onset_errors_ms
