"""The whole pure pipeline, frames to events: what files, tests, benchmarks and live sessions all drive."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from tsfmicro.align import AlignSpec, interocular_distance_px
from tsfmicro.landmarks import LandmarkDetector
from tsfmicro.landmarks.boxes import Box
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime.analyzer import FaceAnalyzer
from tsfmicro.realtime.events import Event, FaceLost, FaceNew, MeEnd, MeRejected, Stats
from tsfmicro.realtime.follow import FaceFollower
from tsfmicro.realtime.gates import GateSpec
from tsfmicro.realtime.recognise import Recogniser
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.spot import SpotSpec
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.realtime.track import FaceTracker
from tsfmicro.values import Frame, Moment

_RATE_WINDOW = 60
_STATS_INTERVAL_S = 5.0


@dataclass(frozen=True, slots=True)
class FaceView:
    """A face in one frame, as a viewer wants it."""

    face_id: int
    box_px: tuple[float, float, float, float]
    score: float
    """Robust z-score of its latest movement; compare with ``SpotSpec.threshold``."""
    active: bool
    """True while a movement is being followed."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one frame brought."""

    frame: Frame
    faces: tuple[FaceView, ...]
    events: tuple[Event, ...]


@dataclass(slots=True)
class Tally:
    """Running counts of a source; read them at any time."""

    frames: int = 0
    dropped: int = 0
    faces: int = 0
    events: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """Constants of the whole path."""

    spot: SpotSpec = field(default_factory=SpotSpec)
    gates: GateSpec = field(default_factory=GateSpec)
    landmark_interval_s: float = 1 / 15
    """While nothing moves, landmarks are taken this often; between them, and for the crop at all times, points are
    followed. A blink of 0.1 s falls on at least one."""


