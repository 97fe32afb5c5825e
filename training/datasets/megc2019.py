"""The composite of MEGC 2019 (See et al., 2019): 442 clips of SMIC-HS, CASME II and SAMM, read from the official list.

No rule on the sheets reproduces the list, so it is read: ``images/combined_3class_gt.csv`` of the repository
Facial-Micro-ExpressionGC/MEGC2019. It has no header: ``db, subject, clip, label``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from tsfmicro.errors import UsageError
from tsfmicro.labels import ClassProtocol
from tsfmicro.training.datasets import casme2, samm, smic
from tsfmicro.training.datasets.adapter import Adapter
from tsfmicro.training.datasets.frames import Identified, Key
from tsfmicro.training.datasets.rows import Annotations, Dropped, Row
from tsfmicro.training.datasets.tables import sheets_in, table_files

LIST_ROWS = 442
DATABASES = {"smic": "smic_hs", "casme2": "casme2", "samm": "samm"}
"""Data set of each name in the first column."""
_BROKEN = "combined_3class_gt-2.csv is broken, take combined_3class_gt.csv"


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the official list."""

    db: str
    subject: str
    clip: str
    label: str


def is_megc(protocol: ClassProtocol) -> bool:
    """Whether the rows of a protocol are those of the official list."""
    return protocol.id.startswith("megc2019")


def find_list(root: Path) -> tuple[Path, tuple[Listed, ...]] | None:
    """The official list below ``root``, found by content; of several the longest."""
    found: list[tuple[Path, tuple[Listed, ...]]] = []
    for sheet in sheets_in(table_files(root)):
        lines = tuple(
            Listed(row[0].lower(), row[1], row[2], row[3])
            for row in sheet.cells
            if len(row) >= 4 and row[0].lower() in DATABASES and row[3] in {"0", "1", "2"}
        )
        if lines:
            found.append((sheet.path, lines))
    return max(found, key=lambda item: (len(item[1]), item[0].name), default=None)


def listed_key(db: str, subject: str, clip: str) -> tuple[str, ...]:
    """How a line and a row are compared: numbers without padding, except within the names of CASME II, any case."""
    if db == "casme2":
        return db, str(_number(subject)), clip.lower()
    return db, str(_number(subject)), *re.sub(r"\d+", lambda digits: str(int(digits.group())), clip.lower()).split("_")


def _number(text: str) -> int:
    digits = re.search(r"\d+", text)
    return int(digits.group()) if digits else -1


def restrict(annotations: Annotations, part: str, root: Path, protocol: ClassProtocol) -> Annotations:
    """Only the rows of one part that the official list has, with its labels.

    The SAMM and SMIC parts are all rows of their labels, so there the sheet will do without the list.

    Raises:
        UsageError: if the list is needed and not below ``root``.
    """
    official = find_list(root)
    if official is None:
        if part == "casme2":
            raise UsageError(
                f"protocol {protocol.id} takes its rows from the official list; put combined_3class_gt.csv of "
                f"Facial-Micro-ExpressionGC/MEGC2019 (folder images) into {root}"
            )
        return replace(annotations, remarks=(*annotations.remarks, "official list not found; the same rows by rule"))
    path, lines = official
    wanted = {listed_key(part, line.subject, line.clip): line for line in lines if line.db == part}
    rows: list[Row] = []
    dropped = list(annotations.dropped)
    for row in annotations.rows:
        line = wanted.pop(listed_key(part, row.subject, row.clip), None)
        if line is None:
            dropped.append(Dropped(row.key, f"not in {path.name}"))
        else:
            rows.append(replace(row, label=line.label))
    dropped += [
        Dropped(f"{line.subject}/{line.clip}/?", f"in {path.name}, but not in {annotations.source}")
        for line in wanted.values()
        if not any(_same(line, lost.key, part) for lost in annotations.dropped)
    ]
    remarks = list(annotations.remarks)
    if len(lines) != LIST_ROWS:
        remarks.append(f"{path.name} has {len(lines)} clips, the official list {LIST_ROWS}; {_BROKEN}")
    return replace(
        annotations,
        source=f"{annotations.source} and {path.name}",
        rows=tuple(rows),
        dropped=tuple(dropped),
        remarks=tuple(remarks),
    )


def _same(line: Listed, key: str, part: str) -> bool:
    subject, clip, _ = key.split("/", 2)
    return listed_key(part, subject, clip) == listed_key(part, line.subject, line.clip)


def read(root: Path, protocol: ClassProtocol) -> Annotations:
    """The three parts below one root.

    Raises:
        UsageError: if the list or one of the three annotations is missing.
    """
    if find_list(root) is None:
        raise UsageError(
            f"{root} holds no official list; put combined_3class_gt.csv of Facial-Micro-ExpressionGC/MEGC2019 "
            "(folder images) there, beside folders or links to SMIC-HS, CASME II and SAMM"
        )
    readers = {"smic": smic.read, "casme2": casme2.read, "samm": samm.read_micro}
    parts = [restrict(reader(root, protocol), part, root, protocol) for part, reader in readers.items()]
    return Annotations(
        "; ".join(part.source for part in parts),
        sum(part.rows_in_sheet for part in parts),
        tuple(row for part in parts for row in part.rows),
        tuple(row for part in parts for row in part.dropped),
        notes=tuple(note for part in parts for note in part.notes),
        remarks=tuple(dict.fromkeys(remark for part in parts for remark in part.remarks)),
    )


def no_folder(_: tuple[str, ...]) -> Identified | None:
    """The composite has no folders of its own: each row's are found as those of its part."""
    return None


def no_keys(_: Row, __: frozenset[tuple[str, str]]) -> tuple[Key, ...]:
    """See :func:`no_folder`."""
    return ()


MEGC2019 = Adapter("megc2019", "MEGC 2019 composite", frozenset({"megc2019"}), 0.0, read, no_folder, no_keys)
