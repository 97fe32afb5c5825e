"""Known mistakes of published annotations, kept as data: one CSV per data set, each line with its reason.

A line applies only where the annotation still holds exactly the value the line says is wrong, so a corrected copy is
left alone and nothing is repaired twice. Lines are keyed by subject, clip and onset, never by row number, because
copies of a sheet differ in their rows.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from tsfmicro.training.datasets.rows import Repair, Row


@dataclass(frozen=True, slots=True)
class Erratum:
    """One wrong value and what to use instead."""

    subject: str
    clip: str
    onset: str
    """Onset as the sheet has it; ``*`` where the published report of the mistake does not give it."""
    field: str
    """``onset``, ``apex`` or ``offset``."""
    before: str
    """The wrong value; ``/`` stands for an apex that is not annotated."""
    after: int
    reason: str

    def fits(self, row: Row) -> bool:
        """Whether ``row`` is the one meant and still holds the wrong value."""
        same = (self.subject, self.clip) == (row.subject, row.clip) and self.onset in {"*", str(row.sheet_onset)}
        return same and value_text(row, self.field) == self.before


def value_text(row: Row, field: str) -> str:
    """A key frame as text, ``/`` where there is none."""
    value = getattr(row, field)
    return "/" if value is None else str(value)


def load_errata(dataset: str) -> tuple[Erratum, ...]:
    """The lines for one data set; none where it has no file."""
    file = resources.files("tsfmicro.training.datasets") / "errata" / f"{dataset}.csv"
    if not file.is_file():
        return ()
    lines = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    return tuple(
        Erratum(
            line["subject"], line["clip"], line["onset"], line["field"], line["from"], int(line["to"]), line["reason"]
        )
        for line in lines
    )


def apply_errata(rows: Sequence[Row], errata: Sequence[Erratum]) -> tuple[tuple[Row, ...], tuple[Repair, ...]]:
    """Rows with every fitting line applied, and the record of it."""
    repaired: list[Row] = []
    repairs: list[Repair] = []
    for row in rows:
        fixed = row
        for erratum in errata:
            if erratum.fits(fixed):
                repairs.append(Repair(row.key, erratum.field, erratum.before, str(erratum.after), erratum.reason))
                fixed = _with(fixed, erratum.field, erratum.after)
        repaired.append(fixed)
    return tuple(repaired), tuple(repairs)


def _with(row: Row, field: str, value: int) -> Row:
    changes: dict[str, Any] = {field: value}
    return replace(row, **changes)


def settle_apex(row: Row) -> tuple[Row, Repair | None]:
    """Put the middle of onset and offset where no apex is annotated, or one outside of them.

    What is left after the errata; MEGC practice where there is no apex.
    """
    if row.apex is not None and row.onset <= row.apex <= row.offset:
        return row, None
    middle = (row.onset + row.offset) // 2
    why = "no apex annotated" if row.apex is None else "apex outside of onset and offset"
    repair = Repair(row.key, "apex", value_text(row, "apex"), str(middle), f"{why}; middle of onset and offset")
    return replace(row, apex=middle), repair
