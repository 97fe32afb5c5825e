"""SAMM (Davison et al., 2018), 159 micro-expressions of 29 people, and its long videos (Yap et al., 2020)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tsfmicro.labels import ClassProtocol
from tsfmicro.training.datasets.adapter import Adapter, read_key_frames
from tsfmicro.training.datasets.errata import apply_errata, load_errata
from tsfmicro.training.datasets.frames import Identified, Key
from tsfmicro.training.datasets.rows import Annotations, Dropped, Note, Repair, Row
from tsfmicro.training.datasets.tables import Table, find_table, frame_number, no_annotation, sheets_in, table_files

_FRAMES = {
    "subject": ("subject",),
    "filename": ("filename",),
    "onset": ("onsetframe", "onset"),
    "apex": ("apexframe", "apex"),
    "offset": ("offsetframe", "offset"),
}
_MICRO = {**_FRAMES, "emotion": ("estimatedemotion", "emotion")}
_LONG = {**_FRAMES, "type": ("type",)}
_OPTIONAL = {"au": ("actionunits", "actionunit", "au", "aus"), "duration": ("duration",)}
_CLIP = re.compile(r"0*(\d+)_(\d+)_(\d+)")
_VIDEO = re.compile(r"0*(\d+)_(\d+)")


def read_micro(root: Path, _: ClassProtocol) -> Annotations:
    """Rows of the sheet MICRO_ONLY.

    Raises:
        UsageError: if no such sheet is found.
    """
    table = _find(root, _MICRO, "SAMM", "SAMM_Micro_FACS_Codes_v2.xlsx, with Filename as 006_1_2 and Estimated Emotion")
    rows, dropped, notes = _rows(table, "samm")
    return Annotations(table.sheet.title, len(rows) + len(dropped), rows, dropped, notes=notes)


def read_long(root: Path, protocol: ClassProtocol) -> Annotations:
    """Micro-expressions of the long videos, in the frame numbers of the long videos.

    The sheet names no emotions; they come from the micro sheet by clip and type. So does an apex that is marked -1,
    shifted by the constant difference of the two numberings.

    Raises:
        UsageError: if one of the two sheets is not found.
    """
    table = _find(root, _LONG, "SAMM long videos", "SAMM_LongVideos_V2_Release.xlsx, with Filename and Type")
    micro = {row.clip: row for row in apply_errata(read_micro(root, protocol).rows, load_errata("samm"))[0]}
    every, dropped, notes = _rows(table, "samm_lv")
    kinds = [record["type"] for record in table.records if _readable(record)]
    rows: list[Row] = []
    refused, repairs = list(dropped), []
    for row, kind in zip(every, kinds, strict=True):
        if not kind.lower().startswith("micro"):
            refused.append(Dropped(row.key, "macro-expression"))
        elif row.clip not in micro:
            refused.append(Dropped(row.key, "the micro sheet has no row for it, so its emotion is unknown"))
        else:
            labelled, repair = _with_micro(row, micro[row.clip])
            rows.append(labelled)
            repairs += [repair] if repair else []
    return Annotations(table.sheet.title, len(every) + len(dropped), tuple(rows), tuple(refused), tuple(repairs), notes)


def _with_micro(row: Row, micro: Row) -> tuple[Row, Repair | None]:
    labelled = replace(row, label=micro.label)
    if row.apex is not None or micro.apex is None:
        return labelled, None
    apex = micro.apex - (micro.onset - row.onset)
    reason = "no apex annotated in the long videos; that of the micro sheet, shifted by the difference of the onsets"
    return replace(labelled, apex=apex), Repair(row.key, "apex", "-1", str(apex), reason)


def _find(root: Path, columns: Mapping[str, tuple[str, ...]], title: str, wanted: str) -> Table:
    files = table_files(root)
    found = [
        table for sheet in sheets_in(files) if (table := find_table(sheet, columns, _OPTIONAL)) and _is_samm(table)
    ]
    if not found:
        raise no_annotation(title, root, wanted, files)
    return max(found, key=lambda table: (len(table.records), table.sheet.path.name))


def _is_samm(table: Table) -> bool:
    names = [record["filename"] for record in table.records if record["filename"]]
    return bool(names) and sum(_CLIP.fullmatch(name) is not None for name in names) > len(names) / 2


def _readable(record: Mapping[str, str]) -> bool:
    """Whether a record becomes a row: notes below the table do not, nor do rows without onset or offset."""
    named = _CLIP.fullmatch(record["filename"]) is not None
    return named and None not in (frame_number(record["onset"]), frame_number(record["offset"]))


def _rows(table: Table, dataset: str) -> tuple[tuple[Row, ...], tuple[Dropped, ...], tuple[Note, ...]]:
    rows: list[Row] = []
    dropped: list[Dropped] = []
    notes: list[Note] = []
    for record in table.records:
        name = _CLIP.fullmatch(record["filename"])
        if not name:
            continue
        subject, clip = f"{int(name.group(1)):03d}", f"{int(name.group(1)):03d}_{name.group(2)}_{name.group(3)}"
        frames = read_key_frames(
            f"{subject}/{clip}/{record['onset']}", record["onset"], record["apex"], record["offset"]
        )
        if isinstance(frames, Dropped):
            dropped.append(frames)
            continue
        rows.append(
            Row(
                dataset, subject, clip, frames.onset, frames.apex, frames.offset, record.get("emotion", ""),
                frames.onset, record.get("au", ""), video=clip.rpartition("_")[0],
            )
        )  # fmt: skip
        stated, counted = frame_number(record.get("duration", "")), frames.offset - frames.onset + 1
        if stated is not None and stated != counted and dataset == "samm":
            notes.append(Note(rows[-1].key, f"duration is {stated} in the sheet, {counted} by onset and offset"))
    return tuple(rows), tuple(dropped), tuple(notes)


def identify_clip(parts: tuple[str, ...]) -> Identified | None:
    """``…/006/006_1_2``; the folder of the subject may be missing."""
    name = _CLIP.fullmatch(parts[-1]) if parts else None
    if name is None:
        return None
    numbers = tuple(map(int, name.groups()))
    has_subject = len(parts) > 1 and parts[-2].isdigit() and int(parts[-2]) == numbers[0]
    return numbers, 2 if has_subject else 1


def identify_video(parts: tuple[str, ...]) -> Identified | None:
    """``…/006_1``."""
    name = _VIDEO.fullmatch(parts[-1]) if parts else None
    return (tuple(map(int, name.groups())), 1) if name else None


def _clip_keys(row: Row, _: frozenset[tuple[str, str]]) -> tuple[Key, ...]:
    return (tuple(int(number) for number in row.clip.split("_")),)


def _video_keys(row: Row, _: frozenset[tuple[str, str]]) -> tuple[Key, ...]:
    return (tuple(int(number) for number in row.video.split("_")),)


SAMM = Adapter("samm", "SAMM", frozenset({"samm"}), 200.0, read_micro, identify_clip, _clip_keys)
SAMM_LONG = Adapter("samm_lv", "SAMM long videos", frozenset({"samm"}), 200.0, read_long, identify_video, _video_keys)
