"""Expressions that a face's usual movement would hide: an adaptive matched filter over all regions.

A face that talks moves lips, corners, chin and cheeks together, every time alike. For each known combination of action
units the regions are weighed so that what they did together in the past seconds cancels and that combination does not:
Robey, Fuhrmann, Kelly, Nitzberg, "A CFAR adaptive matched filter detector", IEEE Transactions on Aerospace and
Electronic Systems 28 (1992). With C the mean outer product of past prominences and p a pattern, the weights are
C⁻¹p / (pᵀC⁻¹p), and what they make of a prominence x stands out by pᵀC⁻¹x / √(pᵀC⁻¹p).
"""

from __future__ import annotations

import numpy as np

from tsfmicro.motion import REGIONS
from tsfmicro.realtime.linear import solve_positive
from tsfmicro.realtime.past import Past
from tsfmicro.realtime.proposals import Proposal
from tsfmicro.values import Float64Array

_MEMORY_S = 4.0
_GUARD_S = 0.5
"""How far before a sample the past ends: what is going on is not what is usual."""
_NOISE_PERCENT_IOD = 0.4
"""Of every region in both directions, added to what is usual: a face that was still so far is not infinitely still."""
_MIN_SAMPLES = 5
_REFRESH_S = 0.1
"""How often the weights are solved for anew."""
_MIN_SHARE = 0.1
"""Of all that stands out, in what is usual, which must be along a pattern: its cosine."""


class PatternFilter:
    """Watches every pattern apart, because speech excites some of them more than an expression does another.

    Args:
        patterns: (P, R, 2) how regions move together in expressions, each of length 1.
        threshold: in standard deviations of what is usual, from which a pattern stands out.
    """

    def __init__(self, patterns: Float64Array, threshold: float) -> None:
        self._threshold = threshold
        self._patterns = patterns.reshape(len(patterns), 2 * len(REGIONS))
        self._largest = np.hypot(patterns[..., 0], patterns[..., 1]).max(axis=1)
        self._past = Past((2 * len(REGIONS),))
        self._taken_s = -np.inf
        self._whitening: Float64Array | None = None
        """(2R, 2R) inverse of how regions usually move together; None before that is known."""
        self._weights = self._patterns
        """(P, 2R); a movement of the pattern's strongest region is told at its length."""
        self._units = np.ones(len(patterns))
        """(P,) what the weights make of what is usual, one standard deviation."""
        self._tells_most = np.zeros(len(patterns), dtype=np.intp)
        """(P,) the region of each pattern that counts for most now."""

    @property
    def streams(self) -> int:
        """One for each pattern."""
        return len(self._patterns)

    def propose(self, t_s: float, stood_out: Float64Array, scores: Float64Array) -> list[Proposal]:
        """See :class:`~tsfmicro.realtime.proposals.Proposer`."""
        out = stood_out.ravel()
        self._past.add(t_s, out)
        self._past.forget_first(int(self._past.times_s.searchsorted(t_s - _MEMORY_S)))
        if t_s - self._taken_s >= _REFRESH_S - 1e-9:
            self._take(t_s)
        if self._whitening is None:
            return []
        sizes = self._weights @ out
        strengths = sizes / self._units
        least = max(self._threshold, _MIN_SHARE * float(out @ self._whitening @ out) ** 0.5)
        return [
            Proposal(
                stream=pattern,
                region=int(self._tells_most[pattern]),
                score=float(strengths[pattern]),
                weights=self._weights[pattern].reshape(-1, 2),
                size=float(sizes[pattern]),
            )
            for pattern in np.flatnonzero(strengths >= least).tolist()
        ]

    def _take(self, t_s: float) -> None:
        """Solve for the weights again."""
        usual = self._past.values[: int(self._past.times_s.searchsorted(t_s - _GUARD_S))]
        if len(usual) < _MIN_SAMPLES:
            return
        together = usual.T @ usual / len(usual) + _NOISE_PERCENT_IOD**2 * np.eye(usual.shape[1])
        self._whitening = solve_positive(together, np.eye(len(together)))
        weighed = self._patterns @ self._whitening
        gains = (weighed * self._patterns).sum(axis=1)
        self._weights = weighed * (self._largest / gains)[:, None]
        self._units = self._largest / np.sqrt(gains)
        self._tells_most = (weighed * self._patterns).reshape(-1, len(REGIONS), 2).sum(axis=2).argmax(axis=1)
        self._taken_s = t_s
