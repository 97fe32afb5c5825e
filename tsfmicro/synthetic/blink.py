"""Closing the eyes of a photograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from tsfmicro.synthetic.portrait import Portrait
from tsfmicro.values import Float32Array, UInt8Array

_LIDS = (  # corner, upper lid, corner and the same along the lower lid
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)

_ABOVE, _BELOW = 0.8, 0.2
"""How far lashes and crease reach beyond the opening of the eye, in its heights."""


@dataclass(frozen=True, slots=True, eq=False)
class Eyelids:
    """A portrait's closed eyes, and how low the lid of each pixel must be to cover it."""

    closed: UInt8Array
    """(H, W, 3) the portrait with both eyes covered by skin and a line of lashes."""
    height: Float32Array
    """(H, W) 0 at the upper lid, 1 at the lower; 2 outside the eyes."""

    @classmethod
    def of(cls, portrait: Portrait) -> Self:
        """Work out both from the landmarks."""
        rows, columns = portrait.pixels.shape[:2]
        height = np.full((rows, columns), 2.0, dtype=np.float32)
        mask = np.zeros((rows, columns), dtype=np.uint8)
        lashes = np.zeros((rows, columns), dtype=np.uint8)
        for upper_ids, lower_ids in _LIDS:
            upper, lower = portrait.landmarks_px[list(upper_ids)], portrait.landmarks_px[list(lower_ids)]
            xs = np.arange(max(int(upper[0, 0]), 0), min(int(upper[-1, 0]) + 1, columns))
            top = np.interp(xs, upper[:, 0], upper[:, 1])
            bottom = np.interp(xs, lower[:, 0], lower[:, 1])
            gap = np.maximum(bottom - top, 1.0)
            position = (np.arange(rows)[:, None] - top) / gap
            inside = (position >= -_ABOVE) & (position <= 1 + _BELOW)
            height[:, xs] = np.where(inside, np.clip(position, 0, 1), height[:, xs])
            mask[:, xs] |= np.where(inside, 255, 0).astype(np.uint8)
            line = (lower * 16).round().astype(np.int32)
            thickness = max(1, round(portrait.iod_px / 40))
            cv2.polylines(lashes, [line], False, (255,), thickness, cv2.LINE_AA, shift=4)
        # Fill from well outside: the old outline of the eye would still read as an eye.
        reach = max(round(portrait.iod_px * 0.03), 1)
        wide = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
        skin = cv2.inpaint(portrait.pixels, wide, 5, cv2.INPAINT_TELEA)
        skin = np.where(wide[..., None] > 0, cv2.GaussianBlur(skin, (0, 0), reach / 2), skin)
        shade = cv2.GaussianBlur(lashes, (0, 0), 0.6)[..., None].astype(np.float32) / 255
        closed = np.clip(skin * (1 - 0.75 * shade) + 0.5, 0, 255).astype(np.uint8)
        return cls(closed, height)

    def over(self, pixels: UInt8Array, closure: float) -> UInt8Array:
        """The portrait with the lids lowered: 0 open, 1 closed."""
        if closure <= 0:
            return pixels
        edge = np.clip((1.15 * closure - self.height) / 0.15, 0, 1)
        cover = (cv2.GaussianBlur(edge, (0, 0), 0.8) * (self.height <= 1))[..., None]
        covered: UInt8Array = (pixels + cover * (self.closed.astype(np.float32) - pixels) + 0.5).astype(np.uint8)
        return covered


@dataclass(frozen=True, slots=True)
class Blink:
    """One blink: the lid falls, rests and rises."""

    start_s: float
    duration_s: float = 0.28

    def closure(self, t_s: float) -> float:
        """0 open, 1 closed; a third falling, a sixth closed, half rising."""
        phase = (t_s - self.start_s) / self.duration_s
        if not 0 < phase < 1:
            return 0.0
        if phase < 1 / 3:
            return float(0.5 - 0.5 * np.cos(3 * np.pi * phase))
        return 1.0 if phase < 0.5 else float(0.5 + 0.5 * np.cos(2 * np.pi * (phase - 0.5)))
