"""SMIC-HS (Li et al., 2013): 164 clips of 16 people, 100 frames/s. The folders are the annotation."""

from __future__ import annotations

import re
from pathlib import Path

from tsfmicro.errors import UsageError
from tsfmicro.labels import ClassProtocol
from tsfmicro.training.datasets.adapter import Adapter
from tsfmicro.training.datasets.frames import Identified, Key, Leaf, index_frames, leaf_folders
from tsfmicro.training.datasets.rows import Annotations, Dropped, Row

_CLIP = re.compile(r"s0*(\d+)_(ne|po|sur)_0*(\d+)", re.IGNORECASE)
_LABELS = {"ne": "negative", "po": "positive", "sur": "surprise"}
_OTHER_CAMERAS = frozenset({"vis", "nir", "smic-vis", "smic-nir", "smic_vis", "smic_nir", "smic-vis-e", "smic-nir-e"})


def read(root: Path, _: ClassProtocol) -> Annotations:
    """One row a clip folder: first frame to last, no apex.

    Raises:
        UsageError: if there is no such folder.
    """
    clips: dict[tuple[int, str, int], list[Leaf]] = {}
    for leaf in leaf_folders(root):
        if known := clip_name(leaf.parts):
            clips.setdefault(known, []).append(leaf)
    if not clips:
        raise UsageError(f"{root} holds no SMIC-HS: expected folders such as HS/s1/micro/negative/s1_ne_01")
    rows: list[Row] = []
    dropped: list[Dropped] = []
    for (number, code, clip), leaves in sorted(clips.items()):
        subject, name = f"s{number:02d}", f"s{number:02d}_{code}_{clip:02d}"
        full = [leaf for leaf in sorted(leaves, key=_is_raw) if leaf.first_picture]
        frames = list(index_frames(full[0].path)) if full else []
        if not frames:
            dropped.append(Dropped(f"{subject}/{name}/0", "its folder holds no frame in this copy"))
            continue
        rows.append(Row("smic_hs", subject, name, frames[0], None, frames[-1], _LABELS[code], frames[0]))
    return Annotations(f"folders of {root.name or root}", len(clips), tuple(rows), tuple(dropped))


def _is_raw(leaf: Leaf) -> bool:
    return not any("crop" in part.lower() for part in leaf.parts)


def clip_name(parts: tuple[str, ...]) -> tuple[int, str, int] | None:
    """Subject, code and number of ``…/s1_ne_01``; the other two cameras of SMIC are left alone."""
    name = _CLIP.fullmatch(parts[-1]) if parts else None
    if name is None or any(part.lower() in _OTHER_CAMERAS for part in parts):
        return None
    return int(name.group(1)), name.group(2).lower(), int(name.group(3))


def identify(parts: tuple[str, ...]) -> Identified | None:
    """``…/s1/micro/negative/s1_ne_01``; the folders in between may be missing."""
    known = clip_name(parts)
    if known is None:
        return None
    depth = 1
    for folder in reversed(parts[:-1]):
        if not re.fullmatch(r"negative|positive|surprise|micro|s\d+", folder, re.IGNORECASE):
            break
        depth += 1
    return known, depth


def keys(row: Row, _: frozenset[tuple[str, str]]) -> tuple[Key, ...]:
    """By subject, code and number."""
    known = clip_name((row.clip,))
    return (known,) if known else ()


SMIC_HS = Adapter("smic_hs", "SMIC-HS", frozenset({"smic_hs"}), 100.0, read, identify, keys)
