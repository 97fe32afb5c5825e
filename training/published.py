"""Figures that others report, each with how its epoch was chosen, which decides what it may be compared with.

None is measured here. TSFmicro's released training programs keep, for every subject left out, the epoch that does best
on that very subject; figures found that way are higher than those of a rule that never sees the test subject. The paper
states neither parameters nor costs.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from tsfmicro.models.config import ModelConfig


@dataclass(frozen=True, slots=True)
class Published:
    """One line of somebody's table, percent; None where it gives no figure."""

    protocols: tuple[str, ...]
    """Protocols whose clips are the same or nearly."""
    method: str
    year: int
    acc: float | None
    uf1: float | None
    uar: float | None
    clips: str
    """As published."""
    selection: str
    """``honest``, ``test-selected`` or ``not known``, with its evidence."""
    network: str
    """Which network of this family it is, ``MODEL FUSION``; empty for any other."""
    source: str
    """Tables of the TSFmicro paper that print it, for networks of this family."""


Figures = tuple[float | None, float | None]
"""Accuracy and UF1."""


@dataclass(frozen=True, slots=True)
class PaperRow:
    """What the TSFmicro paper prints for one network: accuracy and UF1 in percent, leave one subject out."""

    table: str
    """Where the paper prints them."""
    casme2_5c: Figures
    casme2_3c: Figures
    samm_5c: Figures
    samm_3c: Figures


@cache
def _lines() -> tuple[Published, ...]:
    text = (resources.files("tsfmicro.training") / "published.csv").read_text(encoding="utf-8")
    return tuple(
        Published(
            protocols=tuple(line["protocols"].split()),
            method=line["method"],
            year=int(line["year"]),
            acc=_figure(line["acc"]),
            uf1=_figure(line["uf1"]),
            uar=_figure(line["uar"]),
            clips=line["clips"],
            selection=line["selection"],
            network=line["network"],
            source=line["source"],
        )
        for line in csv.DictReader(text.splitlines())
    )


def _figure(text: str) -> float | None:
    return float(text) if text else None


def published(protocol_id: str) -> list[Published]:
    """Lines for one protocol, in the order of the file."""
    return [line for line in _lines() if protocol_id in line.protocols]


def paper_row(config: ModelConfig) -> PaperRow | None:
    """What the paper prints for this network; None where it has no such row (other sizes, other judgement calls)."""
    if config.size != "base" or config.options:
        return None
    own = [line for line in _lines() if line.network == f"{config.model} {config.fusion}"]
    figures = {line.protocols[0]: (line.acc, line.uf1) for line in own}
    return PaperRow(
        table=own[0].source,
        casme2_5c=figures["casme2_5c_tsf"],
        casme2_3c=figures["casme2_3c_tsf"],
        samm_5c=figures["samm_5c_tsf"],
        samm_3c=figures["samm_3c_tsf"],
    )
