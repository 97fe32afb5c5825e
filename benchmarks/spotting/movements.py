"""Every movement of the train side with what the confidence model looks at, and whether it was put there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsfmicro.benchmarks.spotting.clips import Clip, Kind
from tsfmicro.benchmarks.spotting.filming import stagings
from tsfmicro.benchmarks.spotting.takes import Condition, Staged, Take, takes_of
from tsfmicro.intervals import MATCH_IOU, iou
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.motion import displacement
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime.gates import LEFT_TO_CONFIDENCE, GateSpec, examine
from tsfmicro.realtime.pipeline import PipelineSpec
from tsfmicro.realtime.spot import FaceSpotter, Finished, SpotSpec
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.realtime.watch import FaceWatch

CONDITIONS: tuple[Condition, ...] = (Condition(0.0), Condition(2.0), Condition(3.0))
MORE_CONDITIONS: dict[Kind, tuple[Condition, ...]] = {
    Kind.STILL: (Condition(3.0, fps=30.0),),
    Kind.EXPRESSIVE: tuple(Condition(amplitude, backwards=True) for amplitude in (0.0, 2.0, 3.0)),
}


@dataclass(frozen=True, slots=True, eq=False)
class Movement:
    """One movement of one take."""

    take: Take
    finished: Finished
    evidence: dict[str, float]
    admitted: bool
    """Whether only the confidence could still reject it."""
    event: int | None
    """Place in the truth of the event it matches; None for the face's own movements."""
    units: tuple[int, ...]
    """Action units of that event."""


def movements_of(clips: Sequence[Clip], folder: Path, said: Callable[[str], None]) -> Iterator[Movement]:
    """Run the live path's own parts over every take of the clips."""
    for clip in clips:
        conditions = (*CONDITIONS, *MORE_CONDITIONS.get(clip.kind, ()))
        for take, staged in stagings(clip, folder, takes_of(clip, conditions)):
            found = list(_movements(take, staged))
            yield from found
            said(f"{clip.name}, {take.condition.name}: {len(found)} movements")


def _movements(take: Take, staged: Staged) -> Iterator[Movement]:
    align, gates = PreprocessSpec().align, GateSpec()
    spotters: dict[int, FaceSpotter] = {}
    with FaceMeshDetector() as detector:
        watch = FaceWatch(detector, align, PipelineSpec().landmark_interval_s, StageClock())
        for frame in staged.frames:
            sight = watch.look(frame, closely=any(spotter.active for spotter in spotters.values()))
            for face_id, _ in sight.lost:
                spotters.pop(face_id)
            for face_id, seen in sight.faces.items():
                spotter = spotters.setdefault(face_id, FaceSpotter(SpotSpec(), align))
                for signal in spotter.push(seen.sample):
                    if isinstance(signal, Finished):
                        onset, apex = (signal.sample_at(m) for m in (signal.interval.onset, signal.interval.apex))
                        held = examine(signal, displacement(onset.patch, apex.patch, align), gates)
                        admitted = LEFT_TO_CONFIDENCE.issuperset(held.reasons)
                        event = _event_at(staged, signal)
                        units = () if event is None else staged.truth[event].event.action_units
                        yield Movement(take, signal, dict(held.evidence), admitted, event, units)


def _event_at(staged: Staged, finished: Finished) -> int | None:
    x, y = finished.samples[0].centre_px
    face = int(np.argmin([np.hypot(x - px, y - py) for px, py in staged.places_px]))
    span = finished.interval.onset.t_s, finished.interval.offset.t_s
    for index, act in enumerate(staged.truth):
        course = act.event.course
        if act.face == face and iou((course.onset_s, course.offset_s), span) >= MATCH_IOU:
            return index
    return None
