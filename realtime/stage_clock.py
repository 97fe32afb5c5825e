"""How long each stage takes: fixed-size histograms, so that a month costs what a minute costs."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator

_SMALLEST_MS = 0.001
_GROWTH = 1.02
"""Width of a bucket: percentiles are right to 1 %."""
PERCENTILES = (50, 95, 99)


class Histogram:
    """Counts of durations in buckets that grow by 2 %."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0

    def add(self, duration_ms: float) -> None:
        """Count one duration."""
        bucket = round(math.log(max(duration_ms, _SMALLEST_MS) / _SMALLEST_MS, _GROWTH))
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1

    def percentile_ms(self, percent: float) -> float | None:
        """Nearest-rank percentile, to 1 %; None where nothing was counted."""
        rank = math.ceil(self.count * percent / 100)
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= rank:
                return _SMALLEST_MS * _GROWTH**bucket
        return None

    def report(self) -> dict[str, float | int | None]:
        """Milliseconds: count, p50, p95, p99."""
        return {"count": self.count} | {f"p{p}_ms": _rounded(self.percentile_ms(p)) for p in PERCENTILES}


class StageClock:
    """Times named stages of one session, from any thread.

    Args:
        now_s: monotonic clock, seconds.
    """

    def __init__(self, now_s: Callable[[], float] = time.perf_counter) -> None:
        self._now_s = now_s
        self._stages: dict[str, Histogram] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside."""
        began_s = self._now_s()
        try:
            yield
        finally:
            took_ms = (self._now_s() - began_s) * 1e3
            with self._lock:
                self._stages.setdefault(name, Histogram()).add(took_ms)

    def report(self) -> dict[str, dict[str, float | int | None]]:
        """Milliseconds by stage: count, p50, p95, p99."""
        with self._lock:
            return {name: histogram.report() for name, histogram in self._stages.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