class EventRecogniser:
    """Push frames of one source, get events. No threads, no clock: the same frames give the same events.

    Args:
        source: name that the events carry.
        detector: finds the faces; closed by its owner, not here.
        recogniser: None spots without naming emotions.
        spec: constants.
        clock: times the stages; the events do not depend on it.
    """

    def __init__(
        self,
        source: str,
        detector: LandmarkDetector,
        recogniser: Recogniser | None = None,
        spec: PipelineSpec | None = None,
        clock: StageClock | None = None,
    ) -> None:
        self._source = source
        self._detector = detector
        self._recogniser = recogniser
        self._spec = spec or PipelineSpec()
        self._clock = clock or StageClock()
        self._align = (recogniser.runner.preprocess if recogniser else PreprocessSpec()).align
        self._tracker = FaceTracker()
        self._analyzers: dict[int, FaceAnalyzer] = {}
        self._followers: dict[int, FaceFollower] = {}
        self._in_view: tuple[int, ...] = ()
        self._next_landmarks_s = 0.0
        self._times_s: deque[float] = deque(maxlen=_RATE_WINDOW)
        self._next_index = 0
        self._next_stats_s = _STATS_INTERVAL_S
        self._last: Moment | None = None
        self.tally = Tally()

    @property
    def align(self) -> AlignSpec:
        """Geometry of the crops."""
        return self._align

    @property
    def threshold(self) -> float:
        """Score from which a movement is followed."""
        return self._spec.spot.threshold

    @property
    def lookback_s(self) -> float:
        """How far in the past an event may begin when it is reported."""
        return self._spec.spot.lookback_s

    @property
    def fps_measured(self) -> float | None:
        """(N - 1) / span of the last frames' media time; None before the second frame."""
        if len(self._times_s) < 2:
            return None
        return (len(self._times_s) - 1) / (self._times_s[-1] - self._times_s[0])

    def process(self, frame: Frame) -> list[Event]:
        """Take the next frame of the source."""
        return list(self.step(frame).events)

    def step(self, frame: Frame) -> Step:
        """Like :meth:`process`, with the faces in view for whoever draws them."""
        now = Moment(frame.index, frame.t_s)
        self._times_s.append(frame.t_s)
        self.tally.frames += 1
        self.tally.dropped += frame.index - self._next_index
        self._next_index = frame.index + 1
        self._last = now
        events: list[Event] = []
        followed = None if self._landmarks_due(frame.t_s) else self._follow(frame, now)
        samples = self._see(frame, now, events) if followed is None else followed
        views: list[FaceView] = []
        for face_id, sample in self._with_overlaps(samples).items():
            analyzer = self._analyzers[face_id]
            with self._clock.stage("spot"):
                events += analyzer.push(sample)
            views.append(FaceView(face_id, self._followers[face_id].box_px, analyzer.score, analyzer.active))
        if frame.t_s >= self._next_stats_s:
            events.append(self._stats(now, len(views)))
            self._next_stats_s = frame.t_s + _STATS_INTERVAL_S
        self._count(events)
        return Step(frame, tuple(views), tuple(events))

    def gap(self) -> list[Event]:
        """The source was interrupted: every face is given up, every open movement closed.

        What comes after a gap is never compared with what came before it.
        """
        events = self._give_up_all()
        self._times_s.clear()
        self._next_landmarks_s = 0.0
        return events

    def finish(self) -> list[Event]:
        """End of the source: every face is given up, every open movement closed."""
        events = self._give_up_all()
        if self._last is not None:
            events.append(self._stats(self._last, 0))
        return events

    def _give_up_all(self) -> list[Event]:
        events: list[Event] = []
        for face_id, last_seen in self._tracker.close():
            events += self._give_up(face_id, last_seen)
        self._count(events)
        return events

    def _landmarks_due(self, t_s: float) -> bool:
        """Now and then; in every frame while a movement is followed, whose gates want to know of eyes and mouth."""
        moving = any(self._analyzers[face_id].active for face_id in self._in_view)
        return moving or t_s >= self._next_landmarks_s - 1e-6

    def _follow(self, frame: Frame, now: Moment) -> dict[int, FaceSample] | None:
        """All faces in view without landmarks; None where one of them cannot be followed."""
        samples: dict[int, FaceSample] = {}
        with self._clock.stage("follow"):
            for face_id in self._in_view:
                sample = self._followers[face_id].follow(frame)
                if sample is None:
                    return None
                samples[face_id] = sample
        self._tracker.carry(now, {face_id: Box(*self._followers[face_id].box_px) for face_id in samples})
        return samples

    def _see(self, frame: Frame, now: Moment, events: list[Event]) -> dict[int, FaceSample]:
        """The faces in view by their landmarks; tells which are new and which are gone."""
        self._next_landmarks_s = frame.t_s + self._spec.landmark_interval_s
        with self._clock.stage("landmarks"):
            found = self._detector.detect(frame)
        update = self._tracker.update(now, found)
        self.tally.faces = self._tracker.identities
        for face_id, last_seen in update.lost:
            events += self._give_up(face_id, last_seen)
        samples: dict[int, FaceSample] = {}
        for tracked in update.faces:
            if tracked.is_new:
                iod_px = interocular_distance_px(tracked.face.landmarks_px)
                events.append(FaceNew(self._source, tracked.face_id, now, iod_px))
                self._analyzers[tracked.face_id] = self._analyzer(tracked.face_id)
                self._followers[tracked.face_id] = FaceFollower(self._align)
            with self._clock.stage("follow"):
                samples[tracked.face_id] = self._followers[tracked.face_id].see(frame, tracked.face)
        self._in_view = tuple(samples)
        return samples

    def _with_overlaps(self, samples: dict[int, FaceSample]) -> dict[int, FaceSample]:
        """The samples, each told how much of its face another one covers."""
        if len(samples) < 2:
            return samples
        boxes = {face_id: Box(*self._followers[face_id].box_px) for face_id in samples}
        covered = {
            face_id: max(box.covered_by(other) for other_id, other in boxes.items() if other_id != face_id)
            for face_id, box in boxes.items()
        }
        return {face_id: replace(sample, overlap=covered[face_id]) for face_id, sample in samples.items()}

    def _analyzer(self, face_id: int) -> FaceAnalyzer:
        return FaceAnalyzer(self._source, face_id, self._align, self._spec.spot, self._spec.gates, self._recogniser)

    def _give_up(self, face_id: int, last_seen: Moment) -> list[Event]:
        analyzer = self._analyzers.pop(face_id)
        del self._followers[face_id]
        self._in_view = tuple(other for other in self._in_view if other != face_id)
        return [*analyzer.flush(), FaceLost(self._source, face_id, last_seen)]

    def _stats(self, now: Moment, faces_in_view: int) -> Stats:
        return Stats(self._source, now, self.tally.frames, self.tally.dropped, faces_in_view, self.fps_measured)

    def _count(self, events: list[Event]) -> None:
        self.tally.events += sum(isinstance(event, MeEnd) for event in events)
        self.tally.rejected += sum(isinstance(event, MeRejected) for event in events)


def analyse(frames: Iterable[Frame], recogniser: EventRecogniser) -> Iterator[Step]:
    """Frames to steps, lazily. Call ``recogniser.finish()`` afterwards for what the end of the source closes."""
    for frame in frames:
        yield recogniser.step(frame)
