"""Figures of takes: F1 at IoU 0.5, detection by amplitude, errors beside trivial baselines, false events, latency."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from tsfmicro.benchmarks.spotting.chance import f1_interval, per_minute
from tsfmicro.benchmarks.spotting.filming import Spotted, TakeResult
from tsfmicro.intervals import Counts, Span, match_intervals
from tsfmicro.realtime.gates import LEFT_TO_CONFIDENCE, LOW_CONFIDENCE


@dataclass(frozen=True, slots=True)
class Hit:
    """A true event and the reported one that matches it."""

    take: TakeResult
    truth: int
    spotted: Spotted

    @property
    def apex_error_s(self) -> float:
        """Found minus true."""
        return self.spotted.apex_s - self.take.truth[self.truth].event.course.apex_s

    @property
    def onset_error_s(self) -> float:
        """Found minus true."""
        return self.spotted.onset_s - self.take.truth[self.truth].event.course.onset_s


@dataclass(frozen=True, slots=True)
class Outcome:
    """One take, matched face by face."""

    counts: Counts
    hits: tuple[Hit, ...]
    false: tuple[Spotted, ...]


def match_take(result: TakeResult, reported: Sequence[Spotted] | None = None) -> Outcome:
    """Match what was reported to what was hidden, one face at a time.

    Args:
        result: the take.
        reported: what counts as reported; by default what the gates let through.
    """
    found = [s for s in result.spotted if s.reported] if reported is None else list(reported)
    hits: list[Hit] = []
    matched: set[int] = set()
    for face in {act.face for act in result.truth}:
        mine = [i for i, act in enumerate(result.truth) if act.face == face]
        own = [i for i, s in enumerate(found) if s.face == face]
        true_spans = [_span_of(result, i) for i in mine]
        for match in match_intervals(true_spans, [(found[i].onset_s, found[i].offset_s) for i in own]):
            hits.append(Hit(result, mine[match.truth], found[own[match.found]]))
            matched.add(own[match.found])
    false = tuple(s for i, s in enumerate(found) if i not in matched)
    return Outcome(Counts(len(hits), len(false), len(result.truth) - len(hits)), tuple(hits), false)


def row_of(results: Sequence[TakeResult]) -> dict[str, Any]:
    """Pooled figures of several takes with injected events."""
    outcomes = [match_take(result) for result in results]
    counts = sum((outcome.counts for outcome in outcomes), Counts())
    hits = [hit for outcome in outcomes for hit in outcome.hits]
    row: dict[str, Any] = {
        "takes": len(results),
        "hidden": sum(len(r.truth) for r in results),
        "tp": counts.tp,
        "fp": counts.fp,
        "fn": counts.fn,
        "f1": round(counts.f1, 4),
        "f1_interval": f1_interval(counts),
        "detection_rate": round(counts.recall, 4),
        "precision": round(counts.precision, 4),
    }
    return row | error_figures(hits) | latency_figures(hits)


def error_figures(hits: Sequence[Hit]) -> dict[str, Any]:
    """Median absolute errors in milliseconds and frames, beside what needs no spotting at all.

    The trivial apexes are given what the spotter is not: the true interval (its middle) or the true onset (plus the
    median onset phase of the same events).
    """
    if not hits:
        return dict.fromkeys(
            ("apex_error_median_ms", "apex_error_median_frames", "onset_error_median_ms", "apex_midpoint_median_ms",
             "apex_onset_plus_constant_median_ms")
        )  # fmt: skip
    courses = [hit.take.truth[hit.truth].event.course for hit in hits]
    phase_s = median(c.apex_s - c.onset_s for c in courses)
    return {
        "apex_error_median_ms": _ms(abs(hit.apex_error_s) for hit in hits),
        "apex_error_median_frames": round(median(abs(hit.apex_error_s) / hit.take.frame_s for hit in hits), 2),
        "onset_error_median_ms": _ms(abs(hit.onset_error_s) for hit in hits),
        "apex_midpoint_median_ms": _ms(abs((c.onset_s + c.offset_s) / 2 - c.apex_s) for c in courses),
        "apex_onset_plus_constant_median_ms": _ms(abs(c.onset_s + phase_s - c.apex_s) for c in courses),
    }


def latency_figures(hits: Sequence[Hit]) -> dict[str, Any]:
    """Media time from the true apex to the frame at which the apex, and the whole event, were told."""
    apexes = [hit.take.truth[hit.truth].event.course.apex_s for hit in hits]
    told = [(h.spotted.apex_known_s, a) for h, a in zip(hits, apexes, strict=True)]
    return {
        "apex_told_after_median_ms": _ms(known - apex for known, apex in told if known is not None),
        "event_told_after_median_ms": _ms(h.spotted.known_s - a for h, a in zip(hits, apexes, strict=True)),
    }


def untouched_row(results: Sequence[TakeResult]) -> dict[str, Any]:
    """False events a minute of footage into which nothing was put, and what became of its blinks.

    A blink counts as rejected where no reported event overlaps it.
    """
    watched_s = sum(r.watched_s for r in results)
    reported = [[s for s in r.spotted if s.reported] for r in results]
    blinks = [(blink, spotted) for r, spotted in zip(results, reported, strict=True) for blink in r.blinks]
    kept = sum(not any(s.onset_s <= b[1] and s.offset_s >= b[0] for s in spotted) for b, spotted in blinks)
    return {
        "takes": len(results),
        "false_events": sum(map(len, reported)),
        **per_minute(sum(map(len, reported)), watched_s),
        "blinks": len(blinks),
        "blinks_rejected": round(kept / len(blinks), 4) if blinks else None,
    }


def threshold_sweep(
    injected: Sequence[TakeResult], untouched: Sequence[TakeResult], thresholds: Iterable[float]
) -> list[dict[str, float]]:
    """Detection and false events over the confidence from which an event counts: the detection error trade-off."""
    watched_s = sum(r.watched_s for r in untouched)
    curve = []
    for threshold in thresholds:
        counts = sum((match_take(r, confident(r, threshold)).counts for r in injected), Counts())
        false = sum(len(confident(r, threshold)) for r in untouched)
        curve.append({
            "confidence": round(float(threshold), 3),
            "detection_rate": round(counts.recall, 4),
            "f1": round(counts.f1, 4),
            "false_events_per_min": round(60 * false / watched_s, 3) if watched_s else 0.0,
        })  # fmt: skip
    return curve


def confident(result: TakeResult, threshold: float) -> list[Spotted]:
    """Events at an operating point: every movement whose only fault, if any, is its confidence."""
    soft = LEFT_TO_CONFIDENCE | {LOW_CONFIDENCE}
    return [
        s
        for s in result.spotted
        if s.confidence is not None and s.confidence >= threshold and soft.issuperset(s.reasons)
    ]


THRESHOLDS: tuple[float, ...] = tuple(float(t) for t in np.round(np.linspace(0.02, 0.98, 49), 2))


def _span_of(result: TakeResult, index: int) -> Span:
    course = result.truth[index].event.course
    return course.onset_s, course.offset_s


def _ms(seconds: Iterable[float]) -> float | None:
    values = list(seconds)
    return round(median(values) * 1e3, 1) if values else None
