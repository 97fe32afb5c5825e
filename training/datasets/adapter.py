"""What a data set has to say for itself: how to read its annotation and whose folder is whose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tsfmicro.labels import ClassProtocol
from tsfmicro.training.datasets.frames import Identify, Key
from tsfmicro.training.datasets.rows import Annotations, Dropped, Row
from tsfmicro.training.datasets.tables import frame_number


@dataclass(frozen=True, slots=True)
class Adapter:
    """One data set."""

    id: str
    title: str
    """As its authors write it."""
    protocols: frozenset[str]
    """``ClassProtocol.dataset`` of the protocols that apply to it."""
    fps: float
    """Frames a second of the recordings; 0 where they differ."""
    read: Callable[[Path, ClassProtocol], Annotations]
    identify: Identify
    keys: Callable[[Row, frozenset[tuple[str, str]]], tuple[Key, ...]]
    """Keys the folder of a row may have, best first, given every (subject, lower-case clip) of the annotation."""


@dataclass(frozen=True, slots=True)
class KeyFrames:
    """Onset, apex and offset cells of a row, read."""

    onset: int
    apex: int | None
    offset: int


def read_key_frames(key: str, onset: str, apex: str, offset: str) -> KeyFrames | Dropped:
    """Turn three cells into frame numbers; a row without onset or offset is dropped, one without apex is not."""
    first, last = frame_number(onset), frame_number(offset)
    if first is None or last is None:
        which, text = ("onset", onset) if first is None else ("offset", offset)
        return Dropped(key, f"{which} {text!r} is not a frame number")
    return KeyFrames(first, frame_number(apex), last)


def exactly(row: Row, _: frozenset[tuple[str, str]]) -> tuple[Key, ...]:
    """Keys of a data set whose folders are named by subject and clip."""
    return ((row.subject, row.clip.lower()),)
