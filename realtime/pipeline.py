"""The whole pure pipeline, frames to events: what files, tests, benchmarks and live sessions all drive."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tsfmicro.align import AlignSpec
from tsfmicro.landmarks import LandmarkDetector
from tsfmicro.preprocess import Preprocessor, PreprocessSpec
from tsfmicro.realtime.analyzer import Closing, FaceAnalyzer, Finding, Unnamed
from tsfmicro.realtime.events import Event, FaceLost, FaceNew, MeEnd, MeRejected, Stats
from tsfmicro.realtime.gates import GateSpec
from tsfmicro.realtime.naming import name
from tsfmicro.realtime.recognise import Namer
from tsfmicro.realtime.sliding import SlideSpec
from tsfmicro.realtime.spot import SpotSpec
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.realtime.watch import FaceWatch, Sight, Watch
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
    calibrated: bool = True
    """False while it is only watched, to learn how it usually moves."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What one frame shows, before anything in it is named."""

    frame: Frame
    faces: tuple[FaceView, ...]
    findings: tuple[Finding, ...]
    sight: Sight | None = None

    @property
    def unnamed(self) -> int:
        """Movements about which the recogniser is to be asked."""
        return sum(isinstance(found, Unnamed) for found in self.findings)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one frame brought."""

    frame: Frame
    faces: tuple[FaceView, ...]
    events: tuple[Event, ...]
    sight: Sight | None = None
    """What the events were made of, for whoever keeps it; large, so let go of it soon."""
    naming: int = 0
    """Movements of this frame that are still being named; they come with a later step, or with the end."""


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
    close_interval_s: float = 1 / 75
    """While something moves: every frame of a camera of 60 frames/s or fewer, and as often of a faster one. Eyes and
    mouth are no quicker, and landmarks cost as much as three frames without them."""
    slide: SlideSpec | None = None
    """When windows are named without asking the spotter, by a recogniser that takes windows; None for never."""


class EventRecogniser:
    """Push frames of one source, get events. No threads, no clock: the same frames give the same events.

    Args:
        source: name that the events carry.
        detector: finds the faces; closed by its owner, not here.
        recogniser: None spots without naming emotions.
        spec: constants.
        clock: times the stages; the events do not depend on it.
        watch: where sights come from, instead of the detector's faces.
        keep: given every movement as soon as it is over, before its event.
    """

    def __init__(
        self,
        source: str,
        detector: LandmarkDetector,
        recogniser: Namer | None = None,
        spec: PipelineSpec | None = None,
        clock: StageClock | None = None,
        watch: Watch | None = None,
        keep: Callable[[Closing], None] | None = None,
    ) -> None:
        self._source = source
        self._keep = keep
        self._recogniser = recogniser
        self._spec = spec or PipelineSpec()
        self._clock = clock or StageClock()
        self._align = (recogniser.preprocess if recogniser else PreprocessSpec()).align
        self._watch = watch or FaceWatch(
            detector, self._align, self._spec.landmark_interval_s, self._spec.close_interval_s, self._clock
        )
        self._analyzers: dict[int, FaceAnalyzer] = {}
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
    def min_fps(self) -> float:
        """Frames a second below which every movement is rejected."""
        return self._spec.gates.min_fps

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
        observed = self.observe(frame)
        return Step(frame, observed.faces, name([observed.findings], self._recogniser)[0], observed.sight)

    def observe(self, frame: Frame) -> Observation:
        """Take the next frame, and leave the naming to :func:`~tsfmicro.realtime.naming.name`.

        For whoever has several sources, whose movements can be named together.
        """
        # The gates of a movement that is being followed want to know of eyes and mouth in every frame.
        moving = any(analyzer.active for analyzer in self._analyzers.values())
        sight = self._watch.look(frame, closely=moving)
        return self._judge(frame, sight)

    def recalibrate(self) -> None:
        """From the next frame on, learn again how every face in view usually moves."""
        self._watch.recalibrate()

    def _judge(self, frame: Frame, sight: Sight) -> Observation:
        """From what a frame shows to what it means."""
        self._times_s.append(sight.at.t_s)
        self.tally.frames += 1
        self.tally.dropped += sight.at.frame - self._next_index
        self._next_index = sight.at.frame + 1
        self._last = sight.at
        findings: list[Finding] = []
        for face_id, last_seen in sight.lost:
            findings += self._give_up(face_id, last_seen)
        if sight.afresh:
            for analyzer in self._analyzers.values():
                findings += analyzer.recalibrate()
        views: list[FaceView] = []
        for face_id, face in sight.faces.items():
            if face.new_iod_px is not None:
                self.tally.faces += 1
                findings.append(FaceNew(self._source, face_id, sight.at, face.new_iod_px))
                self._analyzers[face_id] = self._analyzer(face_id)
            analyzer = self._analyzers[face_id]
            with self._clock.stage("spot"):
                findings += analyzer.push(face.sample)
            views.append(FaceView(face_id, face.box_px, analyzer.score, analyzer.active, analyzer.calibrated))
        if sight.at.t_s >= self._next_stats_s:
            findings.append(self._stats(sight.at, len(views)))
            self._next_stats_s = sight.at.t_s + _STATS_INTERVAL_S
        self._count(findings)
        return Observation(frame, tuple(views), tuple(findings), sight)

    def gap(self) -> list[Event]:
        """The source was interrupted: every face is given up, every open movement closed.

        What comes after a gap is never compared with what came before it.
        """
        events = self._give_up_all()
        self._times_s.clear()
        return events

    def finish(self) -> list[Event]:
        """End of the source: every face is given up, every open movement closed."""
        events = self._give_up_all()
        if self._last is not None:
            events.append(self._stats(self._last, 0))
        return events

    def _give_up_all(self) -> list[Event]:
        findings: list[Finding] = []
        for face_id, last_seen in self._watch.forget():
            findings += self._give_up(face_id, last_seen)
        self._count(findings)
        return list(name([findings], self._recogniser)[0])

    def _analyzer(self, face_id: int) -> FaceAnalyzer:
        namer, spec = self._recogniser, self._spec
        preprocessor = None if namer is None else Preprocessor(namer.preprocess)
        window_frames = None if namer is None else namer.window_frames
        return FaceAnalyzer(
            self._source,
            face_id,
            self._align,
            spec.spot,
            spec.gates,
            preprocessor,
            self._keep,
            window_frames,
            spec.slide,
        )

    def _give_up(self, face_id: int, last_seen: Moment) -> list[Finding]:
        analyzer = self._analyzers.pop(face_id)
        return [*analyzer.flush(), FaceLost(self._source, face_id, last_seen)]

    def _stats(self, now: Moment, faces_in_view: int) -> Stats:
        return Stats(self._source, now, self.tally.frames, self.tally.dropped, faces_in_view, self.fps_measured)

    def _count(self, findings: list[Finding]) -> None:
        events = [found.event if isinstance(found, Unnamed) else found for found in findings]
        self.tally.events += sum(isinstance(event, MeEnd) for event in events)
        self.tally.rejected += sum(isinstance(found, MeRejected) for found in findings)


def analyse(frames: Iterable[Frame], recogniser: EventRecogniser) -> Iterator[Step]:
    """Frames to steps, lazily. Call ``recogniser.finish()`` afterwards for what the end of the source closes."""
    for frame in frames:
        yield recogniser.step(frame)
