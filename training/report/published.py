"""Published figures of a protocol, each with how its epoch was chosen, which decides what it may be compared with."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Published:
    """One line of somebody's table, percent; None where it gives no figure."""

    method: str
    year: int
    acc: float | None
    uf1: float | None
    uar: float | None
    data: str
    """Clips, as published."""
    selection: str
    """``honest``, ``test-selected`` or ``not known``, with its evidence."""


def _figure(text: str) -> float | None:
    return float(text) if text else None


def published(protocol_id: str) -> list[Published]:
    """Lines for one protocol, in the order of the file."""
    text = (resources.files("tsfmicro.training.report") / "published.csv").read_text(encoding="utf-8")
    return [
        Published(
            line["method"],
            int(line["year"]),
            _figure(line["acc"]),
            _figure(line["uf1"]),
            _figure(line["uar"]),
            line["protocol_as_published"],
            line["selection"],
        )
        for line in csv.DictReader(text.splitlines())
        if protocol_id in line["protocols"].split()
    ]
