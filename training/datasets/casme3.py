"""CAS(ME)^3 (Li et al., TPAMI 2023): part A, 860 micro-expressions of 94 people, and part C, 165 of 30; 30 frames/s."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tsfmicro.labels import ClassProtocol
from tsfmicro.training.datasets.adapter import Adapter, exactly, read_key_frames
from tsfmicro.training.datasets.frames import Identified, Key
from tsfmicro.training.datasets.rows import Annotations, Dropped, Repair, Row
from tsfmicro.training.datasets.tables import Sheet, Table, find_table, no_annotation, sheets_in, table_files

_KEY_FRAMES = {"subject": ("subject",), "filename": ("filename",), "onset": ("onset",), "apex": ("apex",),
               "offset": ("offset",)}  # fmt: skip
_LABELLED = {**_KEY_FRAMES, "emotion": ("emotion",)}
_SIBLING = {**_KEY_FRAMES, "type": ("expressiontype",)}
_PART_C = {"subject": ("sub", "subject"), "count": ("count",), "onset": ("onset",), "offset": ("offset",),
           "emotion": ("emotion",)}  # fmt: skip
_AU = {"au": ("au", "aus", "actionunits")}
_NOT_MICRO = re.compile(r"mae|macro|wrongly|error", re.IGNORECASE)
_SUBJECT = re.compile(r"spno\.?\s*(\d+)", re.IGNORECASE)
_CLIP_FOLDER = re.compile(r"spno\.?(\d+)_([a-z])_(\d+)", re.IGNORECASE)
_STREAMS = frozenset({"color", "colour", "rgb", "frame"})
SHEET_ROWS = 860


def read_part_a(root: Path, _: ClassProtocol) -> Annotations:
    """Rows of the newest micro-expression sheet, corrupt ones mended from ``CAS(ME)3_part_A_v2.xls`` where it is there.

    Raises:
        UsageError: if no such sheet is found.
    """
    files = table_files(root)
    sheets = sheets_in(files)
    found = [t for sheet in sheets if (t := _table(sheet, _LABELLED)) and not _NOT_MICRO.search(sheet.path.name)]
    if not found:
        wanted = "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx, with Subject as spNO.1 and emotion"
        raise no_annotation("CAS(ME)^3 part A", root, wanted, files)
    table = max(found, key=_version)
    rows, dropped = _rows(table)
    siblings = [t for sheet in sheets if (t := _table(sheet, _SIBLING)) and not _NOT_MICRO.search(sheet.path.name)]
    repairs: tuple[Repair, ...] = ()
    if siblings:
        rows, repairs = _mended(rows, max(siblings, key=_version))
    remarks: list[str] = []
    version, revision = _version(table)
    if revision:
        remarks.append(f"{table.sheet.path.name} is later than the sheet that the published counts come from (v2)")
    if version == 1:
        remarks.append(f"{table.sheet.path.name} is the superseded v1; the published counts are those of JpgIndex_v2")
    return Annotations(table.sheet.title, len(rows) + len(dropped), rows, dropped, repairs, remarks=tuple(remarks))


def _table(sheet: Sheet, columns: Mapping[str, tuple[str, ...]]) -> Table | None:
    table = find_table(sheet, columns, _AU)
    if table is None:
        return None
    names = [record["subject"] for record in table.records if record["subject"]]
    return table if names and sum(_SUBJECT.fullmatch(name) is not None for name in names) > len(names) / 2 else None


def _version(table: Table) -> tuple[int, int]:
    """Version and date of revision out of the file name, 0 where it says none; the larger is the newer."""
    name = table.sheet.path.stem
    version, revision = re.search(r"_v(\d+)", name, re.IGNORECASE), re.search(r"_(20\d{6})", name)
    return int(version.group(1)) if version else 0, int(revision.group(1)) if revision else 0


def _rows(table: Table) -> tuple[tuple[Row, ...], tuple[Dropped, ...]]:
    rows: list[Row] = []
    dropped: list[Dropped] = []
    for record in table.records:
        name = _SUBJECT.fullmatch(record["subject"])
        if not name:
            continue
        if "type" in record and not record["type"].lower().startswith("micro"):
            continue
        # One row spells its video "J"; the folders are lower case.
        subject, clip = f"spNO.{int(name.group(1))}", record["filename"].lower()
        frames = read_key_frames(
            f"{subject}/{clip}/{record['onset']}", record["onset"], record["apex"], record["offset"]
        )
        if isinstance(frames, Dropped):
            dropped.append(frames)
            continue
        rows.append(
            Row(
                "casme3a", subject, clip, frames.onset, frames.apex, frames.offset, record.get("emotion", ""),
                frames.onset, record.get("au", ""), video=clip,
            )
        )  # fmt: skip
    return tuple(rows), tuple(dropped)


def _mended(rows: Sequence[Row], sibling: Table) -> tuple[tuple[Row, ...], tuple[Repair, ...]]:
    """Rows whose key frames are out of order, with what the sibling file has for the same movement."""
    right = [row for row in _rows(sibling)[0] if _in_order(row)]
    mended: list[Row] = []
    repairs: list[Repair] = []
    for row in rows:
        twin = None if _in_order(row) else _twin(row, right)
        if twin is None:
            mended.append(row)
            continue
        for field in ("onset", "apex", "offset"):
            before, after = getattr(row, field), getattr(twin, field)
            if before != after:
                reason = f"onset, apex and offset are out of order; {sibling.sheet.path.name} has {after}"
                repairs.append(Repair(row.key, field, "/" if before is None else str(before), str(after), reason))
        mended.append(replace(row, onset=twin.onset, apex=twin.apex, offset=twin.offset))
    return tuple(mended), tuple(repairs)


def _in_order(row: Row) -> bool:
    return row.apex is not None and row.onset <= row.apex <= row.offset


def _twin(row: Row, candidates: Sequence[Row]) -> Row | None:
    """The row of the same video and action units that shares two of the three key frames."""
    same = [c for c in candidates if (c.subject, c.clip) == (row.subject, row.clip)]
    same = [c for c in same if _units(c) == _units(row)] or same
    shared = [(sum((row.onset == c.onset, row.apex == c.apex, row.offset == c.offset)), c) for c in same]
    best = [c for equal, c in shared if equal == 2]
    return best[0] if len(best) == 1 else None


def _units(row: Row) -> str:
    return re.sub(r"\s", "", row.action_units).upper()


def identify_part_a(parts: tuple[str, ...]) -> Identified | None:
    """``…/spNO.1/a/color``, ``…/spNO.1/a`` or ``…/spNO.1_a_355``, any case; depth pictures are left alone."""
    if not parts or any(part.lower() == "depth" for part in parts):
        return None
    tail, extra = (parts[:-1], 1) if parts[-1].lower() in _STREAMS and len(parts) > 1 else (parts, 0)
    if clip := _CLIP_FOLDER.fullmatch(tail[-1]):
        return (int(clip.group(1)), clip.group(2).lower(), int(clip.group(3))), 1 + extra
    subject = _SUBJECT.fullmatch(tail[-2]) if len(tail) > 1 else None
    if subject and re.fullmatch(r"[a-z]", tail[-1], re.IGNORECASE):
        return (int(subject.group(1)), tail[-1].lower()), 2 + extra
    return None


def _part_a_keys(row: Row, _: frozenset[tuple[str, str]]) -> tuple[Key, ...]:
    number = int(row.subject.removeprefix("spNO."))
    # Folders of clips carry the onset, mended or as the sheet had it.
    return (number, row.clip, row.onset), (number, row.clip, row.sheet_onset), (number, row.clip)


def read_part_c(root: Path, _: ClassProtocol) -> Annotations:
    """Rows of the mock-crime sheet; it annotates no apex.

    Raises:
        UsageError: if no such sheet is found.
    """
    files = table_files(root)
    found = [t for sheet in sheets_in(files) if (t := find_table(sheet, _PART_C, _AU))]
    if not found:
        wanted = "CAS(ME)3_part_C_ME.xlsx, with sub, count, onset, offset, emotion"
        raise no_annotation("CAS(ME)^3 part C", root, wanted, files)
    table = max(found, key=lambda t: len(t.records))
    rows: list[Row] = []
    dropped: list[Dropped] = []
    for record in table.records:
        subject, clip = record["subject"], record["count"]
        if not subject or not clip:
            continue
        frames = read_key_frames(f"{subject}/{clip}/{record['onset']}", record["onset"], "", record["offset"])
        if isinstance(frames, Dropped):
            dropped.append(frames)
            continue
        rows.append(
            Row(
                "casme3c", subject, clip, frames.onset, None, frames.offset, record["emotion"], frames.onset,
                record.get("au", ""), video=subject,
            )
        )  # fmt: skip
    return Annotations(table.sheet.title, len(rows) + len(dropped), tuple(rows), tuple(dropped))


def identify_part_c(parts: tuple[str, ...]) -> Identified | None:
    """``…/SUBJECT/COUNT``, ``…/SUBJECT`` or either with ``color`` below; the release documents no layout."""
    if not parts or any(part.lower() == "depth" for part in parts):
        return None
    tail, extra = (parts[:-1], 1) if parts[-1].lower() in _STREAMS and len(parts) > 1 else (parts, 0)
    if len(tail) > 1 and tail[-1].isdigit() and re.search(r"\d", tail[-2]):
        return (tail[-2].lower(), str(int(tail[-1]))), 2 + extra
    return (tail[-1].lower(),), 1 + extra


def _part_c_keys(row: Row, known: frozenset[tuple[str, str]]) -> tuple[Key, ...]:
    return (*exactly(row, known), (row.subject.lower(), row.clip.lower()), (row.subject.lower(),))


CASME3A = Adapter(
    "casme3a", "CAS(ME)^3 part A", frozenset({"casme3a"}), 30.0, read_part_a, identify_part_a, _part_a_keys
)
CASME3C = Adapter(
    "casme3c", "CAS(ME)^3 part C", frozenset({"casme3c"}), 30.0, read_part_c, identify_part_c, _part_c_keys
)
