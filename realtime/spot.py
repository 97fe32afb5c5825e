"""Online spotting: onset, apex and offset by the magnitude of the difference to an onset reference.

Causal and in seconds. The difference is displacement: where each facial region is against where it was, the head's own
motion taken out (:mod:`tsfmicro.realtime.trajectory`). Three things are read off it:

* *score*: how far each region moved within 0.17 s, as a robust z-score over the past seconds. It tells early that
  something moves; what it is, only the apex tells;
* *prominence*: how far a region stood out, 0.1 s ago, over the straight line between where it was before and where it
  is now: a matched filter for "there and back". What drifts, a head that turns or a slow expression, has none. What
  stood out more than the face's own recent past allows, and moved no further since, has an apex there;
* *course*: the way of what stood out. Onset and offset are the feet of its two flanks.

::

    onset  started  apex   confirmed    offset   settled
    |------|--------|------|------------|--------|
                     <0.1 s>

What is watched are known combinations of action units, each by weights of all regions in which the usual movement of
the face cancels (:mod:`tsfmicro.realtime.pattern_filter`): a mouth that talks must not hide an expression.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from typing import TypeAlias

import numpy as np

from tsfmicro.align import AlignSpec
from tsfmicro.errors import ContractError
from tsfmicro.motion import REGIONS
from tsfmicro.realtime.baseline import RobustBaseline
from tsfmicro.realtime.course import Course, measure_course, smoothed
from tsfmicro.realtime.past import Past
from tsfmicro.realtime.pattern_filter import PatternFilter
from tsfmicro.realtime.prominence import places_at, prominences
from tsfmicro.realtime.proposals import PartsOfTheFace, Proposal, Proposer
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.shape import Shape, UsualMoves, unrest
from tsfmicro.realtime.trajectory import RegionTrajectory
from tsfmicro.values import Float64Array, Interval, Moment

_ROSE, _FELL = 0.5, 0.1
"""Share of its prominence by which an apex rose, and of its rise by which it must have fallen when it is confirmed."""


@dataclass(frozen=True, slots=True)
class SpotSpec:
    """Every constant of the spotter, in seconds and percent of the inter-ocular distance."""

    lag_s: float = 0.17
    """Between the two places that the score compares."""
    key_s: float = 0.25
    """Age of the reference that places are measured against."""
    baseline_s: float = 4.0
    """Memory of the running baselines."""
    calibration_s: float = 1.0
    """A new face is only watched for this long before anything is said of it."""
    threshold: float = 1.5
    """How far, in what is usual, a pattern's or a region's prominence must stand out to make a candidate."""
    start_score: float = 3.0
    """Robust z-score of a region's movement within ``lag_s`` that is told at once."""
    noise_floor_percent_iod: float = 0.15
    """Added to the baseline's spread, so that a perfectly still face does not trigger on nothing."""
    apex_confirm_s: float = 0.10
    """An apex stands once nothing larger came for this long; bounds the lookahead."""
    max_rise_s: float = 0.45
    """How far before its apex the onset of a movement is looked for."""
    max_fall_s: float = 0.50
    """A movement that has not returned so long after its apex is given up."""
    apart_s: float = 0.12
    """Two apexes of one pattern, or of one part of the face, that are nearer are one."""

    def __post_init__(self) -> None:
        if min(astuple(self)) <= 0 or self.max_fall_s < self.apex_confirm_s:
            raise ContractError(f"{self} cannot spot: expected positive numbers and max_fall_s >= apex_confirm_s")

    @property
    def lookback_s(self) -> float:
        """How far in the past a finished movement may begin."""
        return self.max_rise_s + 2 * self.max_fall_s


@dataclass(frozen=True, slots=True)
class Started:
    """A region moves; told early where the movement is quick, at its confirmed apex at the latest."""

    candidate: int
    at: Moment
    score: float
    region: str


