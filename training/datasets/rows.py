"""What a data set's annotation says, row by row, before and after anybody's opinion of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsfmicro.errors import ContractError


@dataclass(frozen=True, slots=True)
class Row:
    """One micro-expression as its annotation has it, repairs applied."""

    dataset: str
    """Data set it belongs to; in a composite, the part."""
    subject: str
    """One spelling per person: ``sub01``, ``006``, ``spNO.1``, ``s15``."""
    clip: str
    """As the annotation spells it."""
    onset: int
    """Frame number."""
    apex: int | None
    """Frame number; None where none is annotated."""
    offset: int
    """Frame number."""
    label: str
    """Emotion as the annotation spells it."""
    sheet_onset: int
    """Onset before repairs: the third part of the key."""
    action_units: str = ""
    video: str = ""
    """Long video the clip was cut from, where the data set has one."""

    @property
    def key(self) -> str:
        """``subject/clip/onset``. Subject and clip alone are not unique in every data set."""
        return f"{self.subject}/{self.clip}/{self.sheet_onset}"


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that is not used."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Repair:
    """A value that was replaced before use."""

    key: str
    field: str
    before: str
    """As the annotation has it."""
    after: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        """Plain JSON values."""
        return {"key": self.key, "field": self.field, "from": self.before, "to": self.after, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Note:
    """Something odd about a row that is used as it is."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Annotations:
    """All rows of one annotation, and what happened on the way."""

    source: str
    """File name (and sheet) they were read from, or the folder where folders are the annotation."""
    rows_in_sheet: int
    """Rows that hold data, of whatever kind."""
    rows: tuple[Row, ...]
    dropped: tuple[Dropped, ...] = ()
    repaired: tuple[Repair, ...] = ()
    notes: tuple[Note, ...] = ()
    remarks: tuple[str, ...] = ()
    """About the whole annotation, for whoever wonders about the counts."""
    traits: Mapping[str, str] = field(default_factory=dict)
    """What the explanation of a difference needs to know, such as which year's labels these are."""


Locator = Callable[[Row], Path | None]
"""Folder that holds the frames of a row; None where there is none."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One sample of a protocol."""

    row: Row
    label: str
    """Class of the protocol."""
    onset: int
    apex: int
    offset: int
    folder: Path | None
    """Where its frames lie; None where they were not found."""

    def __post_init__(self) -> None:
        if not self.onset <= self.apex:
            raise ContractError(f"clip {self.row.key} has its apex {self.apex} before its onset {self.onset}")

    @property
    def key(self) -> str:
        """That of its row."""
        return self.row.key

    @property
    def subject(self) -> str:
        """Person, in the spelling of the data set."""
        return self.row.subject


def counts_of(names: list[str], order: tuple[str, ...]) -> dict[str, int]:
    """How often each of ``order`` occurs in ``names``."""
    return {name: names.count(name) for name in order}


def plain(values: tuple[Any, ...], *fields: str) -> list[dict[str, Any]]:
    """The named fields of each value, for JSON."""
    return [{name: getattr(value, name) for name in fields} for value in values]
