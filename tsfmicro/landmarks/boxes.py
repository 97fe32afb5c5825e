"""Rectangles in a picture: where to search for faces, and which finds are the same face."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from tsfmicro.values import UInt8Array

FINEST_TILE_PX = 480
"""Side of the smallest search tile. The detector finds faces from a seventh of its picture: here an inter-ocular
distance of about 40 px, which is as small as movement can be seen in."""
_OVERLAP = 0.3
"""Share of a tile that the next one shows too: twice a seventh, so that a face too small for the tiles of twice the
size lies whole in one of these."""


@dataclass(frozen=True, slots=True)
class Box:
    """Left, top, right, bottom, pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Pixels, never negative."""
        return max(self.right - self.left, 0.0)

    @property
    def height(self) -> float:
        """Pixels, never negative."""
        return max(self.bottom - self.top, 0.0)

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def shifted(self, right_px: float, down_px: float) -> Box:
        """The same box elsewhere."""
        return Box(self.left + right_px, self.top + down_px, self.right + right_px, self.bottom + down_px)

    def covered_by(self, other: Box) -> float:
        """Share of this box that the other one covers, 0..1."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        area = self.width * self.height
        return max(wide, 0.0) * max(high, 0.0) / area if area > 0 else 0.0

    def same_face_as(self, other: Box) -> bool:
        """Whether one of the two lies mostly inside the other."""
        return max(self.covered_by(other), other.covered_by(self)) > 0.5

    def around(self, factor: float, width_px: int, height_px: int) -> Box:
        """Square about the same centre, ``factor`` times the longer side, cut off at the picture's edges."""
        x, y = self.centre
        half = max(self.width, self.height) * factor / 2
        return Box(
            float(max(int(x - half), 0)),
            float(max(int(y - half), 0)),
            float(min(int(np.ceil(x + half)), width_px)),
            float(min(int(np.ceil(y + half)), height_px)),
        )

    def cut(self, pixels: UInt8Array) -> UInt8Array:
        """This part of an (H, W, 3) picture, contiguous."""
        rows, columns = slice(int(self.top), int(self.bottom)), slice(int(self.left), int(self.right))
        return np.ascontiguousarray(pixels[rows, columns])


def tiles(width_px: int, height_px: int) -> tuple[Box, ...]:
    """The whole picture, then overlapping tiles of half its size, half of that and so on that cover it."""
    whole = Box(0.0, 0.0, float(width_px), float(height_px))
    parts = [whole]
    side = max(width_px, height_px)
    while side > FINEST_TILE_PX:
        side = max(side // 2, FINEST_TILE_PX)
        parts += [
            Box(float(x), float(y), float(min(x + side, width_px)), float(min(y + side, height_px)))
            for y, x in itertools.product(_starts(height_px, side), _starts(width_px, side))
        ]
    return tuple(parts)


def _starts(length_px: int, side_px: int) -> list[int]:
    """Where tiles begin along one side: evenly, and overlapping enough."""
    if length_px <= side_px:
        return [0]
    overlap_px = _OVERLAP * side_px
    count = int(np.ceil((length_px - overlap_px) / (side_px - overlap_px)))
    return [round(i * (length_px - side_px) / (count - 1)) for i in range(count)]
