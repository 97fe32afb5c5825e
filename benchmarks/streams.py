"""Scenario ``streams``: how many sources hold their deadline at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from tsfmicro.benchmarks.live import run_live
from tsfmicro.realtime.recognise import Recogniser

_MAX_DROPPED = 0.001


def run_streams(
    clip: Path,
    fps: float,
    duration_s: float,
    warm_up_s: float,
    repeats: int,
    recogniser: Recogniser | None,
    measure: Callable[..., dict[str, Any]] = run_live,
) -> Iterator[dict[str, Any]]:
    """One source, two, three ..., until a number does not hold.

    A number holds where in every repeat the 99th percentile of latency stays within a frame period and at most one
    frame in a thousand is dropped. The first repeat that misses ends it.

    Args:
        clip: every source plays it, each decoding it for itself.
        fps: of every source.
        duration_s: of every repeat, warm-up included.
        warm_up_s: of every repeat, not counted.
        repeats: how often a number must hold.
        recogniser: None only spots.
        measure: :func:`~tsfmicro.benchmarks.live.run_live`.

    Yields:
        A row for each number: that of its worst repeat, by p99, with the percentiles of every repeat as its samples;
        after them a row with the largest number that holds.
    """
    for number in count(1):
        rows: list[dict[str, Any]] = []
        for _ in range(repeats):
            rows.append(measure([clip] * number, fps, duration_s, warm_up_s, recogniser))
            if not holds(rows[-1]):
                break
        worst = max(rows, key=lambda row: (not holds(row), row["p99_ms"] or 0.0))
        of_repeats = {name: [row[name] for row in rows] for name in ("p50_ms", "p99_ms")}
        told = {key: value for key, value in worst.items() if key != "block_s"}
        yield {**told, "holds": holds(worst), "repeats": len(rows), "samples": of_repeats}
        if not holds(worst):
            yield {"what": "largest number that holds", "fps": fps, "sources_held": number - 1}
            return


def holds(row: dict[str, Any]) -> bool:
    """The rule above, of a row of scenario ``live``; false where too little was seen for a p99."""
    p99_ms = row["p99_ms"]
    in_time = p99_ms is not None and p99_ms <= 1e3 / row["fps"]
    return in_time and row["dropped"] <= _MAX_DROPPED * max(row["captured"], 1)
