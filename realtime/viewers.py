"""What watches a run frame by frame: the annotated video, the timeline, the window."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from tsfmicro.realtime.dynamic_images import DynamicImages
from tsfmicro.realtime.events import Event, MeEnd, MeRejected
from tsfmicro.realtime.overlay import FaceMark, MarkState, draw
from tsfmicro.realtime.pipeline import FaceView, Step
from tsfmicro.realtime.timeline import Span, Trace, write_timeline
from tsfmicro.realtime.video import AnnotatedVideoWriter
from tsfmicro.synthetic.timecourse import TrueEvent
from tsfmicro.values import Frame, UInt8Array

TRACE_S = 3.0
"""How much of the score the overlay shows."""
LABEL_HOLD_S = 0.8
"""How long a label stays after the offset, so that it can be read."""
IMAGE_HOLD_S = 3.0
"""How long a dynamic image stays: a picture takes longer to look at than a word."""

CALIBRATING = "calibrating"
"""Caption of a face that is only watched, to learn how it usually moves."""


class Viewer(Protocol):
    """Sees every frame of a run, once it is analysed."""

    def see(self, step: Step) -> None:
        """Take the next frame and what it brought."""

    def finish(self, events: Sequence[Event]) -> None:
        """Take what only the end of the source could tell."""

    def close(self) -> None:
        """Write out and release. May be called twice."""


def movements(events: Sequence[Event]) -> list[MeEnd | MeRejected]:
    """What is to be seen of these events: every movement once."""
    over = [event for event in events if isinstance(event, MeEnd | MeRejected)]
    return [event for event in over if isinstance(event, MeEnd) or not event.told_by_another]


def event_caption(event: MeEnd | MeRejected) -> str:
    """One line for a person to read: label and probability, the doubt, or the reason of a rejection."""
    if isinstance(event, MeRejected):
        return "rejected: " + ", ".join(reason.replace("_", " ") for reason in event.reasons)
    recognition = event.recognition
    if recognition is None:
        return "micro-expression"
    probability = recognition.probabilities[recognition.top_label]
    if recognition.label is None:
        return f"unsure: {recognition.top_label} {probability:.0%}"
    return f"{recognition.label} {probability:.0%}"


class ScoreTraces:
    """The last seconds of every face's score."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._scores: dict[int, deque[tuple[float, float]]] = {}

    def add(self, step: Step) -> None:
        """Remember the scores of one frame; forget faces that left the window."""
        for face in step.faces:
            self._scores.setdefault(face.face_id, deque()).append((step.frame.t_s, face.score))
        for face_id in list(self._scores):
            scores = self._scores[face_id]
            while scores and scores[0][0] < step.frame.t_s - TRACE_S:
                scores.popleft()
            if not scores:
                del self._scores[face_id]

    def mark(self, face: FaceView, state: MarkState, caption: str, dynamic_image: UInt8Array | None = None) -> FaceMark:
        """What to draw for a face of the frame added last."""
        trace = tuple(score for _, score in self._scores.get(face.face_id, ()))
        return FaceMark(face.face_id, face.box_px, state, caption, trace, self._threshold, dynamic_image)


def supersedes(event: MeEnd | MeRejected, last: MeEnd | MeRejected | None) -> bool:
    """Whether it takes the place of a face's last movement: what was found stays until something later happens."""
    return isinstance(event, MeEnd) or last is None or event.interval.onset.t_s > last.interval.offset.t_s


def image_of(event: MeEnd | MeRejected | None, images: DynamicImages | None, t_s: float) -> UInt8Array | None:
    """(64, 64) dynamic image to show beside a face whose latest movement this is; None where there is none to show."""
    if images is None or not isinstance(event, MeEnd) or t_s > event.interval.offset.t_s + IMAGE_HOLD_S:
        return None
    return images.of(event)


def footer_of(frame: Frame) -> str:
    """Time, frame number and the source's own name."""
    return f"{frame.t_s:.3f} s   frame {frame.index}   {Path(frame.source).name}"


