"""Spot-then-recognise score of the grand challenges: from two tables to one figure.

Liong, See and Chan (2023): STRS is the F1 of spotting times the F1 of analysis. Spotting is pooled over all videos as
if they were one; a found interval is right where it overlaps a true one by half (IoU, in frames, both ends included).
Analysis looks at the right ones alone; its F1 is the harmonic mean of macro precision and macro recall.

*Compatible* figures repeat two habits of the challenge's script: what is found in videos without any true event is not
counted, and what is called UAR is the mean precision.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsfmicro.errors import UsageError
from tsfmicro.intervals import Counts, count, match_intervals

COLUMNS = ("subject", "video", "onset", "offset", "emotion")


@dataclass(frozen=True, slots=True)
class LabelledInterval:
    """One line of a table."""

    subject: str
    video: str
    onset: int
    """First frame."""
    offset: int
    """Last frame; it belongs to the interval."""
    emotion: str

    @property
    def span(self) -> tuple[float, float]:
        """As half-open frames, so that a length is a count."""
        return float(self.onset), float(self.offset + 1)


@dataclass(frozen=True, slots=True)
class Analysis:
    """How the matched events were named; all 0 where none was matched."""

    uf1: float
    uar: float
    f1: float


def read_intervals(path: Path) -> tuple[LabelledInterval, ...]:
    """A CSV with the columns ``subject,video,onset,offset,emotion``, in any order.

    Raises:
        UsageError: if it cannot be read, lacks a column, or a line holds no valid interval.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"{path} cannot be read: {reason}") from error
    reader = csv.DictReader(text.splitlines())
    names = {name.strip().lower(): name for name in reader.fieldnames or ()}
    lacking = [column for column in COLUMNS if column not in names]
    if lacking:
        raise UsageError(f"{path} lacks the column {', '.join(lacking)}; expected {','.join(COLUMNS)}")
    return tuple(
        _interval(path, reader.line_num, {column: (row[names[column]] or "").strip() for column in COLUMNS})
        for row in reader
    )


def _interval(path: Path, line: int, row: dict[str, str]) -> LabelledInterval:
    try:
        onset, offset = round(float(row["onset"])), round(float(row["offset"]))
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{path}, line {line}: onset {row['onset']!r} and offset {row['offset']!r} are not two frame numbers"
        ) from error
    if offset < onset:
        raise UsageError(f"{path}, line {line}: offset {offset} lies before onset {onset}")
    return LabelledInterval(row["subject"], row["video"], onset, offset, row["emotion"].lower())


def strs_row(
    truth: Sequence[LabelledInterval], predictions: Sequence[LabelledInterval], *, megc_compat: bool = False
) -> dict[str, Any]:
    """The row of ``tsf-bench strs``.

    Args:
        truth, predictions: the two tables.
        megc_compat: repeat the habits of the challenge's script.
    """
    true_videos, found_videos = _by_video(truth), _by_video(predictions)
    videos = list(true_videos) if megc_compat else list(dict.fromkeys([*true_videos, *found_videos]))
    counts = Counts()
    pairs: list[tuple[str, str]] = []
    for video in videos:
        real, found = true_videos.get(video, []), found_videos.get(video, [])
        spans, found_spans = [r.span for r in real], [f.span for f in found]
        counts += count(spans, found_spans)
        pairs += [(real[m.truth].emotion, found[m.found].emotion) for m in match_intervals(spans, found_spans)]
    analysis = analyse_names(pairs, megc_compat=megc_compat)
    return {
        "spotting": {
            "tp": counts.tp,
            "fp": counts.fp,
            "fn": counts.fn,
            "precision": round(counts.precision, 6),
            "recall": round(counts.recall, 6),
            "f1": round(counts.f1, 6),
        },
        "analysis": {"uf1": round(analysis.uf1, 6), "uar": round(analysis.uar, 6), "f1": round(analysis.f1, 6)},
        "strs": round(counts.f1 * analysis.f1, 6),
        "megc_compat": megc_compat,
        "truth": len(truth),
        "predictions": len(predictions),
        "videos": len(videos),
    }


def analyse_names(pairs: Sequence[tuple[str, str]], *, megc_compat: bool = False) -> Analysis:
    """Score (true, predicted) names over the classes that occur in either; a ratio of nothing counts as 0.

    UAR is the mean over the classes that have true events.
    """
    classes = sorted({name for pair in pairs for name in pair})
    if not classes:
        return Analysis(0.0, 0.0, 0.0)
    precisions, recalls, f1s, supported = [], [], [], []
    for name in classes:
        tp = sum(t == p == name for t, p in pairs)
        true, predicted = sum(t == name for t, _ in pairs), sum(p == name for _, p in pairs)
        precisions.append(tp / predicted if predicted else 0.0)
        recalls.append(tp / true if true else 0.0)
        f1s.append(2 * tp / (true + predicted))
        supported += [recalls[-1]] if true else []
    precision, recall = sum(precisions) / len(classes), sum(recalls) / len(classes)
    uar = precision if megc_compat else sum(supported) / max(len(supported), 1)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Analysis(sum(f1s) / len(classes), uar, f1)


def _by_video(intervals: Sequence[LabelledInterval]) -> dict[tuple[str, str], list[LabelledInterval]]:
    grouped: dict[tuple[str, str], list[LabelledInterval]] = defaultdict(list)
    for interval in intervals:
        grouped[interval.subject, interval.video].append(interval)
    return grouped
