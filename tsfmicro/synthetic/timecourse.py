"""How a micro-expression rises and falls, and the truth that goes with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsfmicro.errors import ContractError


@dataclass(frozen=True, slots=True)
class TimeCourse:
    """Onset, apex and offset of one contraction, seconds of media time."""

    onset_s: float
    apex_s: float
    offset_s: float

    def __post_init__(self) -> None:
        if not 0 <= self.onset_s < self.apex_s < self.offset_s:
            raise ContractError(f"{self} is out of order; expected 0 <= onset < apex < offset")

    def contraction(self, t_s: float) -> float:
        """0 at rest, 1 at the apex: half a cosine up, half a cosine down."""
        if not self.onset_s < t_s < self.offset_s:
            return 0.0
        if t_s <= self.apex_s:
            phase = (t_s - self.onset_s) / (self.apex_s - self.onset_s)
        else:
            phase = (self.offset_s - t_s) / (self.offset_s - self.apex_s)
        return float(0.5 - 0.5 * np.cos(np.pi * phase))


@dataclass(frozen=True, slots=True)
class TrueEvent:
    """One micro-expression that was put into a clip."""

    course: TimeCourse
    emotion: str
    action_units: tuple[int, ...]
    amplitude_percent_iod: float
    """Peak displacement, percent of the inter-ocular distance."""


def random_course(rng: np.random.Generator, onset_s: float) -> TimeCourse:
    """A course with the phases of CASME II and SAMM: rise .10-.25 s, fall .13-.28 s, at most half a second in all."""
    rise_s = rng.uniform(0.10, 0.25)
    fall_s = min(rng.uniform(0.13, 0.28), 0.5 - rise_s)
    return TimeCourse(onset_s, onset_s + rise_s, onset_s + rise_s + fall_s)
