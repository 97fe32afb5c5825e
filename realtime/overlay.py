"""Drawing on frames: a box, a caption and a trace for every face, and a footer. Pure functions on RGB arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from tsfmicro.errors import ContractError
from tsfmicro.values import Float32Array, UInt8Array, require_array

Colour: TypeAlias = tuple[int, int, int]
MarkState: TypeAlias = Literal["idle", "moving", "onset", "apex", "offset", "event", "rejected", "blink"]

EMOTION_COLOURS: dict[str, Colour] = {
    "happiness": (247, 178, 40),
    "disgust": (86, 190, 92),
    "repression": (82, 150, 250),
    "surprise": (228, 96, 210),
    "others": (20, 186, 190),
    "anger": (235, 72, 66),
    "fear": (150, 116, 230),
    "sadness": (110, 128, 222),
    "contempt": (178, 136, 110),
    "negative": (235, 72, 66),
    "positive": (247, 178, 40),
}
"""RGB by label, mid-bright so that they read on light and on dark."""
_STATE_COLOURS: dict[str, Colour] = {
    "idle": (214, 222, 230),
    "moving": (255, 224, 110),
    "onset": (255, 193, 70),
    "apex": (255, 122, 80),
    "offset": (255, 193, 70),
    "event": EMOTION_COLOURS["others"],
    "rejected": (150, 156, 164),
    "blink": (140, 196, 255),
}
_INK: Colour = (18, 22, 28)
_PAPER: Colour = (245, 247, 250)
_MUTED: Colour = (168, 178, 190)
_FONT = cv2.FONT_HERSHEY_DUPLEX
_TRACE_EM, _IMAGE_EM = (11.5, 4.6), (7.6, 8.4)
"""Width and height of the panels, heights of a letter."""
DYNAMIC_IMAGE = "dynamic image"
"""What is written over one."""
_SUPERSAMPLE = 4
"""Strokes are drawn this much larger and averaged down: OpenCV's own small letters are ragged."""


@dataclass(frozen=True, slots=True)
class FaceMark:
    """What to draw for one face."""

    face_id: int
    box_px: tuple[float, float, float, float]
    """Left, top, right, bottom, frame pixels; may reach outside the picture."""
    state: MarkState
    caption: str
    """Shown on the plate; starting with an emotion, it takes that emotion's colour in state ``event``."""
    trace: tuple[float, ...]
    """Recent scores, newest last; no panel is drawn for fewer than two."""
    threshold: float
    """Score from which a movement counts."""
    dynamic_image: UInt8Array | None = None
    """(N, N) grey levels, shown beside the trace; none is drawn for None."""

    def __post_init__(self) -> None:
        if self.state not in get_args(MarkState):
            raise ContractError(f"FaceMark.state is {self.state!r}; expected one of {', '.join(get_args(MarkState))}")
        if not np.all(np.isfinite(self.box_px)):
            raise ContractError(f"FaceMark.box_px is {self.box_px}; expected finite pixels")
        if self.dynamic_image is not None:
            require_array("FaceMark.dynamic_image", self.dynamic_image, (None, None), np.uint8)

    @property
    def colour(self) -> Colour:
        """RGB of the box, the plate's chip and the trace."""
        first_word = self.caption.split(maxsplit=1)[0].lower() if self.caption.strip() else ""
        if self.state == "event" and first_word in EMOTION_COLOURS:
            return EMOTION_COLOURS[first_word]
        return _STATE_COLOURS[self.state]


def draw(pixels: UInt8Array, marks: Sequence[FaceMark], footer: str) -> UInt8Array:
    """A new picture with everything drawn on it; sizes follow the height of the picture.

    Args:
        pixels: (H, W, 3) RGB; left as it is.
        marks: one for every face.
        footer: a line at the bottom, such as source and time; none is drawn for an empty one.
    """
    require_array("pixels", pixels, (None, None, 3), np.uint8)
    canvas = pixels.copy()
    text_px = round(float(np.clip(pixels.shape[0] / 38, 10, 34)))
    for mark in marks:
        _draw_box(canvas, mark, text_px)
    floor = _draw_footer(canvas, footer, text_px) if footer else canvas.shape[0]
    _draw_panels(canvas, marks, floor, text_px)
    for mark in marks:
        _draw_plate(canvas, mark, text_px)
    return canvas


