"""Where each region of a face is over time, the head's own motion taken out: signed, and free of long references.

Every sample is compared with a *key* sample a fraction of a second old, and the keys are chained. So a movement of a
few tenths of a second is measured across one or two links, between pictures that still look alike, whatever the face
did before: a reference that is older no longer fits a face that talks.
"""

from __future__ import annotations

import numpy as np

from tsfmicro.align import AlignSpec
from tsfmicro.motion import REGIONS, region_moves
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.values import Float64Array


class RegionTrajectory:
    """Chains the moves of one face's regions.

    Args:
        align: geometry of the patches.
        key_s: how old a key may get.
    """

    def __init__(self, align: AlignSpec, key_s: float) -> None:
        self._align = align
        self._key_s = key_s
        self._key: FaceSample | None = None
        self._at_key = np.zeros((len(REGIONS), 2))
        self._last = self._at_key

    def push(self, sample: FaceSample) -> Float64Array:
        """(R, 2) place of every region against the first sample, right and down, percent of the inter-ocular distance.

        A region that cannot be seen stays where it was.
        """
        if self._key is None:
            self._key = sample
            return self._last
        moved = self._at_key + region_moves(self._key.patch, sample.patch, self._align)
        self._last = np.where(np.isnan(moved), self._last, moved)
        if sample.moment.t_s - self._key.moment.t_s >= self._key_s - 1e-6:
            self._key, self._at_key = sample, self._last
        return self._last