class HindsightVideo:
    """The annotated video. It lags behind, so that every frame is drawn with what became known after it.

    Args:
        path: where to write.
        threshold: score from which a movement is followed.
        lookback_s: how far in the past an event may begin; frames wait this long, in memory.
        images: of the micro-expressions, to be shown with them; None for none.
    """

    def __init__(
        self, path: str | Path, threshold: float, lookback_s: float, images: DynamicImages | None = None
    ) -> None:
        self._writer = AnnotatedVideoWriter(path)
        self._traces = ScoreTraces(threshold)
        self._lookback_s = lookback_s
        self._images = images
        self._waiting: deque[Step] = deque()
        self._known: deque[MeEnd | MeRejected] = deque()

    def see(self, step: Step) -> None:
        """Queue a frame and write those that are old enough."""
        self._learn(step.events)
        self._waiting.append(Step(step.frame, step.faces, ()))  # without its sight: seconds of crops are much memory
        while self._waiting and self._waiting[0].frame.t_s < step.frame.t_s - self._lookback_s:
            self._write(self._waiting.popleft())

    def finish(self, events: Sequence[Event]) -> None:
        """Write everything that still waits."""
        self._learn(events)
        while self._waiting:
            self._write(self._waiting.popleft())

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()

    def _learn(self, events: Sequence[Event]) -> None:
        self._known.extend(movements(events))

    def _write(self, step: Step) -> None:
        t_s = step.frame.t_s
        while self._known and self._known[0].interval.offset.t_s < t_s - self._lookback_s - IMAGE_HOLD_S:
            self._known.popleft()
        self._traces.add(step)
        marks = [self._mark(face, t_s) for face in step.faces]
        self._writer.write(draw(step.frame.pixels, marks, footer_of(step.frame)), t_s)

    def _mark(self, face: FaceView, t_s: float) -> FaceMark:
        mark = self._captioned(face, t_s)
        if self._images is None:
            return mark
        last: MeEnd | MeRejected | None = None
        for event in sorted(self._known, key=lambda event: event.interval.onset.t_s):
            if event.face_id == face.face_id and event.interval.onset.t_s <= t_s:
                last = event if supersedes(event, last) else last
        return replace(mark, dynamic_image=image_of(last, self._images, t_s))

    def _captioned(self, face: FaceView, t_s: float) -> FaceMark:
        # The latest that has begun, so that a held label makes room for the next; what was found before what was not.
        begun = [
            event
            for event in reversed(self._known)
            if event.face_id == face.face_id
            and event.interval.onset.t_s <= t_s <= event.interval.offset.t_s + LABEL_HOLD_S
        ]
        if not begun:
            return self._traces.mark(face, "idle", f"face {face.face_id}" if face.calibrated else CALIBRATING)
        event = next((event for event in begun if isinstance(event, MeEnd)), begun[0])
        return self._traces.mark(face, _state(event, t_s), f"{event_caption(event)}{_phase(event, t_s)}")


def _state(event: MeEnd | MeRejected, t_s: float) -> MarkState:
    if isinstance(event, MeRejected):
        return "rejected"
    return "event" if t_s <= event.interval.offset.t_s else "idle"


def _phase(event: MeEnd | MeRejected, t_s: float) -> str:
    interval = event.interval
    if isinstance(event, MeRejected) or t_s > interval.offset.t_s:
        return ""
    if t_s == interval.apex.t_s:
        return "  APEX"
    if t_s == interval.onset.t_s:
        return "  ONSET"
    if t_s == interval.offset.t_s:
        return "  OFFSET"
    return "  rising" if t_s < interval.apex.t_s else "  falling"


class TimelineViewer:
    """Collects scores and events and draws them as one picture at the end."""

    def __init__(self, path: str | Path, threshold: float, truth: Sequence[TrueEvent], title: str) -> None:
        self._path = path
        self._threshold = threshold
        self._truth = truth
        self._title = title
        self._scores: dict[int, tuple[list[float], list[float]]] = {}
        self._spans: list[Span] = []

    def see(self, step: Step) -> None:
        """Remember the scores and events of one frame."""
        for face in step.faces:
            times, scores = self._scores.setdefault(face.face_id, ([], []))
            times.append(step.frame.t_s)
            scores.append(face.score)
        self._learn(step.events)

    def finish(self, events: Sequence[Event]) -> None:
        """Draw the picture."""
        self._learn(events)
        traces = [Trace(face_id, t, s, self._threshold) for face_id, (t, s) in sorted(self._scores.items())]
        first = traces[0].face_id if traces else 1
        truth = [
            Span(first, e.course.onset_s, e.course.apex_s, e.course.offset_s, e.emotion, "truth", "")
            for e in self._truth
        ]
        write_timeline(self._path, traces, self._spans, truth or None, self._title)

    def close(self) -> None:
        """Nothing is held open."""

    def _learn(self, events: Sequence[Event]) -> None:
        self._spans += [_span(event) for event in movements(events)]


def _span(event: MeEnd | MeRejected) -> Span:
    times = (event.interval.onset.t_s, event.interval.apex.t_s, event.interval.offset.t_s)
    if isinstance(event, MeRejected):
        return Span(event.face_id, *times, "rejected", "rejected", ", ".join(event.reasons))
    recognition = event.recognition
    if recognition is None:
        return Span(event.face_id, *times, "movement", "event", "")
    label = recognition.label or "unsure"
    return Span(event.face_id, *times, label, "event", f"{recognition.probabilities[recognition.top_label]:.2f}")