@dataclass(frozen=True, slots=True)
class ApexConfirmed:
    """The difference to the onset reference has passed its maximum."""

    candidate: int
    onset: Moment
    apex: Moment
    confirmed: Moment


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A movement that rose and came back, or did not; the gates decide what it is."""

    candidate: int
    interval: Interval
    region: str
    magnitude: float
    """Peak displacement, percent of the inter-ocular distance."""
    score: float
    returned: bool
    """False where the movement did not come back in time, or the face or stream ended first."""
    samples: tuple[FaceSample, ...]
    """Everything from before the onset to the confirmation, in order."""
    traces: Float64Array
    """(N, R) displacement of each of them against the first, by region, percent of the inter-ocular distance."""
    confirmed: Moment
    shape: Shape | None = None
    overshadowed: bool = False
    """True where another part of the face made the same movement more clearly."""

    def sample_at(self, moment: Moment) -> FaceSample:
        """The sample of one instant of this movement."""
        return next(sample for sample in self.samples if sample.moment == moment)


Signal: TypeAlias = Started | ApexConfirmed | Finished
Merit: TypeAlias = Callable[[Finished], float]
"""Which of several tellings of one movement is the best; the highest is kept."""


@dataclass(frozen=True, slots=True)
class _Alert:
    """A movement that was told of before its apex is known."""

    number: int
    region: int
    at: Moment
    score: float


@dataclass(slots=True, eq=False)
class _Candidate:
    number: int
    proposal: Proposal
    apex_s: float
    done: Finished | None = None
    """Set once it has settled, while another part of the face may still make the same movement."""
    merit: float = 0.0


class FaceSpotter:
    """Spots the movements of one face.

    ``push`` takes the samples in order of time and answers with what became known; ``flush`` ends the face. A
    finished movement lies at most ``lookback_s`` in the past.

    Args:
        candidates: how many of its movements were numbered before.
        merit: of movements that overlap, the one for which this is highest overshadows the others.
        patterns: (P, R, 2) how regions move together in expressions; without, parts of the face are watched apart.
    """

    def __init__(
        self,
        spec: SpotSpec,
        align: AlignSpec,
        candidates: int = 0,
        merit: Merit = operator.attrgetter("score"),
        patterns: Float64Array | None = None,
    ) -> None:
        self._spec = spec
        self._merit = merit
        self._trajectory = RegionTrajectory(align, spec.key_s)
        self._samples: deque[FaceSample] = deque()
        self._places = Past((len(REGIONS), 2))
        """(R, 2) place of every region at each of the samples."""
        self._moves = RobustBaseline(len(REGIONS), spec.baseline_s)
        self._usual = RobustBaseline(len(REGIONS), spec.baseline_s)
        self._usual_moves = UsualMoves(self.lookback_s)
        self._open: list[_Candidate] = []
        self._alert: _Alert | None = None
        self._armed = False
        """True once the last movement that was told of is over."""
        self.candidates = candidates
        self._proposer: Proposer = (
            PartsOfTheFace(spec.threshold) if patterns is None else PatternFilter(patterns, spec.threshold)
        )
        self._last_apex_s = [-np.inf] * self._proposer.streams
        self._looked_s = -np.inf
        """Time of the last sample that was held for an apex."""
        self._known_s = np.inf
        """From when on it is known how the face moves."""
        self.score = 0.0
        """Robust z-score of the last sample's strongest region."""

    @property
    def lookback_s(self) -> float:
        """How far in the past a finished movement may begin."""
        return self._spec.lookback_s

    @property
    def calibrated(self) -> bool:
        """True once it is known how this face moves when nothing happens; before that nothing is said of it."""
        return bool(self._samples) and self._samples[-1].moment.t_s >= self._known_s

    @property
    def active(self) -> bool:
        """True while a movement is going on that may become an event."""
        return bool(self._open) or self._alert is not None or self.score >= self._spec.threshold

    def push(self, sample: FaceSample) -> list[Signal]:
        """Take the next sample of this face.

        Raises:
            ContractError: if it is not later than the one before.
        """
        now_s = sample.moment.t_s
        if self._samples and now_s <= self._samples[-1].moment.t_s:
            raise ContractError(f"sample at {now_s} s follows one at {self._samples[-1].moment.t_s} s")
        self._known_s = min(self._known_s, now_s + self._spec.calibration_s)
        self._samples.append(sample)
        self._places.add(now_s, self._trajectory.push(sample))
        while len(self._samples) > 2 and self._samples[1].moment.t_s <= now_s - self.lookback_s - self._spec.lag_s:
            self._samples.popleft()
            self._places.forget_first()
        times_s, places = self._places.times_s, self._places.values
        smooth = smoothed(places)
        signals = self._maybe_alert(self._update_score(times_s, places))
        signals += self._new_apexes(times_s, smooth)
        signals += self._drop_alert(times_s, places, ended=False)
        if self._open:
            signals += self._close(times_s, smooth, ended=False)
        return signals

    def flush(self) -> list[Signal]:
        """End the face: a movement that is still going on is finished as it stands."""
        if not self._open and self._alert is None:
            return []
        times_s, places = self._places.times_s, self._places.values
        signals = self._drop_alert(times_s, places, ended=True)
        return signals + self._close(times_s, smoothed(places), ended=True)

    def _update_score(self, times_s: Float64Array, places: Float64Array) -> int | None:
        """How far every region moved within a lag, against what is usual; the strongest, None while it is too early."""
        earlier_s = times_s[-1] - self._spec.lag_s
        if earlier_s < times_s[0] - 1e-6:
            return None
        away = places[-1] - places_at(times_s, places, earlier_s)
        moved = np.hypot(away[:, 0], away[:, 1])
        scores = self._moves.scores(moved, self._spec.noise_floor_percent_iod)
        self.score = float(scores.max())
        self._moves.add(float(times_s[-1]), moved)
        return int(scores.argmax())

    def _maybe_alert(self, strongest: int | None) -> list[Signal]:
        """Tell of a quick movement at once; one at a time, and none while one that was told of goes on."""
        now = self._samples[-1].moment
        if self.score < self._spec.start_score:
            self._armed = not self._open and self._alert is None
            return []
        if strongest is None or not self.calibrated or not self._armed or self._alert is not None or self._open:
            return []
        self._armed = False
        self.candidates += 1
        self._alert = _Alert(self.candidates, strongest, now, self.score)
        return [Started(self._alert.number, now, self.score, REGIONS[strongest])]

    def _drop_alert(self, times_s: Float64Array, places: Float64Array, *, ended: bool) -> list[Signal]:
        """Close a movement that was told of and had no apex within the time of a rise: it did not return."""
        alert = self._alert
        if alert is None or not (ended or times_s[-1] - alert.at.t_s > self._spec.max_rise_s):
            return []
        self._alert = None
        first = int(np.searchsorted(times_s, alert.at.t_s - self._spec.lag_s - 1e-9))
        since = places[first:] - places[first]
        traces = np.hypot(since[..., 0], since[..., 1])
        samples = tuple(self._samples)[first:]
        begins = next(i for i, sample in enumerate(samples) if sample.moment == alert.at)
        apex = begins + int(traces[begins:, alert.region].argmax())
        return [
            Finished(
                candidate=alert.number,
                interval=Interval(alert.at, samples[apex].moment, samples[-1].moment),
                region=REGIONS[alert.region],
                magnitude=float(traces[apex, alert.region]),
                score=alert.score,
                returned=False,
                samples=samples,
                traces=traces,
                confirmed=samples[-1].moment,
            )
        ]

    def _new_apexes(self, times_s: Float64Array, places: Float64Array) -> list[Signal]:
        """Hold every sample for an apex once it is old enough to be confirmed."""
        signals: list[Signal] = []
        first = int(times_s.searchsorted(self._looked_s, side="right"))
        old_enough = int(times_s.searchsorted(times_s[-1] - self._spec.apex_confirm_s + 1e-6, side="right"))
        for index in range(first, old_enough):
            self._looked_s = float(times_s[index])
            stood_out = prominences(times_s, places, index)
            if stood_out is None:
                continue
            size = np.hypot(stood_out[:, 0], stood_out[:, 1])
            scores = self._usual.scores(size, self._spec.noise_floor_percent_iod)
            self._usual.add(self._looked_s, size)
            self._usual_moves.add(self._looked_s, stood_out)
            for proposal in self._proposer.propose(self._looked_s, stood_out, scores):
                if self._looked_s >= self._known_s:
                    signals += self._maybe_start(proposal, times_s, places, index)
        return signals

    def _maybe_start(self, proposal: Proposal, times_s: Float64Array, places: Float64Array, index: int) -> list[Signal]:
        """A candidate, if what stands out here moved no further since."""
        apex_s = float(times_s[index])
        if apex_s - self._last_apex_s[proposal.stream] < self._spec.apart_s:
            return []
        near = np.abs(times_s - apex_s) <= self._spec.apex_confirm_s + 1e-6
        trace = _trace(places, proposal)
        if trace[index] < trace[near].max() - 1e-12:
            return []
        alert = self._alert
        number = self.candidates + 1 if alert is None else alert.number
        candidate = _Candidate(number, proposal, apex_s)
        course = self._course(candidate, times_s, places)[0]
        # The feet of a movement stand out too, the other way: there nothing rose before, or nothing falls after.
        if course.rise < _ROSE * proposal.size or course.fall < _FELL * course.rise:
            return []
        self._last_apex_s[proposal.stream] = apex_s
        self.candidates = max(self.candidates, number)
        self._open.append(candidate)
        onset = self._sample_near(min(course.onset_s, apex_s)).moment
        now = self._samples[-1].moment
        confirmed = ApexConfirmed(number, onset, self._samples[index].moment, now)
        self._alert = None
        return (
            [Started(number, now, proposal.score, REGIONS[proposal.region]), confirmed]
            if alert is None
            else [confirmed]
        )

    def _course(
        self, candidate: _Candidate, times_s: Float64Array, places: Float64Array
    ) -> tuple[Course, Float64Array, Float64Array]:
        """Course of a candidate so far, and the times and the trace it was read off."""
        start = int(np.searchsorted(times_s, candidate.apex_s - self._spec.max_rise_s - 1e-9))
        end = int(np.searchsorted(times_s, candidate.apex_s + self._spec.max_fall_s + 1e-9))
        part_s, trace = times_s[start:end], _trace(places[start:end], candidate.proposal)
        return measure_course(part_s, trace, int(np.searchsorted(part_s, candidate.apex_s - 1e-9))), part_s, trace

    def _close(self, times_s: Float64Array, places: Float64Array, *, ended: bool) -> list[Signal]:
        """Finish what has settled or taken too long; of movements that overlap, the one of most merit is it."""
        now_s = float(times_s[-1])
        for candidate in self._open:
            if candidate.done is None:
                course, part_s, trace = self._course(candidate, times_s, places)
                late = now_s - candidate.apex_s >= self._spec.max_fall_s - 1e-9
                if course.settled or late or ended:
                    candidate.done = self._finish(candidate, course, part_s, trace, times_s, places)
                    candidate.merit = self._merit(candidate.done)
        ready = [c for c in self._open if c.done is not None]
        waiting = [c for c in self._open if c.done is None]
        signals: list[Signal] = []
        for candidate in ready:
            finished = candidate.done
            if finished is None or (not ended and any(_may_be_same(finished, other) for other in waiting)):
                continue
            overshadowed = any(_is_better(rival, candidate, finished) for rival in ready)
            self._open.remove(candidate)
            signals.append(replace(finished, confirmed=self._samples[-1].moment, overshadowed=overshadowed))
        return signals

    def _finish(
        self,
        candidate: _Candidate,
        course: Course,
        part_s: Float64Array,
        trace: Float64Array,
        times_s: Float64Array,
        places: Float64Array,
    ) -> Finished:
        apex = self._sample_near(candidate.apex_s)
        onset, offset = self._sample_near(course.onset_s), self._sample_near(course.offset_s)
        interval = Interval(
            onset=min(onset.moment, apex.moment, key=lambda m: m.t_s),
            apex=apex.moment,
            offset=max(offset.moment, apex.moment, key=lambda m: m.t_s),
        )
        share = (candidate.apex_s - course.onset_s) / max(course.offset_s - course.onset_s, 1e-9)
        ends = places_at(times_s, places, course.onset_s), places_at(times_s, places, course.offset_s)
        first = int(np.searchsorted(times_s, course.onset_s - self._spec.max_rise_s / 2))
        since = places[first:] - places[first]
        return Finished(
            candidate=candidate.number,
            interval=interval,
            region=REGIONS[candidate.proposal.region],
            magnitude=min(course.rise, course.fall) if course.returned else course.rise,
            score=candidate.proposal.score,
            returned=course.returned,
            samples=tuple(self._samples)[first:],
            traces=np.hypot(since[..., 0], since[..., 1]),
            confirmed=self._samples[-1].moment,
            shape=Shape(
                moves=places_at(times_s, places, candidate.apex_s) - (1 - share) * ends[0] - share * ends[1],
                spread=self._usual.spread.copy(),
                together=self._usual_moves.together(course.onset_s, candidate.apex_s),
                rise=course.rise,
                fall=course.fall,
                before=unrest(trace[part_s <= course.onset_s], course.rise),
                after=unrest(trace[part_s >= course.offset_s], course.rise),
            ),
        )

    def _sample_near(self, t_s: float) -> FaceSample:
        return min(self._samples, key=lambda sample: abs(sample.moment.t_s - t_s))


def _trace(places: Float64Array, proposal: Proposal) -> Float64Array:
    """(N,) course of what was proposed, percent of the inter-ocular distance."""
    trace: Float64Array = places.reshape(len(places), -1) @ proposal.weights.ravel()
    return trace


def _is_better(rival: _Candidate, candidate: _Candidate, finished: Finished) -> bool:
    """Whether a rival tells of the same movement and has more merit; the earlier one where they are equal."""
    if rival is candidate or rival.done is None or not same_movement(finished, rival.done):
        return False
    return (rival.merit, -rival.number) > (candidate.merit, -candidate.number)


def same_movement(one: Finished, other: Finished) -> bool:
    """Whether two movements overlap for the greater part of the shorter one."""
    shared = min(one.interval.offset.t_s, other.interval.offset.t_s) - max(
        one.interval.onset.t_s, other.interval.onset.t_s
    )
    return shared > 0.5 * min(one.interval.duration_s, other.interval.duration_s) and shared > 0


def _may_be_same(finished: Finished, other: _Candidate) -> bool:
    return finished.interval.onset.t_s <= other.apex_s <= finished.interval.offset.t_s
