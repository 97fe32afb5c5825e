"""Putting micro-expressions of known onset, apex and offset into frames that were filmed.

The face is moved by the displacement field of its action units (:mod:`tsfmicro.synthetic.field`), carried by the
landmarks of that very frame, upright in the head's own axes. Frames in which nothing acts are left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tsfmicro.align import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, apply_transform, fit_similarity
from tsfmicro.synthetic.action_units import EMOTIONS, Combination
from tsfmicro.synthetic.field import expression_field
from tsfmicro.synthetic.portrait import Portrait
from tsfmicro.synthetic.timecourse import TrueEvent, random_course
from tsfmicro.values import Float32Array, Float64Array, UInt8Array

_IOD_PX = 100.0
_SIDE_PX = (360, 400)
_EYES_AT = (180.0, 130.0)
"""An upright canvas that holds the field: 1 px is 1 % of the inter-ocular distance."""
_REPERTOIRE = 2
"""Combinations of each emotion that are used: its full picture and the first variant, as in ``demo:``."""
_FIRST_S, _LAST_S = 1.6, 0.9
"""No event begins before the first, nor ends later than the second before the end."""
_SPACING_S, _SLACK_S = 1.7, 0.5


@dataclass(frozen=True, slots=True)
class Acted:
    """A true event and whose it is."""

    event: TrueEvent
    face: int
    """Place of the face in :attr:`Footage.landmarks_px`."""


def plan_events(duration_s: float, amplitude_percent_iod: float, seed: int) -> tuple[TrueEvent, ...]:
    """Events from beginning to end, one about every two seconds, of all five classes in turn.

    Blinks, speech and glances of the footage are not looked at: an event may fall on any of them.
    """
    if amplitude_percent_iod <= 0:
        return ()
    rng = np.random.default_rng(seed)
    names = [str(name) for name in rng.permutation(list(EMOTIONS))]
    events: list[TrueEvent] = []
    start_s = _FIRST_S + rng.uniform(0, _SLACK_S)
    while start_s + 0.5 <= duration_s - _LAST_S:
        emotion = names[len(events) % len(names)]
        combination = EMOTIONS[emotion][int(rng.integers(_REPERTOIRE))]
        course = random_course(rng, start_s)
        events.append(TrueEvent(course, emotion, combination.units, amplitude_percent_iod))
        start_s = course.offset_s + _SPACING_S - 0.5 + rng.uniform(0, _SLACK_S)
    return tuple(events)


def combination_of(event: TrueEvent) -> Combination:
    """The weighted action units of an event."""
    return next(c for c in EMOTIONS[event.emotion] if c.units == event.action_units)


def moved_face(pixels: UInt8Array, landmarks_px: Float32Array, event: TrueEvent, t_s: float) -> UInt8Array:
    """(H, W, 3) RGB frame in which the face acts; the frame itself where it does not."""
    contraction = event.course.contraction(t_s)
    if contraction <= 0:
        return pixels
    eyes = landmarks_px[[LEFT_EYE_OUTER, RIGHT_EYE_OUTER]].astype(np.float64)
    half = np.array([_IOD_PX / 2, 0.0])
    upright = fit_similarity(eyes, np.stack([_EYES_AT - half, _EYES_AT + half]))
    canvas = np.zeros((_SIDE_PX[1], _SIDE_PX[0], 3), dtype=np.uint8)
    field = expression_field(Portrait("frame", canvas, apply_transform(upright, landmarks_px)), combination_of(event))
    back = np.asarray(cv2.invertAffineTransform(upright), dtype=np.float64)
    x0, y0, x1, y1 = _extent(back, pixels.shape[1], pixels.shape[0])
    if x1 <= x0 or y1 <= y0:
        return pixels
    to_part = back.copy()
    to_part[:, 2] -= (x0, y0)
    canvas_px = field.sampled(to_part, x1 - x0, y1 - y0) * np.float32(contraction * event.amplitude_percent_iod)
    shift = canvas_px @ back[:, :2].T.astype(np.float32)
    columns, rows = np.meshgrid(np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32))
    part = cv2.remap(
        pixels, columns - shift[..., 0], rows - shift[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    moved = pixels.copy()
    moved[y0:y1, x0:x1] = part
    return moved


def _extent(to_frame: Float64Array, width_px: int, height_px: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the canvas in the frame."""
    w, h = _SIDE_PX
    corners = apply_transform(to_frame, np.array([[0, 0], [w, 0], [0, h], [w, h]], dtype=np.float32))
    left, top = np.floor(corners.min(axis=0)).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int)
    return max(int(left), 0), max(int(top), 0), min(int(right), width_px), min(int(bottom), height_px)
