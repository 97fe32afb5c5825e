"""Ideas tried on the train side, each scored on people its confidence was not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tsfmicro.benchmarks.spotting.clips import Kind
from tsfmicro.benchmarks.spotting.fitting import left_out
from tsfmicro.benchmarks.spotting.movements import Movement, movements_in
from tsfmicro.benchmarks.spotting.recordings import Recording, read_recordings
from tsfmicro.intervals import Counts
from tsfmicro.realtime.gates import GateSpec
from tsfmicro.realtime.spot import SpotSpec


def _as_they_are(movements: Sequence[Movement]) -> list[Movement]:
    return list(movements)


def _forwards_only(movements: Sequence[Movement]) -> list[Movement]:
    return [m for m in movements if not m.take.condition.backwards]


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing changed."""

    fitted_on: Callable[[Sequence[Movement]], list[Movement]] = _as_they_are
    limits_alone: bool = False
    """Let every limit of the gates reject, and no confidence."""


VARIANTS: Mapping[str, Variant] = MappingProxyType({
    "as shipped": Variant(),
    "limits alone, no confidence": Variant(limits_alone=True),
    "fitted on footage played forwards only": Variant(fitted_on=_forwards_only),
})  # fmt: skip


def run_trials(folder: Path) -> list[dict[str, Any]]:
    """Rows of every variant: every kind, untouched and at 2 and 3 %."""
    takes: list[Recording] = []
    movements: list[Movement] = []
    for recording in read_recordings(folder):
        movements += movements_in(recording, SpotSpec())
        takes.append(replace(recording, faces={}))
    return [
        {"variant": name, **row}
        for name, variant in VARIANTS.items()
        for row in _rows(takes, _reported(variant, movements))
    ]


def _reported(variant: Variant, movements: Sequence[Movement]) -> list[Movement]:
    if variant.limits_alone:
        return [m for m in movements if not m.exceeded]
    admitted, confidences = left_out(movements, variant.fitted_on)
    return [m for m, c in zip(admitted, confidences, strict=True) if c >= GateSpec().min_confidence]


def _rows(takes: Sequence[Recording], reported: Sequence[Movement]) -> Iterator[dict[str, Any]]:
    for kind in Kind:
        for name in ("untouched", "2%", "3%"):
            mine = [t for t in takes if t.take.clip.kind is kind and t.take.condition.name == name]
            found = [m for m in reported if m.take.clip.kind is kind and m.take.condition.name == name]
            if not mine:
                continue
            row: dict[str, Any] = {"kind": kind.value, "condition": name}
            if name == "untouched":
                minutes = sum(t.watched_s for t in mine) / 60
                yield row | {"false_events": len(found), "false_events_per_min": round(len(found) / minutes, 2)}
                continue
            hits = {(m.take.clip.name, m.take.number, m.event) for m in found if m.event is not None}
            hidden = sum(len(t.truth) for t in mine)
            counts = Counts(len(hits), len(found) - len(hits), hidden - len(hits))
            yield row | {"hidden": hidden, "tp": counts.tp, "fp": counts.fp, "f1": round(counts.f1, 4)}
