"""Matching found intervals to true ones, the way the micro-expression grand challenges count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MATCH_IOU = 0.5
"""Intersection over union from which a found interval counts (MEGC 2019 to 2025)."""

Span = tuple[float, float]
"""Start and end, seconds."""


def iou(first: Span, second: Span) -> float:
    """Intersection over union of two intervals; 0 where both are empty."""
    shared = min(first[1], second[1]) - max(first[0], second[0])
    union = max(first[1], second[1]) - min(first[0], second[0])
    return shared / union if shared > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Match:
    """A true interval and the found one that covers it."""

    truth: int
    found: int
    iou: float


@dataclass(frozen=True, slots=True)
class Counts:
    """True positives, false positives and false negatives; counts of several clips add up."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> float:
        """Found ones that are true; 0 where nothing was found."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else 0.0

    @property
    def recall(self) -> float:
        """True ones that were found; 0 where there are none."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else 0.0

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), pooled; 0 where nothing was true or found."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else 0.0


def match_intervals(truth: Sequence[Span], found: Sequence[Span], threshold: float = MATCH_IOU) -> list[Match]:
    """One-to-one matches with at least the threshold's overlap, best overlap first, ties to the earlier pair."""
    pairs = [
        Match(i, j, overlap)
        for i, true_span in enumerate(truth)
        for j, found_span in enumerate(found)
        if (overlap := iou(true_span, found_span)) >= threshold
    ]
    chosen: list[Match] = []
    for pair in sorted(pairs, key=lambda m: (-m.iou, m.truth, m.found)):
        if all(pair.truth != other.truth and pair.found != other.found for other in chosen):
            chosen.append(pair)
    return sorted(chosen, key=lambda m: m.truth)


def count(truth: Sequence[Span], found: Sequence[Span], threshold: float = MATCH_IOU) -> Counts:
    """Counts of one clip."""
    hits = len(match_intervals(truth, found, threshold))
    return Counts(tp=hits, fp=len(found) - hits, fn=len(truth) - hits)
