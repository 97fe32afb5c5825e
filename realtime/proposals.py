"""Where a movement may have its apex: which places to watch together, and what stands out of what is usual there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tsfmicro.motion import REGIONS
from tsfmicro.values import Float64Array

_BROWS = tuple(i for i, name in enumerate(REGIONS) if name.endswith("brow"))
_MIDDLE = tuple(i for i, name in enumerate(REGIONS) if name.endswith(("nose", "cheek")))
_MOUTH = tuple(i for i in range(len(REGIONS)) if i not in (*_BROWS, *_MIDDLE))
_PARTS = (_BROWS, _MIDDLE, _MOUTH)


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A sample at which something stands out, and how to follow it."""

    stream: int
    """Whose it is: two apexes of one stream that are near are one."""
    region: int
    """Of ``REGIONS``, the one that tells most."""
    score: float
    """How far it stands out, in what is usual."""
    weights: Float64Array
    """(R, 2) by which the places of all regions make the trace that is followed."""
    size: float
    """How far that trace stood out, percent of the inter-ocular distance."""


class Proposer(Protocol):
    """Says of each sample in turn whether something stands out there."""

    @property
    def streams(self) -> int:
        """How many there are."""
        ...

    def propose(self, t_s: float, stood_out: Float64Array, scores: Float64Array) -> list[Proposal]:
        """Look at the next sample.

        Args:
            t_s: its media time.
            stood_out: (R, 2) prominence of every region.
            scores: (R,) robust z-scores of their lengths.
        """
        ...


class PartsOfTheFace:
    """Brows, the middle of the face and the mouth apart, each by its strongest region and the way that went.

    Args:
        threshold: z-score from which a region stands out.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    @property
    def streams(self) -> int:
        """One for each part."""
        return len(_PARTS)

    def propose(self, t_s: float, stood_out: Float64Array, scores: Float64Array) -> list[Proposal]:
        """See :class:`Proposer`."""
        proposals = []
        for stream, part in enumerate(_PARTS):
            region = max(part, key=lambda r: float(scores[r]))
            if scores[region] >= self._threshold:
                size = float(np.hypot(*stood_out[region]))
                weights = np.zeros_like(stood_out)
                weights[region] = stood_out[region] / size
                proposals.append(Proposal(stream, region, float(scores[region]), weights, size))
        return proposals
