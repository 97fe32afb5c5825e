"""A take through the live path: what was found, what was turned away, and when each was known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsfmicro.benchmarks.spotting.clips import Clip, Kind
from tsfmicro.benchmarks.spotting.footage import load_footage, still_of
from tsfmicro.benchmarks.spotting.inject import Acted
from tsfmicro.benchmarks.spotting.takes import Staged, Take, stage_footage, stage_still
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.realtime.events import Event, MeApex, MeEnd, MeRejected
from tsfmicro.realtime.pipeline import EventRecogniser, PipelineSpec
from tsfmicro.values import Frame


@dataclass(frozen=True, slots=True)
class Spotted:
    """One movement the live path followed to its end."""

    onset_s: float
    apex_s: float
    offset_s: float
    known_s: float
    """Media time of the frame at which its end was told."""
    apex_known_s: float | None
    """Media time of the frame at which its apex was told; None if it was not."""
    confidence: float | None
    """None where nothing gives one."""
    reasons: tuple[str, ...]
    """Why it was rejected; empty for a reported event."""
    face: int
    """Nearest true face."""
    region: str
    magnitude: float

    @property
    def reported(self) -> bool:
        """Whether it came out as a micro-expression."""
        return not self.reasons


@dataclass(frozen=True, slots=True)
class TakeResult:
    """One take against its truth."""

    take: Take
    truth: tuple[Acted, ...]
    spotted: tuple[Spotted, ...]
    blinks: tuple[tuple[float, float], ...]
    watched_s: float
    frame_s: float
    """Median step between frames."""
    method: str = "live"
    """What spotted: the live path, or a yardstick."""


def stagings(clip: Clip, folder: Path, takes: tuple[Take, ...]) -> Iterator[tuple[Take, Staged]]:
    """Decode or frame the clip once, and stage its takes one after the other."""
    if clip.kind is Kind.STILL:
        portrait = still_of(clip, folder)
        for take in takes:
            yield take, stage_still(take, portrait)
    else:
        footage = load_footage(clip, folder)
        for take in takes:
            played = footage.backwards() if take.condition.backwards else footage
            yield take, stage_footage(take, played.at_speed(take.condition.speed))


def film(take: Take, staged: Staged, spec: PipelineSpec | None = None) -> TakeResult:
    """Drive the live path over a staged take, frame for frame."""
    with FaceMeshDetector() as detector:
        path = EventRecogniser(take.clip.name, detector, spec=spec)
        return followed(take, staged, path)


def followed(take: Take, staged: Staged, path: EventRecogniser) -> TakeResult:
    """See :func:`film`."""
    middles: dict[int, tuple[float, float]] = {}
    told: list[tuple[float, Event]] = []
    times: list[float] = []
    for frame in staged.frames:
        told += _step(path, frame, middles)
        times.append(frame.t_s)
    told += [(times[-1], event) for event in path.finish()]
    apexes = {(e.face_id, e.event_id): t_s for t_s, e in told if isinstance(e, MeApex)}
    spotted = tuple(
        _spotted(event, t_s, apexes.get((event.face_id, event.event_id)), _nearest(middles, event, staged))
        for t_s, event in told
        if isinstance(event, MeEnd | MeRejected)
    )
    return TakeResult(take, staged.truth, spotted, staged.blinks, staged.watched_s, float(np.median(np.diff(times))))


def _step(path: EventRecogniser, frame: Frame, middles: dict[int, tuple[float, float]]) -> list[tuple[float, Event]]:
    step = path.step(frame)
    for view in step.faces:
        left, top, right, bottom = view.box_px
        middles.setdefault(view.face_id, ((left + right) / 2, (top + bottom) / 2))
    return [(frame.t_s, event) for event in step.events]


def _nearest(middles: dict[int, tuple[float, float]], event: MeEnd | MeRejected, staged: Staged) -> int:
    x, y = middles[event.face_id]
    return int(np.argmin([np.hypot(x - px, y - py) for px, py in staged.places_px]))


def _spotted(event: MeEnd | MeRejected, known_s: float, apex_known_s: float | None, face: int) -> Spotted:
    return Spotted(
        onset_s=event.interval.onset.t_s,
        apex_s=event.interval.apex.t_s,
        offset_s=event.interval.offset.t_s,
        known_s=known_s,
        apex_known_s=apex_known_s,
        confidence=event.confidence,
        reasons=event.reasons if isinstance(event, MeRejected) else (),
        face=face,
        region=event.region,
        magnitude=event.magnitude,
    )
