"""What became of every row, compared with the published counts, and why they differ where they do."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tsfmicro.training.datasets import casme2, casme3
from tsfmicro.training.datasets.frames import find_frame, index_frames
from tsfmicro.training.datasets.load import Dataset
from tsfmicro.training.datasets.rows import counts_of, plain


@dataclass(frozen=True, slots=True)
class MissingFrame:
    """A key frame that is not there."""

    key: str
    field: str
    frame: int
    used: int | None
    """Nearest frame, which stands in; None where the clip has no frame at all."""


@dataclass(frozen=True, slots=True)
class Audit:
    """One copy of a data set under one protocol."""

    data: Dataset
    missing: tuple[MissingFrame, ...]

    @property
    def classes(self) -> dict[str, int]:
        """Clips by class."""
        return counts_of([clip.label for clip in self.data.clips], self.data.protocol.classes)

    @property
    def per_subject(self) -> dict[str, int]:
        """Clips by subject."""
        return counts_of([clip.subject for clip in self.data.clips], self.data.subjects)

    @property
    def has_expectation(self) -> bool:
        """Whether anybody has published counts for this data set; nobody has for your own clips."""
        return self.data.adapter.id != "csv"

    @property
    def matches(self) -> bool:
        """Whether samples, subjects and classes are those of the protocol, as far as they are published."""
        expected = self.data.protocol
        if not self.has_expectation:
            return True
        people = expected.expected_subjects
        return self.classes == dict(expected.expected_counts) and people in {None, len(self.data.subjects)}

    @property
    def digest(self) -> str:
        """SHA-256 over every clip's key, class and key frames: two results with one digest are on the same data."""
        lines = [[c.key, c.label, c.onset, c.apex, c.offset] for c in sorted(self.data.clips, key=lambda c: c.key)]
        text = json.dumps([self.data.protocol.id, lines], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def clips_without_frames(self) -> tuple[str, ...]:
        """Keys of clips that cannot be used because none of their frames is there."""
        return tuple(dict.fromkeys(frame.key for frame in self.missing if frame.used is None))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        data, expected = self.data, self.data.protocol
        return {
            "dataset": data.adapter.id,
            "protocol": expected.id,
            "source": data.annotations.source,
            "rows": data.annotations.rows_in_sheet,
            "samples": len(data.clips),
            "subjects": len(data.subjects),
            "classes": self.classes,
            "expected": {
                "samples": expected.expected_samples,
                "subjects": expected.expected_subjects,
                "classes": dict(expected.expected_counts),
            }
            if self.has_expectation
            else {},
            "matches": self.matches,
            "explanation": explain(self),
            "per_subject": self.per_subject,
            "dropped": plain(data.dropped, "key", "reason"),
            "repaired": [repair.to_dict() for repair in data.repaired],
            "notes": plain(data.notes, "key", "text"),
            "layouts": [layout.name for layout in data.layouts],
            "missing_frames": len(self.missing),
            "missing": plain(self.missing, "key", "field", "frame", "used"),
            "clips_without_frames": list(self.clips_without_frames),
            "digest": self.digest,
        }


def audit(data: Dataset) -> Audit:
    """Look every key frame up."""
    index = cache(index_frames)
    missing: list[MissingFrame] = []
    for clip in data.clips:
        frames: dict[int, Path] = {} if clip.folder is None else index(clip.folder)
        for field, number in (("onset", clip.onset), ("apex", clip.apex), ("offset", clip.offset)):
            found = find_frame(frames, number)
            if found is None or not found.exact:
                missing.append(MissingFrame(clip.key, field, number, None if found is None else found.number))
    return Audit(data, tuple(missing))


def explain(found: Audit) -> list[str]:
    """Sentences on why the counts differ from the published ones, the likely cause first; none where they match."""
    data, expected = found.data, found.data.protocol
    if not found.has_expectation:
        return ["these are your own clips, so there are no published counts to compare with"]
    if found.matches:
        return list(data.annotations.remarks)
    sentences = [*_causes(found), *data.annotations.remarks]
    off = {name: n - expected.expected_counts[name] for name, n in found.classes.items()}
    differing = ", ".join(f"{name} {n:+d}" for name, n in off.items() if n)
    if differing:
        sentences.append(f"{len(data.clips)} clips, {expected.expected_samples} expected: {differing}")
    if expected.expected_subjects not in {None, len(data.subjects)}:
        sentences.append(f"{len(data.subjects)} subjects, {expected.expected_subjects} expected")
    if data.excluded:
        sentences.append(f"the exclusion list {data.excluded} took clips out")
    broken = [drop for drop in data.dropped if "is not a frame number" in drop.reason or "before onset" in drop.reason]
    if broken:
        sentences.append(f"{len(broken)} rows could not be used, the first {broken[0].key}: {broken[0].reason}")
    return sentences


def _causes(found: Audit) -> list[str]:
    data, expected = found.data, found.data.protocol
    rows, traits = data.annotations.rows_in_sheet, data.annotations.traits
    causes: list[str] = []
    if "label_year" in traits:
        have, want = traits["label_year"], traits["wanted_year"]
        if have in {"2014", "2019"} and have != want and not expected.id.startswith("megc2019"):
            causes.append(
                f"{data.annotations.source} has the labels of {have}, {expected.id} counts those of {want}: "
                "three clips of sub24 are sadness in 2014 and surprise in 2019"
            )
        if rows != casme2.SHEET_ROWS:
            causes.append(f"the sheet has {rows} rows, the published one {casme2.SHEET_ROWS}")
        if expected.drops_unannotated_apex and any(c.key == "sub04/EP12_01f/261" for c in data.clips):
            causes.append("sub04/EP12_01f has an apex in this copy; in the published sheet it is '/' and left out")
    if data.adapter.id == "casme3a":
        if expected.id.endswith("_tsf") and not data.excluded:
            causes.append(
                "the 855 clips of the TSFmicro paper are the official 860 less five that are unpublished; name them "
                "with --exclude-list, or compare under the _official protocol"
            )
        if rows != casme3.SHEET_ROWS:
            causes.append(f"the sheet has {rows} rows, JpgIndex_v2 has {casme3.SHEET_ROWS}")
    if data.adapter.id in {"smic_hs", "megc2019"}:
        empty = [drop.key for drop in data.dropped if "holds no frame" in drop.reason]
        if empty:
            causes.append(f"folders without frames: {', '.join(empty)}; s18_sur_03 is empty in some cropped copies")
    lost = [drop.key for drop in data.dropped if "but not in" in drop.reason]
    if lost:
        causes.append(f"{len(lost)} clips of the official list have no row in this copy, the first {lost[0]}")
    return causes
