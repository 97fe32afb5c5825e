"""The books of what comes in, kept where it comes in."""

from __future__ import annotations

import numpy as np

from tsfmicro.realtime.ledger import Ledger
from tsfmicro.realtime.sources.base import Source
from tsfmicro.realtime.sources.reconnect import Item, Lost
from tsfmicro.values import Frame, UInt8Array

_SAMPLE_STEP_PX = 16


class Intake:
    """Counts the items of a source; belongs to the thread that reads it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._before: Frame | None = None
        self._sample: UInt8Array = np.empty(0, np.uint8)
        self._captured = self._repeated = self._times_lost = 0
        self._longest_gap_s = 0.0

    def note(self, item: Item) -> Ledger:
        """Count an item; the books as they stand with it."""
        if isinstance(item, Frame):
            self._captured += 1
            self._compare(item)
        elif isinstance(item, Lost):
            self._times_lost += 1
        return self.ledger()

    def ledger(self) -> Ledger:
        """The books as they stand."""
        return Ledger(
            captured=self._captured,
            repeated=self._repeated,
            undecodable=self._source.undecodable,
            misstamped=self._source.misstamped,
            longest_gap_s=self._longest_gap_s,
            times_lost=self._times_lost,
        )

    def _compare(self, frame: Frame) -> None:
        before, sample = self._before, frame.pixels[::_SAMPLE_STEP_PX, ::_SAMPLE_STEP_PX].copy()
        if before is not None:
            self._longest_gap_s = max(self._longest_gap_s, frame.t_s - before.t_s)
            # The sample tells most pictures apart at no cost; only then the whole is compared.
            if np.array_equal(sample, self._sample) and np.array_equal(frame.pixels, before.pixels):
                self._repeated += 1
        self._before, self._sample = frame, sample
