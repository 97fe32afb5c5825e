"""Every movement of recorded takes with what the confidence model looks at, and whether it was put there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tsfmicro.benchmarks.spotting.recordings import Recording
from tsfmicro.benchmarks.spotting.takes import Take
from tsfmicro.intervals import MATCH_IOU, iou
from tsfmicro.motion import displacement
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime.gates import LEFT_TO_CONFIDENCE, GateSpec, examine
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.spot import FaceSpotter, Finished, SpotSpec
from tsfmicro.values import Float64Array


@dataclass(frozen=True, slots=True, eq=False)
class Movement:
    """One movement of one take."""

    take: Take
    finished: Finished
    evidence: dict[str, float]
    exceeded: tuple[str, ...]
    """Limits of the gates that it exceeds."""
    admitted: bool
    """Whether only the confidence could still reject it."""
    event: int | None
    """Place in the truth of the event it matches; None for the face's own movements."""
    units: tuple[int, ...]
    """Action units of that event."""
    face: int = 0
    """Nearest true face."""


def movements_in(recording: Recording, spot: SpotSpec, patterns: Float64Array | None = None) -> Iterator[Movement]:
    """Run the spotter and the gates' limits over a recorded take; nothing overshadows, which is for the confidence.

    Args:
        recording: of one take.
        spot: constants.
        patterns: as of :class:`~tsfmicro.realtime.spot.FaceSpotter`.
    """
    align, gates = PreprocessSpec().align, GateSpec()
    for samples in recording.faces.values():
        spotter = FaceSpotter(spot, align, patterns=patterns)
        signals = [signal for sample in samples for signal in spotter.push(sample)] + spotter.flush()
        face = _face_of(recording, samples[0])
        for signal in signals:
            if isinstance(signal, Finished):
                signal = replace(signal, overshadowed=False)
                onset, apex = (signal.sample_at(m) for m in (signal.interval.onset, signal.interval.apex))
                held = examine(signal, displacement(onset.patch, apex.patch, align), gates)
                event = _event_at(recording, face, signal)
                units = () if event is None else recording.truth[event].event.action_units
                admitted = LEFT_TO_CONFIDENCE.issuperset(held.reasons)
                lean = replace(signal, samples=())  # they are large, and nothing below asks for them
                yield Movement(recording.take, lean, dict(held.evidence), held.reasons, admitted, event, units, face)


def _face_of(recording: Recording, sample: FaceSample) -> int:
    x, y = sample.centre_px
    return int(np.argmin([np.hypot(x - px, y - py) for px, py in recording.places_px]))


def _event_at(recording: Recording, face: int, finished: Finished) -> int | None:
    span = finished.interval.onset.t_s, finished.interval.offset.t_s
    for index, act in enumerate(recording.truth):
        course = act.event.course
        if act.face == face and iou((course.onset_s, course.offset_s), span) >= MATCH_IOU:
            return index
    return None
