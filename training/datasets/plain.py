"""Anybody's own clips, listed in a CSV: ``subject, onset, emotion`` and ``apex`` or ``offset``; ``clip``, ``folder``.

A clip is a folder of numbered pictures: ``folder``, relative to the CSV, or else ``SUBJECT/CLIP`` below it.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tsfmicro.errors import UsageError
from tsfmicro.labels import ClassProtocol
from tsfmicro.training.datasets.adapter import Adapter, read_key_frames
from tsfmicro.training.datasets.frames import Identified, Key
from tsfmicro.training.datasets.rows import Annotations, Dropped, Row
from tsfmicro.training.datasets.tables import Table, find_table, no_annotation, sheets_in, table_files

_COLUMNS = {
    "subject": ("subject",),
    "onset": ("onset", "onsetframe"),
    "emotion": ("emotion", "label", "estimatedemotion"),
}
_OPTIONAL = {
    "clip": ("clip", "filename", "video"),
    "apex": ("apex", "apexframe"),
    "offset": ("offset", "offsetframe"),
    "folder": ("folder", "path", "frames"),
    "au": ("au", "aus", "actionunits"),
}


def read(root: Path, _: ClassProtocol) -> Annotations:
    """Rows of the one table with these columns.

    Raises:
        UsageError: if there is none, or more than one.
    """
    files = table_files(root)
    found = [t for sheet in sheets_in(files) if (t := find_table(sheet, _COLUMNS, _OPTIONAL))]
    found = [t for t in found if t.columns & {"apex", "offset"}]
    if not found:
        wanted = "a CSV with the columns subject, clip, onset, apex, offset, emotion (apex or offset may be missing)"
        raise no_annotation("your clips", root, wanted, files)
    if len(found) > 1:
        names = ", ".join(table.sheet.title for table in found)
        raise UsageError(f"{root} holds several tables of clips: {names}; name one of them as --root")
    table = found[0]
    rows, dropped = _rows(table)
    return Annotations(table.sheet.title, len(rows) + len(dropped), rows, dropped)


def _rows(table: Table) -> tuple[tuple[Row, ...], tuple[Dropped, ...]]:
    rows: list[Row] = []
    dropped: list[Dropped] = []
    for number, record in enumerate(table.records, start=2):
        subject = record["subject"]
        folder = record.get("folder", "").replace("\\", "/").strip("/")
        clip = record.get("clip", "") or PurePosixPath(folder).name
        key = f"{subject}/{clip}/{record['onset']}"
        if not subject or not clip:
            dropped.append(Dropped(key, f"line {number} names no subject, or neither clip nor folder"))
            continue
        apex, offset = record.get("apex", ""), record.get("offset", "")
        frames = read_key_frames(key, record["onset"], apex, offset or apex)
        if isinstance(frames, Dropped):
            dropped.append(frames)
            continue
        rows.append(
            Row(
                "csv", subject, clip, frames.onset, frames.apex, frames.offset, record["emotion"], frames.onset,
                record.get("au", ""), video=folder or f"{subject}/{clip}",
            )
        )  # fmt: skip
    return tuple(rows), tuple(dropped)


def identify(parts: tuple[str, ...]) -> Identified | None:
    """Any folder, by its whole path."""
    return ("/".join(parts).lower(), len(parts)) if parts else None


def keys(row: Row, _: frozenset[tuple[str, str]]) -> tuple[Key, ...]:
    """The folder the CSV names."""
    return (row.video.lower(),)


PLAIN_CSV = Adapter(
    "csv",
    "your own clips",
    frozenset({"casme2", "samm", "casme3a", "casme3c", "cas_me2", "smic_hs", "megc2019"}),
    0.0,
    read,
    identify,
    keys,
)
