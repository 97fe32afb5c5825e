"""Finding the frames of a clip: folders by what their path says, files by the last number in their name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tsfmicro.errors import SourceError, UsageError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
_LAST_INTEGER = re.compile(r"(\d+)(?!.*\d)")
_LEAF_AFTER = 48
"""Pictures without a folder among them after which a folder is taken for one of frames: videos of CAS(ME)^3 have
thousands of files, and there are thousands of videos."""
_MAX_DEPTH = 12
"""Deeper than any release, so that a link in a circle ends."""
_ENOUGH = 0.9
"""Share of the best layout's clips that the preferred kind must hold to be chosen before it."""

Key = Hashable
Identified = tuple[Key, int]
"""What a folder holds, and how many trailing parts of its path say so."""
Identify = Callable[[tuple[str, ...]], Identified | None]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A folder that may hold frames."""

    path: Path
    parts: tuple[str, ...]
    """Of the path below the root."""
    first_picture: str
    """Name of one picture in it; empty where it holds none."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one release of a data set: all cropped clips, say, or all raw ones."""

    name: str
    """Path below the root, ``.`` where it is the root itself."""
    kind: str
    """``cropped`` or ``raw``."""
    folders: Mapping[Key, Path]


@dataclass(frozen=True, slots=True)
class Found:
    """A frame that was looked up."""

    path: Path
    number: int
    exact: bool
    """False where the nearest existing frame stands in."""


def leaf_folders(root: Path) -> list[Leaf]:
    """Every folder below ``root`` that holds pictures, or nothing at all.

    Raises:
        SourceError: if a folder cannot be read.
    """
    return sorted(_leaves(root, ()), key=lambda leaf: leaf.parts)


def _leaves(folder: Path, parts: tuple[str, ...]) -> Iterator[Leaf]:
    inner: list[str] = []
    first, pictures = "", 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    inner.append(entry.name)
                elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122  a Path per file is slow
                    first, pictures = first or entry.name, pictures + 1
                    if pictures >= _LEAF_AFTER and not inner:
                        break
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror}") from error
    if first or not inner:
        yield Leaf(folder, parts, first)
    for name in inner if len(parts) < _MAX_DEPTH else ():
        yield from _leaves(folder / name, (*parts, name))


def layouts(leaves: list[Leaf], identify: Identify) -> list[Layout]:
    """Group the folders that ``identify`` knows by where they hang, whatever nesting lies above."""
    groups: dict[tuple[str, ...], dict[Key, Path]] = {}
    kinds: dict[tuple[str, ...], str] = {}
    for leaf in leaves:
        known = identify(leaf.parts) if leaf.first_picture else None
        if known is None:
            continue
        key, depth = known
        group = leaf.parts[: len(leaf.parts) - depth]
        groups.setdefault(group, {}).setdefault(key, leaf.path)
        named = any("crop" in part.lower() for part in leaf.parts)
        kinds.setdefault(group, "cropped" if named or leaf.first_picture.lower().startswith("reg_") else "raw")
    return [Layout("/".join(group) or ".", kinds[group], folders) for group, folders in sorted(groups.items())]


def choose_layout(
    found: list[Layout], lookups: Sequence[tuple[Key, ...]], kind: str, wanted: str | None
) -> Layout | None:
    """The layout to take frames from; None where there is none.

    Args:
        found: those under the root.
        lookups: for every clip, the keys its folder may have.
        kind: preferred, where it holds nearly as many clips as the best.
        wanted: name of one to take instead, or the end of it.

    Raises:
        UsageError: if ``wanted`` names none or several of them.
    """
    if wanted is not None:
        named = [layout for layout in found if f"/{layout.name}".lower().endswith(f"/{wanted.strip('/').lower()}")]
        if len(named) != 1:
            names = ", ".join(layout.name for layout in found) or "none"
            raise UsageError(f"--layout {wanted} fits {len(named)} of the folders with frames; there are: {names}")
        return named[0]
    covered = {layout.name: sum(any(k in layout.folders for k in keys) for keys in lookups) for layout in found}
    best = max(covered.values(), default=0)
    good = [layout for layout in found if best and covered[layout.name] >= _ENOUGH * best]
    return min(good, key=lambda layout: (layout.kind != kind, -covered[layout.name], layout.name), default=None)


def index_frames(folder: Path) -> dict[int, Path]:
    """Pictures of a folder by the last integer of their name, in numerical order.

    Padding, prefixes and case do not matter. Of two files with one number the alphabetically first counts.

    Raises:
        SourceError: if the folder cannot be read.
    """
    index: dict[int, Path] = {}
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  names only: a Path for each of thousands is slow
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror}") from error
    for name in names:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122
        number = _LAST_INTEGER.search(stem)
        if suffix.lower() in IMAGE_SUFFIXES and number and not name.startswith("."):
            index.setdefault(int(number.group(1)), folder / name)
    return dict(sorted(index.items()))


def find_frame(index: Mapping[int, Path], number: int) -> Found | None:
    """Frame ``number``, or the nearest existing one (the earlier of two); None where there is no frame at all."""
    if number in index:
        return Found(index[number], number, exact=True)
    if not index:
        return None
    nearest = min(index, key=lambda have: (abs(have - number), have))
    return Found(index[nearest], nearest, exact=False)
