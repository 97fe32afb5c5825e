"""Online spotting: onset, apex and offset by the magnitude of the difference to an onset reference.

Causal and in seconds. Two differences are taken, both as displacement left over after the head's own motion
(:mod:`tsfmicro.motion`):

* *trigger*: each frame against the one 0.17 s earlier. A region that moved more than its own recent baseline allows
  starts a candidate;
* *time course*: every later frame against an anchor 0.25 s before the trigger. It rises at the onset, peaks at the
  apex and returns at the offset.

::

    anchor      onset  trigger  apex      offset  confirmed
    |-----------|------|--------|---------|-------|
                 <-- difference to anchor -->
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TypeAlias

import numpy as np

from tsfmicro.align import AlignSpec
from tsfmicro.errors import ContractError
from tsfmicro.motion import REGIONS, traced_displacement
from tsfmicro.realtime.baseline import RobustBaseline
from tsfmicro.realtime.course import Course, measure_course
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.values import Float64Array, Interval, Moment


@dataclass(frozen=True, slots=True)
class SpotSpec:
    """Every constant of the spotter, in seconds and percent of the inter-ocular distance."""

    lag_s: float = 0.17
    """Between the two frames of the trigger difference."""
    anchor_s: float = 0.25
    """How long before the trigger the onset reference is taken."""
    baseline_s: float = 4.0
    """Memory of the running baseline."""
    calibration_s: float = 1.0
    """A new face is only watched for this long before it can trigger."""
    threshold: float = 2.5
    """Robust z-score of the strongest region that starts a candidate."""
    noise_floor_percent_iod: float = 0.35
    """Added to the baseline's spread, so that a perfectly still face does not trigger on nothing."""
    apex_confirm_s: float = 0.10
    """An apex stands once nothing larger came for this long; bounds the lookahead."""
    max_course_s: float = 1.2
    """A movement that has not returned by then is not a micro-expression."""

    def __post_init__(self) -> None:
        if min(astuple(self)) <= 0 or self.anchor_s < self.lag_s:
            raise ContractError(f"{self} cannot spot: expected positive numbers and anchor_s >= lag_s")

    @property
    def lookback_s(self) -> float:
        """How far in the past a finished movement may begin."""
        return self.anchor_s + self.max_course_s


@dataclass(frozen=True, slots=True)
class Started:
    """A region crossed the threshold."""

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
    """Everything from the anchor to the confirmation, in order."""
    traces: Float64Array
    """(N, R) displacement of each of them against the first, by region, percent of the inter-ocular distance."""
    confirmed: Moment

    def sample_at(self, moment: Moment) -> FaceSample:
        """The sample of one instant of this movement."""
        return next(sample for sample in self.samples if sample.moment == moment)


Signal: TypeAlias = Started | ApexConfirmed | Finished


@dataclass(slots=True, eq=False)
class _Candidate:
    number: int
    score: float
    samples: list[FaceSample]
    """From the anchor on."""
    traces: list[Float64Array]
    """(R,) displacement of each sample against the anchor."""
    apex_told: bool = False


