"""Ideas tried on the train side, each scored on people its confidence was not fitted on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tsfmicro.benchmarks.spotting.chance import f1_interval, per_minute
from tsfmicro.benchmarks.spotting.clips import Kind
from tsfmicro.benchmarks.spotting.fitting import left_out, merits_of, patterns_without, told
from tsfmicro.benchmarks.spotting.movements import Movement, movements_in
from tsfmicro.benchmarks.spotting.recordings import CONDITIONS, Recording, read_recordings
from tsfmicro.benchmarks.spotting.takes import Condition
from tsfmicro.intervals import Counts
from tsfmicro.realtime.gates import LEFT_TO_CONFIDENCE, GateSpec
from tsfmicro.realtime.spot import SpotSpec
from tsfmicro.synthetic.timecourse import TimeCourse
from tsfmicro.values import Float64Array


def _as_they_are(movements: Sequence[Movement]) -> list[Movement]:
    return list(movements)


def _forwards_only(movements: Sequence[Movement]) -> list[Movement]:
    return [m for m in movements if not m.take.condition.backwards]


def _clean_only(movements: Sequence[Movement]) -> list[Movement]:
    return [m for m in movements if m.take.condition in {*CONDITIONS, *_BACKWARDS, Condition(3.0, fps=30.0)}]


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing changed."""

    fitted_on: Callable[[Sequence[Movement]], list[Movement]] = _as_they_are
    without: Set[str] = frozenset()
    """Features that get no weight."""
    least: float = GateSpec().min_confidence
    limits_alone: bool = False
    """Let every limit of the gates reject, and no confidence."""
    parts: bool = False
    """Watch parts of the face apart, by their strongest region, and no patterns."""
    clearest: bool = False
    """Of movements that overlap, judge only the one of the highest score."""


_BACKWARDS = tuple(Condition(amplitude, backwards=True) for amplitude in (0.0, 2.0, 3.0))
_MATCHED = frozenset({"unusual_along_pattern", "unusual_pattern", "unusual_besides_pattern"})
_BESIDES = frozenset({"besides_pattern", "pattern_over_usual"})
_SHIPPED, _PARTS = "as shipped", "parts of the face watched apart, no patterns"
_LEAST = (0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8)
VARIANTS: Mapping[str, Variant] = MappingProxyType({
    _SHIPPED: Variant(),
    _PARTS: Variant(parts=True),
    f"{_PARTS}, reported from 0.60": Variant(parts=True, least=0.6),
    "limits alone, no confidence": Variant(limits_alone=True),
    "of overlapping movements the one of the highest score": Variant(clearest=True),
    "without the adaptive matched filter": Variant(without=_MATCHED),
    "without it and what moves besides the pattern": Variant(without=_MATCHED | _BESIDES),
    "without what is usual before": Variant(without=_MATCHED | {"pattern_over_usual", "restlessness"}),
    "fitted on footage played forwards only": Variant(fitted_on=_forwards_only),
    "fitted without noise, compression and other speeds": Variant(fitted_on=_clean_only),
    **{f"reported from a confidence of {least:.2f}": Variant(least=least) for least in _LEAST},
})  # fmt: skip
_INJECTED = ("2%", "3%", "3% noise4", "3% jpeg40")


def run_trials(folder: Path) -> list[dict[str, Any]]:
    """Rows of every variant: every kind, untouched in every way it is played, and at 2 and 3 %.

    Of the spotter as shipped, and of it without patterns, also every person that talks, and how far events came.
    """
    takes: list[Recording] = []
    movements: list[Movement] = []
    without_patterns: list[Movement] = []
    known = patterns_without(read_recordings(folder), SpotSpec())
    for recording in read_recordings(folder):
        movements += movements_in(recording, SpotSpec(), known[recording.take.clip.person])
        without_patterns += movements_in(recording, SpotSpec())
        takes.append(replace(recording, faces={}))
    rows: list[dict[str, Any]] = []
    for name, variant in VARIANTS.items():
        mine = without_patterns if variant.parts else movements
        reported = _reported(variant, mine)
        rows += [{"variant": name, **row} for row in _rows(takes, reported)]
        if name in (_SHIPPED, _PARTS):
            rows += [{"variant": name, **row} for row in (*_of_each(takes, reported), *_stages(takes, mine, reported))]
    return rows


