"""Frames beside the annotated onset and apex, which training may take in their place (see ``loso.keyframes``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tsfmicro.errors import UsageError
from tsfmicro.training.datasets.frames import Found
from tsfmicro.training.datasets.rows import Clip

RANGE = 0.15 / 4
"""How far from its key frame a neighbour may be, share of the frames from onset to apex: MMNet's, and TSFmicro's on two
of its three data sets (0.1 on SAMM)."""
MOST = 4
"""Neighbours of one key frame; where the range holds more they are spread over it."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Of one clip, nearest first. Onset moves forward and apex back only, so both stay inside the clip, in order."""

    onset: tuple[str, ...] = ()
    """Paths of the pictures, relative to the root."""
    apex: tuple[str, ...] = ()
    missing: int = 0
    """Frames in range that are not there."""

    def __bool__(self) -> bool:
        """Whether any frame was in range, there or not."""
        return bool(self.onset or self.apex or self.missing)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"onset": list(self.onset), "apex": list(self.apex), "missing": self.missing}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Neighbours:
        """Read what :meth:`to_dict` wrote."""
        return cls(tuple(values["onset"]), tuple(values["apex"]), values["missing"])


def require_range(share: float) -> None:
    """Check how far key frames may move.

    Raises:
        UsageError: if onset and apex could meet, or it is negative.
    """
    if not 0 <= share < 0.5:
        raise UsageError(
            f"--key-frame-range {share:g} is not a share of the way from onset to apex; expected 0 to 0.49"
        )


def distances(onset: int, apex: int, share: float) -> tuple[int, ...]:
    """How many frames from its key frame each neighbour is, ascending: 1 to floor(share * (apex - onset))."""
    reach = math.floor(share * (apex - onset) + 1e-9)
    if reach <= MOST:
        return tuple(range(1, reach + 1))
    return tuple(round(distance) for distance in np.linspace(1, reach, MOST).tolist())


def neighbours_of(
    clip: Clip, onset: Found, apex: Found, frames: Mapping[int, Path], share: float, root: Path
) -> Neighbours:
    """The neighbours of a clip that are there; nothing stands in for those that are not.

    Args:
        clip: annotated onset and apex.
        onset, apex: the frames used for them, which may stand in for missing ones.
        frames: those of the clip's folder by number; they may be of other clips too.
        share: see ``RANGE``.
        root: paths are given relative to it.
    """
    steps = distances(clip.onset, clip.apex, share)
    kept: list[tuple[str, ...]] = []
    for numbers in ([clip.onset + step for step in steps], [clip.apex - step for step in steps]):
        there = [frames[n] for n in numbers if n in frames and onset.number < n < apex.number]
        kept.append(tuple(path.relative_to(root).as_posix() for path in there))
    return Neighbours(kept[0], kept[1], 2 * len(steps) - len(kept[0]) - len(kept[1]))
