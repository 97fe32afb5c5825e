"""The faces of one source over time: found now and then, identified, followed in every frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

from tsfmicro.align import AlignSpec, interocular_distance_px
from tsfmicro.landmarks import LandmarkDetector
from tsfmicro.landmarks.boxes import Box
from tsfmicro.realtime.follow import FaceFollower
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.realtime.track import FaceTracker
from tsfmicro.values import Frame, Moment


@dataclass(frozen=True, slots=True, eq=False)
class SeenFace:
    """One identity in one frame."""

    sample: FaceSample
    box_px: tuple[float, float, float, float]
    """Left, top, right, bottom in the frame."""
    new_iod_px: float | None = None
    """Inter-ocular distance in the first frame of this identity, frame pixels; None in every later one."""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What one frame shows: all that the events of a source are made of."""

    at: Moment
    lost: tuple[tuple[int, Moment], ...]
    """Identities given up at this frame, and the last frame each was seen in."""
    faces: Mapping[int, SeenFace]
    """By identity, ascending."""
    afresh: bool = False
    """True where somebody asked to learn again how the faces usually move."""


class Watch(Protocol):
    """Turns the frames of one source into sights."""

    def look(self, frame: Frame, closely: bool) -> Sight:
        """Take the next frame; ``closely`` while a movement is being followed."""
        ...

    def recalibrate(self) -> None:
        """Have the next sight say ``afresh``."""
        ...

    def forget(self) -> tuple[tuple[int, Moment], ...]:
        """Give up every identity; each with the last frame it was seen in."""
        ...


class FaceWatch:
    """Finds the faces now and then, and follows them in every frame; both at once where both are due.

    Args:
        detector: finds the faces; closed by its owner, not here.
        align: geometry of the crops.
        landmark_interval_s: how often landmarks are taken while nothing moves.
        close_interval_s: how often while something does.
        clock: times the stages.
    """

    def __init__(
        self,
        detector: LandmarkDetector,
        align: AlignSpec,
        landmark_interval_s: float,
        close_interval_s: float,
        clock: StageClock,
    ) -> None:
        self._detector = detector
        self._align = align
        self._interval_s, self._close_interval_s = landmark_interval_s, close_interval_s
        self._clock = clock
        self._tracker = FaceTracker()
        self._followers: dict[int, FaceFollower] = {}
        self._in_view: tuple[int, ...] = ()
        self._afresh = False
        self._beside: ThreadPoolExecutor | None = None
        self._landmarks_s = -math.inf
        """When they were taken last."""

    @property
    def identities(self) -> int:
        """Identities given so far."""
        return self._tracker.identities

    def look(self, frame: Frame, closely: bool) -> Sight:
        """Take the next frame.

        Args:
            frame: later than the one before.
            closely: take landmarks as often as a movement needs them.
        """
        now = Moment(frame.index, frame.t_s)
        due = frame.t_s - self._landmarks_s >= (self._close_interval_s if closely else self._interval_s) - 1e-6
        sight = (None if due else self._follow(frame, now)) or self._see(frame, now)
        afresh, self._afresh = self._afresh, False
        return replace(sight, afresh=True) if afresh else sight

    def recalibrate(self) -> None:
        """See :meth:`Watch.recalibrate`."""
        self._afresh = True

    def forget(self) -> tuple[tuple[int, Moment], ...]:
        """Give up every identity: the source ended or was interrupted."""
        self._followers, self._in_view, self._landmarks_s = {}, (), -math.inf
        if self._beside is not None:
            self._beside.shutdown()
            self._beside = None
        return self._tracker.close()

    def _follow(self, frame: Frame, now: Moment) -> Sight | None:
        """All faces in view without landmarks; None where one of them cannot be followed."""
        samples: dict[int, FaceSample] = {}
        with self._clock.stage("follow"):
            for face_id in self._in_view:
                sample = self._followers[face_id].follow(frame)
                if sample is None:
                    return None
                samples[face_id] = sample
        self._tracker.carry(now, {face_id: Box(*self._followers[face_id].box_px) for face_id in samples})
        return Sight(now, (), self._faces(samples, {}))

    def _see(self, frame: Frame, now: Moment) -> Sight:
        """The faces in view by their landmarks."""
        self._landmarks_s = frame.t_s
        with self._clock.stage("landmarks"):
            followed = self._follow_beside(frame)
            found = self._detector.detect(frame)
            if followed is not None:
                followed.result()
        update = self._tracker.update(now, found)
        for face_id, _ in update.lost:
            del self._followers[face_id]
        samples: dict[int, FaceSample] = {}
        new_iods_px: dict[int, float] = {}
        for tracked in update.faces:
            if tracked.is_new:
                new_iods_px[tracked.face_id] = interocular_distance_px(tracked.face.landmarks_px)
                self._followers[tracked.face_id] = FaceFollower(self._align)
            with self._clock.stage("follow"):
                samples[tracked.face_id] = self._followers[tracked.face_id].see(frame, tracked.face)
        self._in_view = tuple(samples)
        return Sight(now, update.lost, self._faces(samples, new_iods_px))

    def _follow_beside(self, frame: Frame) -> Future[None] | None:
        """Follow the faces in view while their landmarks are found: the two need nothing of each other."""
        followers = [self._followers[face_id] for face_id in self._in_view]
        if not followers:
            return None
        if self._beside is None:
            self._beside = ThreadPoolExecutor(1, "follow")

        def prepare() -> None:
            for follower in followers:
                follower.prepare(frame)

        return self._beside.submit(prepare)

    def _faces(self, samples: Mapping[int, FaceSample], new_iods_px: Mapping[int, float]) -> dict[int, SeenFace]:
        """The samples with their boxes, each told how much of its face another one covers."""
        boxes = {face_id: Box(*self._followers[face_id].box_px) for face_id in samples}
        faces = {}
        for face_id, sample in samples.items():
            others = [box for other_id, box in boxes.items() if other_id != face_id]
            covered = max((boxes[face_id].covered_by(box) for box in others), default=0.0)
            seen = replace(sample, overlap=covered) if covered else sample
            faces[face_id] = SeenFace(seen, self._followers[face_id].box_px, new_iods_px.get(face_id))
        return faces
