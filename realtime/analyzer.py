"""One face's path from samples to findings: spot and judge. What passes is named later, together with others'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import cv2
import numpy as np

from tsfmicro.align import AlignSpec, compose
from tsfmicro.motion import Displacement, displacement
from tsfmicro.preprocess import Preprocessor
from tsfmicro.realtime.confidence import shipped_scorer
from tsfmicro.realtime.events import Event, FaceWindow, MeApex, MeEnd, MeRejected, MeStart
from tsfmicro.realtime.gates import GateSpec, Verdict, judge, merit_of, overshadowed
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.sliding import SlideSpec, SlidingWindows
from tsfmicro.realtime.spot import ApexConfirmed, FaceSpotter, Finished, Signal, SpotSpec, Started, same_movement
from tsfmicro.realtime.windows import HeldWindow, event_window
from tsfmicro.values import CropPair, UInt8Array


@dataclass(frozen=True, slots=True, eq=False)
class Unnamed:
    """A micro-expression, or a window of a face, whose emotion is still to be named."""

    event: MeEnd | FaceWindow
    """Complete but for the recognition."""
    crops: CropPair
    window: UInt8Array | None = None
    """(T, S, S, 3) RGB; None where the recogniser wants no window."""


@dataclass(frozen=True, slots=True, eq=False)
class Closing:
    """A movement as it was seen, for whoever keeps pictures of it. Large: not to be held."""

    source: str
    event_id: str
    rejected: bool
    finished: Finished
    moved: Displacement
    """Of the apex against the onset."""


Finding: TypeAlias = Event | Unnamed
"""What the samples of a face come to."""


class FaceAnalyzer:
    """Turns the samples of one face into findings.

    Args:
        source, face_id: whose events these are.
        align: geometry of the crop, from the recogniser's own preprocessing.
        spot, gates: constants.
        preprocessor: the recogniser's; None where nobody will name the events.
        keep: given every movement as soon as it is over.
        window_frames: how many frames of each movement it wants besides onset and apex; None for no window.
        slide: when windows are cut without asking the spotter; None for never. Needs ``window_frames``.
    """

    def __init__(
        self,
        source: str,
        face_id: int,
        align: AlignSpec,
        spot: SpotSpec,
        gates: GateSpec,
        preprocessor: Preprocessor | None,
        keep: Callable[[Closing], None] | None = None,
        window_frames: int | None = None,
        slide: SlideSpec | None = None,
    ) -> None:
        self._source = source
        self._face_id = face_id
        self._align = align
        self._spot = spot
        self._gates = gates
        self._preprocessor = preprocessor
        self._keep = keep
        self._window_frames = window_frames
        self._spotter = self._new_spotter(0)
        self._judged: dict[int, tuple[Displacement, Verdict]] = {}
        """By candidate: movements that were judged and are not told yet."""
        self._moved: dict[tuple[int, int], Displacement] = {}
        """By the frames of onset and apex, of movements that are just being judged."""
        self._reported: Finished | None = None
        """The last event, without its samples: the same movement is not reported twice."""
        self._sliding: SlidingWindows | None = None
        if slide is not None and preprocessor is not None and window_frames is not None:
            self._sliding = SlidingWindows(window_frames, slide, align, preprocessor)

    @property
    def score(self) -> float:
        """Robust z-score of the face's latest movement."""
        return self._spotter.score

    @property
    def active(self) -> bool:
        """True while a movement is being followed."""
        return self._spotter.active

    @property
    def calibrated(self) -> bool:
        """False while the face is only watched."""
        return self._spotter.calibrated

    def recalibrate(self) -> list[Finding]:
        """Forget how the face usually moves, and watch it anew; what is going on ends here."""
        findings = self.flush()
        self._spotter = self._new_spotter(self._spotter.candidates)
        return findings

    def _new_spotter(self, candidates: int) -> FaceSpotter:
        return FaceSpotter(self._spot, self._align, candidates, self._merit, shipped_scorer().patterns)

    def push(self, sample: FaceSample) -> list[Finding]:
        """Take the face's next sample."""
        findings = self._findings(self._spotter.push(sample))
        window = None if self._sliding is None else self._sliding.push(sample)
        return findings if window is None else [*findings, self._seen(window)]

    def flush(self) -> list[Finding]:
        """End the face; a movement still going on is rejected as one that did not return."""
        return self._findings(self._spotter.flush())

    def _findings(self, signals: Sequence[Signal]) -> list[Finding]:
        return [self._finding(signal) for signal in signals]

    def _finding(self, signal: Signal) -> Finding:
        event_id = f"f{self._face_id:03d}-{signal.candidate:05d}"
        match signal:
            case Started():
                return MeStart(self._source, self._face_id, event_id, signal.at, signal.score, signal.region)
            case ApexConfirmed():
                lookahead_s = signal.confirmed.t_s - signal.apex.t_s
                return MeApex(self._source, self._face_id, event_id, signal.onset, signal.apex, lookahead_s)
            case Finished():
                return self._close(signal, event_id)

    def _seen(self, window: HeldWindow) -> Unnamed:
        most = int(window.moved.argmax())
        event = FaceWindow(
            source=self._source,
            face_id=self._face_id,
            begin=window.samples[0].moment,
            end=window.samples[-1].moment,
            frames=len({sample.moment.frame for sample in window.samples}),
            magnitude=float(window.moved[most]),
            recognition=None,
        )
        # A recogniser of pairs beside the one of windows is given the frame that differs most from the first.
        return Unnamed(event, CropPair(window.crops[0], window.crops[most]), window.crops)

    def _judge(self, finished: Finished) -> tuple[Displacement, Verdict]:
        onset = finished.sample_at(finished.interval.onset)
        apex = finished.sample_at(finished.interval.apex)
        ends = onset.moment.frame, apex.moment.frame
        moved = self._moved.get(ends)
        if moved is None:  # several patterns that tell of one movement end in the same frame
            moved = self._moved[ends] = displacement(onset.patch, apex.patch, self._align)
        return moved, judge(finished, moved, self._gates)

    def _merit(self, finished: Finished) -> float:
        """Which of several movements that overlap is the one."""
        moved, verdict = self._judge(finished)
        self._judged[finished.candidate] = moved, verdict
        return merit_of(finished, verdict)

    def _close(self, finished: Finished, event_id: str) -> Finding:
        onset = finished.sample_at(finished.interval.onset)
        apex = finished.sample_at(finished.interval.apex)
        known = self._judged.pop(finished.candidate) if finished.candidate in self._judged else None
        moved, verdict = known or self._judge(finished)
        self._moved.clear()
        again = self._reported is not None and same_movement(finished, self._reported)
        if finished.overshadowed or again:
            verdict = overshadowed(verdict)
        if not verdict.reasons:
            self._reported = replace(finished, samples=())
        if self._keep is not None:
            self._keep(Closing(self._source, event_id, bool(verdict.reasons), finished, moved))
        if verdict.reasons:
            return MeRejected(
                source=self._source,
                face_id=self._face_id,
                event_id=event_id,
                interval=finished.interval,
                region=finished.region,
                magnitude=finished.magnitude,
                score=finished.score,
                reasons=verdict.reasons,
                evidence=verdict.evidence,
                confidence=verdict.confidence,
            )
        event = MeEnd(
            source=self._source,
            face_id=self._face_id,
            event_id=event_id,
            interval=finished.interval,
            region=finished.region,
            magnitude=finished.magnitude,
            score=finished.score,
            recognition=None,
            calibrated=self._preprocessor is not None,
            lookahead_s=finished.confirmed.t_s - finished.interval.offset.t_s,
            confidence=verdict.confidence,
        )
        if self._preprocessor is None:
            return event
        frames = self._window_frames
        window = None if frames is None else event_window(finished, frames, self._align, self._preprocessor)
        return Unnamed(event, event_crops(onset, apex, moved, self._preprocessor), window)


def event_crops(onset: FaceSample, apex: FaceSample, moved: Displacement, preprocessor: Preprocessor) -> CropPair:
    """The recogniser's crops: the apex held on the onset by the head's measured motion, not by its own landmarks.

    Both are sampled once, from the pixels the camera gave.
    """
    back = np.asarray(cv2.invertAffineTransform(moved.rigid), dtype=np.float64)
    return preprocessor.crop_pair(onset.pixels, onset.pixels_to_crop, apex.pixels, compose(back, apex.pixels_to_crop))
