"""Faces made unrecognisable before anything is shown or written.

A face becomes a handful of cells half an inter-ocular distance wide, each the mean colour of what it covers, smoothed
into each other: the rectangle holds no more than some forty colours, and no sharper filter brings back the rest. The
grid stands on the face, so that a head that moves does not show finer detail to whoever adds up frames.

What is not found is not blurred. Faces are found a moment after they come into view, so pictures are held back for a
while, and a face is covered in the pictures before its first sighting too, and for a while after its last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import cv2
import numpy as np

from tsfmicro.realtime.events import Event, SessionEnd, SessionStart
from tsfmicro.realtime.pipeline import FaceView, Step
from tsfmicro.realtime.viewers import Viewer
from tsfmicro.values import UInt8Array

Privacy: TypeAlias = Literal["none", "blur", "events-only"]

HOLD_S = 1.0
"""Pictures wait this long; as long before its first sighting a face is covered."""
KEEP_S = 2.0
"""A face is covered this long after its last sighting."""
_CELL = 0.5
"""Side of a cell, inter-ocular distances."""
_MARGIN, _HAIRLINE = 0.35, 0.6
"""Around the landmarks, and above them, inter-ocular distances."""
_DRIFT = 0.5
"""The cover grows by this on every side for each second since (or to) a sighting, inter-ocular distances."""
_IOD_PER_HEIGHT = 0.55
"""Inter-ocular distance of a face that is seen from the front, over the height of its landmarks. A turned face shows a
shorter one, and must not be blurred less for it."""


@dataclass(frozen=True, slots=True)
class Cover:
    """A rectangle to make unrecognisable."""

    left: float
    top: float
    right: float
    bottom: float
    unit_px: float
    """Inter-ocular distance of the face under it."""

    def grown(self, seconds: float) -> Cover:
        """Where the face may be so much later or earlier."""
        by = _DRIFT * seconds * self.unit_px
        return replace(self, left=self.left - by, top=self.top - by, right=self.right + by, bottom=self.bottom + by)

    def joined(self, other: Cover) -> Cover:
        """Around both, at the coarser of the two."""
        return Cover(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
            max(self.unit_px, other.unit_px),
        )


def cover_of(face: FaceView, iod_px: float | None = None) -> Cover:
    """The whole face and its hairline.

    Args:
        face: its box is that of the landmarks.
        iod_px: inter-ocular distance as seen, where it is known.
    """
    left, top, right, bottom = face.box_px
    unit = max(iod_px or 0.0, _IOD_PER_HEIGHT * (bottom - top), 1.0)
    margin = _MARGIN * unit
    return Cover(left - margin, top - _HAIRLINE * unit, right + margin, bottom + margin, unit)


def blurred(pixels: UInt8Array, covers: Sequence[Cover]) -> UInt8Array:
    """(H, W, 3) with every cover reduced to its cells; a copy where there is one."""
    if not covers:
        return pixels
    result = pixels.copy()
    height, width = pixels.shape[:2]
    for cover in covers:
        x0, x1 = (int(np.clip(value, 0, width)) for value in (np.floor(cover.left), np.ceil(cover.right)))
        y0, y1 = (int(np.clip(value, 0, height)) for value in (np.floor(cover.top), np.ceil(cover.bottom)))
        if x1 - x0 < 1 or y1 - y0 < 1:
            continue
        region, cell_px = result[y0:y1, x0:x1], _CELL * cover.unit_px
        columns, rows = (max(1, round(side / cell_px)) for side in (x1 - x0, y1 - y0))
        cells = cv2.resize(region, (columns, rows), interpolation=cv2.INTER_AREA)
        blocks = cv2.resize(cells, (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST)
        result[y0:y1, x0:x1] = cv2.GaussianBlur(blocks, (0, 0), cell_px / 2, borderType=cv2.BORDER_REPLICATE)
    return result


@dataclass(slots=True)
class _Source:
    waiting: deque[tuple[Step, dict[int, Cover]]] = field(default_factory=deque)
    last: dict[int, tuple[float, Cover]] = field(default_factory=dict)
    """Of each identity, the last sighting in a picture that was let go."""


class Blurred:
    """Passes pictures on to a viewer a second later, with every face unrecognisable.

    Args:
        viewer: never gets a picture that was not blurred; closed with this one.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._sources: dict[str, _Source] = {}
        self._stopped = False

    def see(self, step: Step) -> None:
        """See ``Viewer.see``."""
        source = self._sources.setdefault(step.frame.source, _Source())
        source.waiting.append((replace(step, sight=None), _covers(step)))
        while source.waiting[0][0].frame.t_s < step.frame.t_s - HOLD_S:
            self._let_go(source)

    def finish(self, events: Sequence[Event]) -> None:
        """See ``Viewer.finish``."""
        names = {event.source for event in events if not isinstance(event, SessionStart | SessionEnd)}
        for name in names & self._sources.keys():
            source = self._sources.pop(name)
            while source.waiting and not self._stopped:
                self._let_go(source)
        self._viewer.finish(events)

    def close(self) -> None:
        """See ``Viewer.close``."""
        self._viewer.close()

    def _let_go(self, source: _Source) -> None:
        step, seen = source.waiting.popleft()
        t_s = step.frame.t_s
        source.last.update({face_id: (t_s, cover) for face_id, cover in seen.items()})
        source.last = {key: (then_s, c) for key, (then_s, c) in source.last.items() if t_s - then_s <= KEEP_S}
        coming: dict[int, tuple[float, Cover]] = {}
        for later, later_seen in source.waiting:
            for face_id, cover in later_seen.items():
                coming.setdefault(face_id, (later.frame.t_s, cover))
        covers = [*seen.values()]
        for face_id in (source.last.keys() | coming.keys()) - seen.keys():
            near = [
                c.grown(abs(then_s - t_s)) for then_s, c in (s[face_id] for s in (source.last, coming) if face_id in s)
            ]
            covers.append(near[0] if len(near) == 1 else near[0].joined(near[1]))
        try:
            self._viewer.see(replace(step, frame=replace(step.frame, pixels=blurred(step.frame.pixels, covers))))
        except BaseException:
            self._stopped = True  # a window that was closed is not opened again for what still waits
            raise


def _covers(step: Step) -> dict[int, Cover]:
    iods_px = {} if step.sight is None else {key: face.sample.iod_px for key, face in step.sight.faces.items()}
    return {face.face_id: cover_of(face, iods_px.get(face.face_id)) for face in step.faces}
