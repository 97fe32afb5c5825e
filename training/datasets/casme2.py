"""CASME II (Yan et al., PLoS ONE 2014): 255 clips of 26 people, 200 frames/s."""

from __future__ import annotations

import re
from pathlib import Path

from tsfmicro.labels import ClassProtocol
from tsfmicro.training.datasets.adapter import Adapter, read_key_frames
from tsfmicro.training.datasets.frames import Identified, Key
from tsfmicro.training.datasets.rows import Annotations, Dropped, Row
from tsfmicro.training.datasets.tables import Table, find_table, no_annotation, sheets_in, table_files

SHEET_ROWS = 255
_COLUMNS = {
    "subject": ("subject",),
    "filename": ("filename",),
    "onset": ("onsetframe", "onset"),
    "apex": ("apexframe", "apex"),
    "offset": ("offsetframe", "offset"),
    "emotion": ("estimatedemotion", "emotion", "expression"),
}
_OPTIONAL = {"au": ("actionunits", "actionunit", "au", "aus")}
_RELABELLED = frozenset({("sub24", "EP07_01"), ("sub24", "EP07_04f"), ("sub24", "EP10_03")})
"""The only rows on which the sheets of 2014 (sadness) and 2019 (surprise) differ."""


def read(root: Path, protocol: ClassProtocol) -> Annotations:
    """Rows of the coding sheet; of several, the one with the labels of the protocol's year.

    Raises:
        UsageError: if no sheet of CASME II is found.
    """
    files = table_files(root)
    found = [table for sheet in sheets_in(files) if (table := _table(find_table(sheet, _COLUMNS, _OPTIONAL)))]
    if not found:
        wanted = "a sheet with Subject, Filename, OnsetFrame, ApexFrame, OffsetFrame, Estimated Emotion"
        raise no_annotation("CASME II", root, f"{wanted} (CASME2-coding-20190701.xlsx)", files)
    year = "2014" if protocol.id in {"casme2_5c_2014"} or protocol.id.startswith("megc2019") else "2019"
    table = min(found, key=lambda t: (label_year(t) != year, abs(len(t.records) - SHEET_ROWS), len(t.sheet.path.parts)))
    rows: list[Row] = []
    dropped: list[Dropped] = []
    for record in table.records:
        subject, clip = _subject(record["subject"]), record["filename"]
        if not subject or not clip:
            continue  # notes below the table
        frames = read_key_frames(
            f"{subject}/{clip}/{record['onset']}", record["onset"], record["apex"], record["offset"]
        )
        if isinstance(frames, Dropped):
            dropped.append(frames)
            continue
        rows.append(
            Row(
                "casme2", subject, clip, frames.onset, frames.apex, frames.offset, record["emotion"],
                frames.onset, record.get("au", ""),
            )
        )  # fmt: skip
    return Annotations(
        table.sheet.title,
        len(rows) + len(dropped),
        tuple(rows),
        tuple(dropped),
        traits={"label_year": label_year(table), "wanted_year": year},
    )


def _table(table: Table | None) -> Table | None:
    """Only where file names are those of CASME II: other data sets have the same columns."""
    if table is None:
        return None
    names = [record["filename"] for record in table.records if record["filename"]]
    return table if names and sum(name[:2].upper() == "EP" for name in names) > len(names) / 2 else None


def label_year(table: Table) -> str:
    """``2014`` or ``2019`` by the rows that were relabelled, else by the file name, else ``unknown``."""
    labels = {
        record["emotion"].lower()
        for record in table.records
        if (_subject(record["subject"]), record["filename"]) in _RELABELLED
    }
    by_label = {"sadness": "2014", "surprise": "2019"}
    if len(labels) == 1 and (label := labels.pop()) in by_label:
        return by_label[label]
    name = table.sheet.path.name
    return next((year for year in ("2014", "2019") if year in name), "unknown")


def _subject(text: str) -> str:
    number = re.fullmatch(r"(?:sub)?\s*0*(\d+)", text, re.IGNORECASE)
    return f"sub{int(number.group(1)):02d}" if number else ""


def identify(parts: tuple[str, ...]) -> Identified | None:
    """``…/sub01/EP02_01f``, in any of the releases."""
    if len(parts) < 2 or not re.fullmatch(r"sub\d+", parts[-2], re.IGNORECASE):
        return None
    return (_subject(parts[-2]), parts[-1].lower()), 2


def keys(row: Row, known: frozenset[tuple[str, str]]) -> tuple[Key, ...]:
    """The name as the sheet spells it; without or with the ``f`` only where that is nobody else's name.

    sub10 has EP11_01 and EP11_01f, sub17 EP05_03 and EP05_03f: different clips.
    """
    clip = row.clip.lower()
    other = clip.removesuffix("f") if clip.endswith("f") else f"{clip}f"
    own = (row.subject, clip)
    return (own,) if (row.subject, other) in known else (own, (row.subject, other))


CASME2 = Adapter("casme2", "CASME II", frozenset({"casme2"}), 200.0, read, identify, keys)
