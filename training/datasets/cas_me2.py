"""CAS(ME)^2 (Qu et al., 2018): 57 micro- and 300 macro-expressions in long videos, 30 frames/s."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from tsfmicro.labels import ClassProtocol
from tsfmicro.training.datasets.adapter import Adapter, read_key_frames
from tsfmicro.training.datasets.frames import Identified, Key
from tsfmicro.training.datasets.rows import Annotations, Dropped, Row
from tsfmicro.training.datasets.tables import (
    Sheet,
    books_in,
    frame_number,
    no_annotation,
    normalised,
    table_files,
)

_KIND = re.compile(r"(micro|macro)[- ]?expression", re.IGNORECASE)
_SUBJECT, _CLIP, _ONSET, _APEX, _OFFSET, _AU, _EMOTION, _KIND_COLUMN = range(8)
"""The sheet has no header; this order is all there is."""
CODES: Mapping[str, str] = MappingProxyType({
    "disgust1": "0101", "disgust2": "0102", "anger1": "0401", "anger2": "0402", "happy1": "0502", "happy2": "0503",
    "happy3": "0505", "happy4": "0507", "happy5": "0508",
})  # fmt: skip
"""Code of each video in folder names, as the sheet "naming rule2" has it."""


def read(root: Path, _: ClassProtocol) -> Annotations:
    """Rows of the coding sheet; macro-expressions are dropped.

    Raises:
        UsageError: if no such sheet is found.
    """
    files = table_files(root)
    best: tuple[list[tuple[str, ...]], Sheet, list[Sheet]] = ([], Sheet(root, "", ()), [])
    for sheets in books_in(files):
        for sheet in sheets:
            records = [row for row in sheet.cells if len(row) > _KIND_COLUMN and _KIND.match(row[_KIND_COLUMN])]
            if len(records) > len(best[0]):
                best = (records, sheet, sheets)
    records, sheet, book = best
    if not records:
        wanted = "CAS(ME)^2code_final.xlsx, with micro-expression or macro-expression in the eighth column"
        raise no_annotation("CAS(ME)^2", root, wanted, files)
    folders = _subject_folders(book)
    rows: list[Row] = []
    dropped: list[Dropped] = []
    for record in records:
        subject = folders.get(record[_SUBJECT], f"subject{record[_SUBJECT]}")
        clip = record[_CLIP]
        key = f"{subject}/{clip}/{record[_ONSET]}"
        if not record[_KIND_COLUMN].lower().startswith("micro"):
            dropped.append(Dropped(key, "macro-expression"))
            continue
        frames = read_key_frames(key, record[_ONSET], record[_APEX], record[_OFFSET])
        if isinstance(frames, Dropped):
            dropped.append(frames)
            continue
        # Where no offset was coded it is 0; the apex is the last frame that is known to belong to the movement.
        offset = frames.offset or frames.apex or frames.onset
        rows.append(
            Row(
                "cas_me2", subject, clip, frames.onset, frames.apex, offset, record[_EMOTION], frames.onset,
                record[_AU], video=clip.rpartition("_")[0] or clip,
            )
        )  # fmt: skip
    unknown = sorted({row.subject for row in rows if row.subject.startswith("subject")})
    remarks = (
        (f"no sheet 'naming rule1' says which folder is {', '.join(unknown)}, so its frames cannot be found",)
        if unknown
        else ()
    )
    return Annotations(sheet.title, len(records), tuple(rows), tuple(dropped), remarks=remarks)


def _subject_folders(book: Sequence[Sheet]) -> dict[str, str]:
    """``{"1": "s15"}`` out of whichever sheet pairs a number with such a name, a pair a row, either way round."""
    pairs: dict[str, str] = {}
    for sheet in book:
        for row in sheet.cells:
            names = [cell.lower() for cell in row if re.fullmatch(r"s\d+", cell, re.IGNORECASE)]
            numbers = [cell for cell in row if cell.isdigit()]
            if not names and len(numbers) == 2 and "rule1" in normalised(sheet.name):
                names, numbers = [f"s{int(numbers[1])}"], numbers[:1]
            if len(names) == 1 and len(numbers) == 1 and frame_number(numbers[0]) is not None:
                pairs.setdefault(str(int(numbers[0])), names[0])
    return pairs


def identify(parts: tuple[str, ...]) -> Identified | None:
    """``…/s15/15_0101disgustingteeth`` by its code, or ``…/s15/anger1_1`` by its name."""
    if len(parts) < 2 or not re.fullmatch(r"s\d+", parts[-2], re.IGNORECASE):
        return None
    code = re.match(r"\d+_(\d{4})", parts[-1])
    return (parts[-2].lower(), code.group(1) if code else parts[-1].lower()), 2


def keys(row: Row, _: frozenset[tuple[str, str]]) -> tuple[Key, ...]:
    """By the clip's own name, by the code of its video, by the name of its video."""
    code = CODES.get(row.video.lower(), "")
    return tuple((row.subject, name) for name in (row.clip.lower(), code, row.video.lower()) if name)


CAS_ME2 = Adapter("cas_me2", "CAS(ME)^2", frozenset({"cas_me2"}), 30.0, read, identify, keys)