class FaceSpotter:
    """Spots the movements of one face.

    ``push`` takes the samples in order of time and answers with what became known; ``flush`` ends the face. A
    finished movement lies at most ``lookback_s`` in the past.
    """

    def __init__(self, spec: SpotSpec, align: AlignSpec) -> None:
        self._spec = spec
        self._align = align
        self._recent: deque[FaceSample] = deque()
        self._baseline = RobustBaseline(len(REGIONS), spec.baseline_s)
        self._candidate: _Candidate | None = None
        self._candidates = 0
        self._armed = False
        self._rest_until_s = 0.0
        self._began_s: float | None = None
        self.score = 0.0
        """Robust z-score of the last sample's strongest region."""

    @property
    def lookback_s(self) -> float:
        """How far in the past a finished movement may begin."""
        return self._spec.lookback_s

    @property
    def active(self) -> bool:
        """True while a candidate is being followed."""
        return self._candidate is not None

    def push(self, sample: FaceSample) -> list[Signal]:
        """Take the next sample of this face.

        Raises:
            ContractError: if it is not later than the one before.
        """
        if self._recent and sample.moment.t_s <= self._recent[-1].moment.t_s:
            raise ContractError(f"sample at {sample.moment.t_s} s follows one at {self._recent[-1].moment.t_s} s")
        if self._began_s is None:
            self._began_s = sample.moment.t_s
        self._recent.append(sample)
        horizon_s = sample.moment.t_s - self._spec.anchor_s - self._spec.lag_s
        while len(self._recent) > 2 and self._recent[1].moment.t_s <= horizon_s:
            self._recent.popleft()
        signals: list[Signal] = []
        region = self._update_score(sample)
        if self._candidate is not None:
            signals += self._follow(self._candidate, sample)
        elif region is not None:
            signals += self._maybe_start(sample, region)
        return signals

    def flush(self) -> list[Signal]:
        """End the face: a movement that is still going on is finished as it stands."""
        candidate, self._candidate = self._candidate, None
        return [] if candidate is None else self._finish(candidate)

    def _update_score(self, sample: FaceSample) -> int | None:
        """Score the sample against the one a lag earlier; the strongest region, or None while it is too early."""
        earlier = _latest_before(self._recent, sample.moment.t_s - self._spec.lag_s)
        if earlier is None:
            return None
        moved = traced_displacement(earlier.patch, sample.patch, self._align).residual
        scores = self._baseline.scores(moved, self._spec.noise_floor_percent_iod)
        self._baseline.add(sample.moment.t_s, moved)
        strongest = int(scores.argmax())
        self.score = float(scores[strongest])
        began_s = sample.moment.t_s if self._began_s is None else self._began_s
        if sample.moment.t_s - began_s < self._spec.calibration_s:
            return None
        return strongest

    def _maybe_start(self, sample: FaceSample, region: int) -> list[Signal]:
        if self.score < self._spec.threshold:
            self._armed = True  # the falling phase of the last movement is over
            return []
        if not self._armed or sample.moment.t_s < self._rest_until_s:
            return []
        self._armed = False
        anchor = _latest_before(self._recent, sample.moment.t_s - self._spec.anchor_s)
        since = [s for s in self._recent if anchor is None or s.moment.t_s >= anchor.moment.t_s]
        self._candidates += 1
        candidate = _Candidate(self._candidates, self.score, since, [])
        candidate.traces = [self._against_anchor(candidate, s) for s in since]
        self._candidate = candidate
        return [Started(candidate.number, sample.moment, self.score, REGIONS[region])]

    def _against_anchor(self, candidate: _Candidate, sample: FaceSample) -> Float64Array:
        return traced_displacement(candidate.samples[0].patch, sample.patch, self._align).residual

    def _follow(self, candidate: _Candidate, sample: FaceSample) -> list[Signal]:
        candidate.samples.append(sample)
        candidate.traces.append(self._against_anchor(candidate, sample))
        candidate.score = max(candidate.score, self.score)
        course = self._course(candidate)
        signals: list[Signal] = []
        apex = candidate.samples[course.apex].moment
        if not candidate.apex_told and sample.moment.t_s - apex.t_s >= self._spec.apex_confirm_s - 1e-9:
            candidate.apex_told = True
            onset = candidate.samples[course.onset].moment
            signals.append(ApexConfirmed(candidate.number, onset, apex, sample.moment))
        elapsed_s = sample.moment.t_s - candidate.samples[0].moment.t_s
        if (candidate.apex_told and course.offset is not None) or elapsed_s > self.lookback_s:
            self._candidate = None
            signals += self._finish(candidate)
        return signals

    def _course(self, candidate: _Candidate) -> Course:
        times_s = np.array([s.moment.t_s for s in candidate.samples])
        return measure_course(times_s, np.stack(candidate.traces))

    def _finish(self, candidate: _Candidate) -> list[Signal]:
        course = self._course(candidate)
        samples = tuple(candidate.samples)
        last = len(samples) - 1
        interval = Interval(
            onset=samples[course.onset].moment,
            apex=samples[course.apex].moment,
            offset=samples[last if course.offset is None else course.offset].moment,
        )
        # Until a lag has passed, the trigger still sees the way back of this movement.
        self._rest_until_s = interval.offset.t_s + self._spec.lag_s
        return [
            Finished(
                candidate=candidate.number,
                interval=interval,
                region=REGIONS[course.region],
                magnitude=course.magnitude,
                score=candidate.score,
                returned=course.offset is not None,
                samples=samples,
                traces=np.stack(candidate.traces),
                confirmed=samples[last].moment,
            )
        ]


def _latest_before(samples: Sequence[FaceSample], t_s: float) -> FaceSample | None:
    """The latest sample at or before a time, allowing for rounding of a microsecond."""
    for sample in reversed(samples):
        if sample.moment.t_s <= t_s + 1e-6:
            return sample
    return None
