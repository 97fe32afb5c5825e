"""Lists of clips to leave out, such as the five that make CAS(ME)^3's 860 the 855 of the TSFmicro paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tsfmicro.errors import SourceError, UsageError
from tsfmicro.training.datasets.rows import Dropped, Row
from tsfmicro.training.datasets.tables import find_table, read_sheets

_COLUMNS = {"subject": ("subject", "sub"), "clip": ("clip", "filename")}
_OPTIONAL = {"onset": ("onset", "onsetframe")}


def exclude(rows: Sequence[Row], path: Path) -> tuple[tuple[Row, ...], tuple[Dropped, ...]]:
    """Leave out the rows that the file lists.

    Args:
        rows: of the annotation.
        path: table with the columns subject, clip (or filename) and onset; onset only where a clip has several rows.

    Raises:
        SourceError: if the file cannot be read.
        UsageError: if it has not these columns, or a line fits no row or several.
    """
    if not path.is_file():
        raise SourceError(f"{path} does not exist; --exclude-list takes a CSV with subject, clip, onset")
    tables = [table for sheet in read_sheets(path) if (table := find_table(sheet, _COLUMNS, _OPTIONAL))]
    if not tables:
        raise UsageError(f"{path} has no columns subject and clip; expected a header line such as subject,clip,onset")
    gone: set[str] = set()
    for record in tables[0].records:
        fits = [
            row
            for row in rows
            if _same(row.subject, record["subject"])
            and row.clip.lower() == record["clip"].lower()
            and record.get("onset", "") in {"", str(row.sheet_onset), str(row.onset)}
        ]
        if len(fits) != 1:
            line = ",".join(record.values())
            hint = "name its onset" if fits else "check subject, clip and onset"
            raise UsageError(f"{path.name}: the line {line!r} fits {len(fits)} rows of the annotation; {hint}")
        gone.add(fits[0].key)
    kept = tuple(row for row in rows if row.key not in gone)
    return kept, tuple(Dropped(row.key, f"in the exclusion list {path.name}") for row in rows if row.key in gone)


def _same(subject: str, text: str) -> bool:
    """``spNO.149`` and ``spno.149``; ``sub04``, ``04`` and ``4``."""
    if subject.lower() == text.lower():
        return True
    digits = "".join(c for c in subject if c.isdigit())
    return text.isdigit() and digits.isdigit() and int(text) == int(digits)