def _draw_box(canvas: UInt8Array, mark: FaceMark, text_px: int) -> None:
    left, top, right, bottom = (round(value) for value in mark.box_px)
    thin = max(1, round(text_px / 14))
    thick = max(2, round(text_px / 5))
    arm = max(4, round(0.18 * min(right - left, bottom - top)))
    corners = [
        np.array([(x + dx, y), (x, y), (x, y + dy)], dtype=np.int32)
        for x, dx in ((left, arm), (right, -arm))
        for y, dy in ((top, arm), (bottom, -arm))
    ]
    # A dark rim under the colour keeps the lines visible on a white wall.
    cv2.polylines(canvas, corners, False, _INK, thick + 2, cv2.LINE_AA)
    frame = canvas.copy()
    cv2.rectangle(frame, (left, top), (right, bottom), mark.colour, thin, cv2.LINE_AA)
    cv2.addWeighted(frame, 0.55, canvas, 0.45, 0, dst=canvas)
    cv2.polylines(canvas, corners, False, mark.colour, thick, cv2.LINE_AA)


def _draw_plate(canvas: UInt8Array, mark: FaceMark, text_px: int) -> None:
    """The caption above the box; inside it, or shifted, where the picture ends."""
    height, width = canvas.shape[:2]
    pad = max(3, round(0.45 * text_px))
    number = _letters(str(mark.face_id), text_px)
    chip_width = number.shape[1] + 2 * pad
    text = _letters(mark.caption or mark.state, text_px, width - chip_width - 3 * pad)
    plate_width, plate_height = chip_width + text.shape[1] + 2 * pad, number.shape[0] + pad
    left, top = round(mark.box_px[0]), round(mark.box_px[1]) - plate_height - max(3, text_px // 4)
    if top < 0:
        top = max(0, round(mark.box_px[1])) + max(3, text_px // 3)
        left += max(3, text_px // 3)
    left = max(0, min(left, width - plate_width))
    top = max(0, min(top, height - plate_height))
    _blend(canvas, _rounded(plate_width, plate_height, pad), left, top, _INK, 0.82)
    chip = _rounded(plate_width, plate_height, pad).copy()
    chip[:, chip_width:] = 0
    _blend(canvas, chip, left, top, mark.colour, 1.0)
    baseline = top + (plate_height - number.shape[0]) // 2
    _blend(canvas, number, left + pad, baseline, _INK, 1.0)
    _blend(canvas, text, left + chip_width + pad, baseline, _PAPER, 1.0)


def _draw_footer(canvas: UInt8Array, footer: str, text_px: int) -> int:
    """The line at the bottom; returns the row it begins at."""
    height, width = canvas.shape[:2]
    pad = max(4, round(0.6 * text_px))
    text = _letters(footer, text_px, width - 2 * pad)
    top = max(0, height - text.shape[0] - pad)
    _blend(canvas, np.ones((height - top, width), dtype=np.float32), 0, top, _INK, 0.78)
    _blend(canvas, text, pad, top + pad // 2, _PAPER, 1.0)
    return top


def _draw_panels(canvas: UInt8Array, marks: Sequence[FaceMark], floor: int, text_px: int) -> None:
    """A column for each face from the bottom left, its trace below its dynamic image; what does not fit is left out."""
    gap = max(4, text_px // 2)
    left = gap
    for mark in marks:
        panels = [(_draw_trace, _TRACE_EM)] if len(mark.trace) > 1 else []
        panels += [(_draw_dynamic_image, _IMAGE_EM)] if mark.dynamic_image is not None else []
        above, column = floor, 0
        for draw_panel, size_em in panels:
            width, height = (round(side * text_px) for side in size_em)
            top = above - gap - height
            if top < 0 or left + width + gap > canvas.shape[1]:
                continue
            draw_panel(canvas, mark, (left, top, width, height), text_px)
            above, column = top, max(column, width)
        left += column + gap if column else 0


def _draw_dynamic_image(canvas: UInt8Array, mark: FaceMark, place: tuple[int, int, int, int], text_px: int) -> None:
    left, top, width, height = place
    pad = max(4, round(0.45 * text_px))
    small = max(9, round(0.78 * text_px))
    _blend(canvas, _rounded(width, height, pad), left, top, _INK, 0.82)
    title = _letters(DYNAMIC_IMAGE, small, width - 2 * pad)
    _blend(canvas, title, left + pad, top + pad // 2, _PAPER, 1.0)
    below = top + pad // 2 + title.shape[0] + 1
    side = min(width - 2 * pad, top + height - pad - below)
    if side < 1 or mark.dynamic_image is None:
        return
    picture = cv2.resize(mark.dynamic_image, (side, side), interpolation=cv2.INTER_AREA)
    start = left + (width - side) // 2
    canvas[below : below + side, start : start + side] = picture[..., np.newaxis]


def _draw_trace(canvas: UInt8Array, mark: FaceMark, place: tuple[int, int, int, int], text_px: int) -> None:
    left, top, width, height = place
    pad = max(4, round(0.45 * text_px))
    small = max(9, round(0.78 * text_px))
    _blend(canvas, _rounded(width, height, pad), left, top, _INK, 0.82)
    title = _letters(f"face {mark.face_id}", small)
    _blend(canvas, title, left + pad, top + pad // 2, mark.colour, 1.0)
    newest = _letters(f"{mark.trace[-1]:.1f}", small)
    _blend(canvas, newest, left + width - pad - newest.shape[1], top + pad // 2, _PAPER, 1.0)
    plot_top, plot_bottom = top + pad // 2 + title.shape[0] + 1, top + height - pad
    values = np.nan_to_num(np.asarray(mark.trace, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    ceiling = max(1.5 * mark.threshold, float(values.max()), 1e-6)
    columns = np.linspace(left + pad, left + width - pad, len(values))
    rows = plot_bottom - np.clip(values / ceiling, 0.0, 1.0) * (plot_bottom - plot_top)
    line = np.round(np.stack([columns, rows], axis=1) * 16).astype(np.int32)  # 4 fractional bits
    area = np.concatenate([line, [[line[-1, 0], plot_bottom * 16], [line[0, 0], plot_bottom * 16]]]).astype(np.int32)
    shade = np.zeros((height, width), dtype=np.uint8)
    cv2.fillPoly(shade, [area - np.array([left * 16, top * 16], dtype=np.int32)], (255,), cv2.LINE_AA, shift=4)
    _blend(canvas, shade.astype(np.float32) / 255, left, top, mark.colour, 0.28)
    limit = round(plot_bottom - mark.threshold / ceiling * (plot_bottom - plot_top))
    dash = max(3, text_px // 3)
    for x in range(left + pad, left + width - pad, 2 * dash):
        cv2.line(canvas, (x, limit), (min(x + dash - 1, left + width - pad), limit), _MUTED, 1)
    thickness = max(1, round(text_px / 11))
    cv2.polylines(canvas, [line], False, mark.colour, thickness, cv2.LINE_AA, shift=4)


def _blend(canvas: UInt8Array, mask: Float32Array, left: int, top: int, colour: Colour, opacity: float) -> None:
    """Paint ``colour`` where the (h, w) mask, 0..1, says; what lies outside the picture is cut."""
    x, y = max(left, 0), max(top, 0)
    mask = mask[y - top : max(canvas.shape[0] - top, 0), x - left : max(canvas.shape[1] - left, 0)]
    height, width = mask.shape
    if not mask.size:
        return
    region = canvas[y : y + height, x : x + width]
    weight = (mask * np.float32(opacity))[..., np.newaxis]
    region[:] = np.round(region * (1 - weight) + np.asarray(colour, dtype=np.float32) * weight).astype(np.uint8)


@lru_cache(maxsize=64)
def _rounded(width: int, height: int, radius: int) -> Float32Array:
    """(height, width) mask of a rectangle with round corners."""
    s = _SUPERSAMPLE
    radius = min(radius, width // 2, height // 2)
    big = np.zeros((height * s, width * s), dtype=np.uint8)
    cv2.rectangle(big, (radius * s, 0), ((width - radius) * s - 1, height * s - 1), 255, cv2.FILLED)
    cv2.rectangle(big, (0, radius * s), (width * s - 1, (height - radius) * s - 1), 255, cv2.FILLED)
    for x in (radius * s, (width - radius) * s - 1):
        for y in (radius * s, (height - radius) * s - 1):
            cv2.circle(big, (x, y), radius * s, (255,), cv2.FILLED)
    return _reduced(big)


@lru_cache(maxsize=256)
def _letters(text: str, text_px: int, max_width: int | None = None) -> Float32Array:
    """(1.35 text_px, w) mask of a line of text, shortened with dots to ``max_width``.

    OpenCV's letters are ASCII only: dashes and dots are replaced, other signs become a question mark.
    """
    plain = text.translate({0x2013: "-", 0x2014: "-", 0x2192: ">", 0xB7: "-", 0x2026: "...", 0x2265: ">="})
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in plain) or " "
    s = _SUPERSAMPLE
    scale = text_px * s / 30.0  # a capital is 22 units high; with its descender a line takes 30
    stroke = max(1, round(scale * 1.35))
    while True:
        (width, _), _ = cv2.getTextSize(plain, _FONT, scale, stroke)
        columns = -(-width // s) + 1
        if max_width is None or columns <= max_width or len(plain) <= 4:
            break
        plain = plain.removesuffix("...")[:-1] + "..."
    rows = round(1.35 * text_px)
    big = np.zeros((rows * s, columns * s), dtype=np.uint8)
    cv2.putText(big, plain, (s // 2, round(rows * s * 0.77)), _FONT, scale, (255,), stroke, cv2.LINE_AA)
    return _reduced(big)


def _reduced(big: NDArray[np.uint8]) -> Float32Array:
    size = (big.shape[1] // _SUPERSAMPLE, big.shape[0] // _SUPERSAMPLE)
    return np.asarray(cv2.resize(big, size, interpolation=cv2.INTER_AREA), dtype=np.float32) / np.float32(255)
