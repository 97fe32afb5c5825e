"""Annotation files as text: any sheet of any workbook, columns by name, never by position.

Copies of these files differ in blank columns, note rows above the header, numbers stored as text and sheet order, so
nothing here relies on any of them.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xlrd
from openpyxl import load_workbook

from tsfmicro.errors import SourceError, UsageError

TABLE_SUFFIXES = frozenset({".xlsx", ".xlsm", ".xls", ".csv", ".tsv", ".txt"})
_LOG = logging.getLogger(__name__)
_HEADER_ROWS = 60
"""How far down a header is looked for; SAMM has 13 rows of notes above it."""
_MAX_TEXT_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Sheet:
    """The cells of one sheet as stripped text; an empty cell is an empty string."""

    path: Path
    name: str
    """Of the sheet; empty for a text file."""
    cells: tuple[tuple[str, ...], ...]

    @property
    def title(self) -> str:
        """File name and sheet, for messages."""
        return f"{self.path.name} [{self.name}]" if self.name else self.path.name


@dataclass(frozen=True, slots=True)
class Table:
    """A sheet with its header found: records by canonical column name."""

    sheet: Sheet
    columns: frozenset[str]
    records: tuple[dict[str, str], ...]
    """Non-empty rows below the header; missing optional columns are absent."""


def normalised(name: str) -> str:
    """Lower case, letters and digits only: how column names are compared."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def table_files(root: Path) -> list[Path]:
    """Annotation files at ``root`` and up to three folders below it, nearest first, lock and hidden files left out.

    Raises:
        SourceError: if ``root`` is no folder.
    """
    if root.is_file() and root.suffix.lower() in TABLE_SUFFIXES:
        return [root]
    if not root.is_dir():
        raise SourceError(f"{root} is no folder; --root takes the folder that the data set was unpacked into")
    return sorted(_files_below(root, 3), key=lambda path: (len(path.parts), path.name))


def _files_below(folder: Path, depth: int) -> Iterator[Path]:
    pictures = 0
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror}") from error
    for entry in entries:
        if entry.name.startswith((".", "~$")):
            continue
        if entry.suffix.lower() in TABLE_SUFFIXES and entry.is_file():
            yield entry
        elif entry.suffix.lower() in {".jpg", ".jpeg", ".png", ".bmp"}:
            pictures += 1
            if pictures > 64:  # a folder of frames, maybe of a hundred thousand: no annotation lies in there
                return
        elif depth > 0 and entry.is_dir():
            yield from _files_below(entry, depth - 1)


def read_sheets(path: Path) -> list[Sheet]:
    """Every non-empty sheet of a workbook or text file, whatever its suffix claims it is.

    Raises:
        SourceError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(b"PK"):
            found = _read_xlsx(path)
        elif start.startswith((b"\xd0\xcf\x11\xe0", b"\x09\x00", b"\x09\x02", b"\x09\x04", b"\x09\x08")):
            found = _read_xls(path)
        else:
            found = {"": _read_text(path)}
    except SourceError:
        raise
    except Exception as error:  # three parsers, each with failures of its own, on files from anywhere
        raise SourceError(f"{path} cannot be read as a table: {error}; save it again as .xlsx or .csv") from error
    return [Sheet(path, name, cells) for name, rows in found.items() if (cells := _text_of(rows))]


def books_in(files: Sequence[Path]) -> Iterator[list[Sheet]]:
    """The sheets of each file that can be read; another is said in the log and passed over.

    A data set's folder holds other people's tables too, and a damaged one must not hide the annotation beside it.
    """
    for path in files:
        try:
            yield read_sheets(path)
        except SourceError as error:
            _LOG.warning("passed over: %s", error)


def sheets_in(files: Sequence[Path]) -> list[Sheet]:
    """All sheets of all readable files."""
    return [sheet for book in books_in(files) for sheet in book]


def _read_xlsx(path: Path) -> dict[str, list[Sequence[Any]]]:
    with path.open("rb") as file:  # opened here, because openpyxl refuses a path by its suffix
        book = load_workbook(file, read_only=True, data_only=True)
        return {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets}


def _read_xls(path: Path) -> dict[str, list[Sequence[Any]]]:
    with xlrd.open_workbook(str(path), logfile=io.StringIO(), ragged_rows=True) as book:
        return {sheet.name: [sheet.row_values(row) for row in range(sheet.nrows)] for sheet in book.sheets()}


def _read_text(path: Path) -> list[Sequence[Any]]:
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise SourceError(f"{path} is larger than any annotation; move it out of the data set's folder")
    data = path.read_bytes()
    for encoding in ("utf-8-sig", "gb18030", "latin-1"):
        try:
            text = data.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    delimiter = max(",;\t", key=text[:4096].count)
    return list(csv.reader(text.splitlines(), delimiter=delimiter))


def _text_of(rows: Sequence[Sequence[Any]]) -> tuple[tuple[str, ...], ...]:
    cells = tuple(tuple(cell_text(value) for value in row) for row in rows)
    return cells if any(any(row) for row in cells) else ()


def cell_text(value: Any) -> str:
    """Text of a cell: whole numbers without a decimal point, full-width punctuation as its plain form."""
    if value is None:
        return ""
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value).replace("，", ",").replace(" ", " ").strip()


def find_table(sheet: Sheet, columns: Mapping[str, tuple[str, ...]], optional: Mapping[str, tuple[str, ...]]) -> (
    Table | None
):  # fmt: skip
    """The table of a sheet whose header row holds every wanted column, wherever it starts; None where none does.

    Args:
        sheet: where to look.
        columns: normalised spellings by canonical name; all must be present.
        optional: likewise, taken where present.
    """
    for number, row in enumerate(sheet.cells[:_HEADER_ROWS]):
        place: dict[str, int] = {}
        names = [normalised(cell) for cell in row]
        for canonical, spellings in {**columns, **optional}.items():
            index = next((names.index(spelling) for spelling in spellings if spelling in names), None)
            if index is not None:
                place[canonical] = index
        if all(canonical in place for canonical in columns):
            body = sheet.cells[number + 1 :]
            records = tuple(
                {canonical: row[index] if index < len(row) else "" for canonical, index in place.items()}
                for row in body
                if any(row)
            )
            return Table(sheet, frozenset(place), records)
    return None


def frame_number(text: str) -> int | None:
    """A frame number, 0 or more, rounded where stored with a fraction; None for ``/``, ``-1``, text or nothing."""
    try:
        value = float(text)
    except ValueError:
        return None
    return math.floor(value + 0.5) if math.isfinite(value) and value >= 0 else None


def no_annotation(dataset: str, root: Path, wanted: str, seen: Sequence[Path]) -> UsageError:
    """The error of an adapter that finds no annotation it knows."""
    tables = ", ".join(path.name for path in seen[:6]) or "no table at all"
    return UsageError(f"{root} holds no annotation of {dataset}: expected {wanted}; found {tables}")