def _of_each(takes: Sequence[Recording], reported: Sequence[Movement]) -> Iterator[dict[str, Any]]:
    """Rows of every person that talks."""
    talking = [t for t in takes if t.take.clip.kind is Kind.EXPRESSIVE]
    for person in sorted({t.take.clip.person for t in talking}):
        for row in _rows([t for t in talking if t.take.clip.person == person], reported):
            yield {"person": person, **row}


def _stages(
    takes: Sequence[Recording], movements: Sequence[Movement], reported: Sequence[Movement]
) -> Iterator[dict[str, Any]]:
    for kind in Kind:
        hidden = [t for t in takes if t.take.clip.kind is kind and t.truth]
        if hidden:
            lost = Counter(stage for t in hidden for stage in stages_of(t, movements, reported))
            yield {"kind": kind.value, "condition": "stages", "stages": dict(lost)}


def stages_of(taken: Recording, movements: Sequence[Movement], reported: Sequence[Movement]) -> Iterator[str]:
    """How far each hidden event of a take came.

    ``told``; ``unsure`` where the confidence was too low or another movement was told for it; the limit that rejected
    it alone; ``misplaced`` where only movements overlap it that are not as long or not there; ``unseen``.
    """
    mine = [m for m in movements if m.take == taken.take]
    told_here = {m.event for m in reported if m.take == taken.take}
    for index, act in enumerate(taken.truth):
        matched = [m for m in mine if m.event == index]
        if index in told_here:
            yield "told"
        elif any(m.admitted for m in matched):
            yield "unsure"
        elif matched:
            nearest = min(matched, key=lambda m: len(m.exceeded))
            yield next(reason for reason in nearest.exceeded if reason not in LEFT_TO_CONFIDENCE)
        elif any(m.face == act.face and _overlap(m, act.event.course) for m in mine):
            yield "misplaced"
        else:
            yield "unseen"


def _overlap(movement: Movement, course: TimeCourse) -> bool:
    interval = movement.finished.interval
    return interval.onset.t_s < course.offset_s and interval.offset.t_s > course.onset_s


def _reported(variant: Variant, movements: Sequence[Movement]) -> list[Movement]:
    if variant.limits_alone:
        passed = [m for m in movements if not m.exceeded]
        return told(passed, _scores(passed), -np.inf)
    admitted, confidences = left_out(movements, variant.fitted_on, variant.without)
    if not variant.clearest:
        return told(admitted, merits_of(admitted, confidences, variant.least), variant.least)
    clearest = {id(m) for m in told(movements, _scores(movements), -np.inf)}
    return [m for m, c in zip(admitted, confidences, strict=True) if c >= variant.least and id(m) in clearest]


def _scores(movements: Sequence[Movement]) -> Float64Array:
    return np.array([m.finished.score for m in movements])


def _rows(takes: Sequence[Recording], reported: Sequence[Movement]) -> Iterator[dict[str, Any]]:
    for kind in Kind:
        mine = [t for t in takes if t.take.clip.kind is kind]
        found = [m for m in reported if m.take.clip.kind is kind]
        untouched = [t for t in mine if not t.take.condition.amplitude_percent_iod]
        for name in dict.fromkeys(t.take.condition.name for t in untouched):
            chosen = [t for t in untouched if t.take.condition.name == name]
            yield {"kind": kind.value, "condition": name} | _untouched(chosen, found)
        if untouched:
            yield {"kind": kind.value, "condition": "untouched, all"} | _untouched(untouched, found)
        for name in _INJECTED:
            chosen = [t for t in mine if t.take.condition.name == name]
            if chosen:
                yield {"kind": kind.value, "condition": name} | _injected(chosen, found)


def _untouched(takes: Sequence[Recording], found: Sequence[Movement]) -> dict[str, Any]:
    false = sum(m.take in {t.take for t in takes} for m in found)
    return {"false_events": false} | per_minute(false, sum(t.watched_s for t in takes))


def _injected(takes: Sequence[Recording], found: Sequence[Movement]) -> dict[str, Any]:
    mine = [m for m in found if m.take in {t.take for t in takes}]
    hits = {(m.take, m.event) for m in mine if m.event is not None}
    hidden = sum(len(t.truth) for t in takes)
    counts = Counts(len(hits), len(mine) - len(hits), hidden - len(hits))
    return {
        "hidden": hidden,
        "tp": counts.tp,
        "fp": counts.fp,
        "f1": round(counts.f1, 4),
        "f1_interval": f1_interval(counts),
        "detection_rate": round(counts.recall, 4),
    }
