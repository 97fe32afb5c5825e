"""Scenario ``soak``: a session that runs for long, and what it comes to hold."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from tsfmicro.benchmarks.live import Stopwatch, run_session
from tsfmicro.benchmarks.paced import LoopedClip, PacedClip
from tsfmicro.benchmarks.spread import percentiles, slope_of_blocks
from tsfmicro.errors import UsageError
from tsfmicro.realtime.recognise import Recogniser
from tsfmicro.realtime.session import Outputs
from tsfmicro.realtime.sinks import JsonLinesSink
from tsfmicro.realtime.stage_clock import StageClock

_PROC = Path("/proc/self")
_MIB = 2**20
_SETTLED = 1 / 3
"""Share of the time after which figures are taken."""
_PRELUDE_S = 2.0
"""Media time of the session before the baseline."""
_LINGER_S = 0.5
"""A thread that has ended stays in the system's list for a moment."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process held at one time."""

    t_s: float
    rss_mib: float
    anonymous_mib: float
    """Of it, what is not a file's: a kernel that takes back cold pages of libraries and models lowers only the rest."""
    in_use_mib: float | None
    """Of that, what native code holds, by glibc's account; None where there is no glibc. The rest is freed and kept."""
    python_blocks: int
    """Small objects of Python, which has them from the system itself: glibc does not see them."""
    threads: int
    handles: int


def run_soak(
    clips: Sequence[Path],
    fps: float,
    duration_s: float,
    paced: bool,
    recogniser: Recogniser | None,
    events: Path,
    every_s: float = 1.0,
    tell: Callable[[Sample], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """A long session, and what it came to hold.

    What it held before is counted after another session of two seconds: libraries start workers at their first use
    and keep them, OpenCV one for each further core. A thread or handle that every session leaves behind still shows.

    Args:
        clips: a source each.
        fps: of every source.
        duration_s: media time of every source.
        paced: True as cameras deliver; False as fast as frames are decoded.
        recogniser: None only spots.
        events: where the event lines go, as they would in earnest.
        every_s: between two samples; frames that wait in a lane make single ones flicker by several MiB.
        tell: called with every sample.

    Returns:
        One row; its slopes are taken over the last two thirds: an allocator takes minutes to reach its size, and
        the network needs more room for the first movements that end together. Intervals allow for what follows
        from one look to the next, see ``slope_of_blocks``.

    Raises:
        UsageError: this system does not tell what a process holds.
    """
    source_class = PacedClip if paced else LoopedClip

    def frames(media_s: float) -> int:
        return round(media_s * fps)

    def sources(media_s: float) -> list[LoopedClip]:
        count = frames(media_s)
        return [source_class(clip, f"{clip.name} {number}", fps, count) for number, clip in enumerate(clips, 1)]

    run_session(sources(_PRELUDE_S), recogniser, StageClock(), Outputs())
    time.sleep(_LINGER_S)
    before = _sample(0.0)
    watcher = Stopwatch(duration_s * _SETTLED, frames(duration_s) * len(clips))
    samples, done = list[Sample](), threading.Event()
    began_s = time.monotonic()

    def watch() -> None:
        while not done.wait(every_s):
            samples.append(_sample(time.monotonic() - began_s))
            tell(samples[-1])

    thread = threading.Thread(target=watch, name="soak")
    thread.start()
    try:
        summary = run_session(
            sources(duration_s), recogniser, StageClock(), Outputs([JsonLinesSink(events)], [watcher])
        )
    finally:
        done.set()
        thread.join()
    took_s = time.monotonic() - began_s
    time.sleep(_LINGER_S)
    after = _sample(took_s)
    settled = [sample for sample in samples if sample.t_s >= after.t_s * _SETTLED]
    hours = [sample.t_s / 3600 for sample in settled]
    return [
        {
            "sources": len(clips),
            "fps": fps,
            "paced": paced,
            "media_s": duration_s,
            "wall_s": round(after.t_s, 1),
            "captured": summary.ledger.captured,
            "analysed": summary.ledger.analysed,
            "dropped": summary.ledger.dropped,
            "movements": summary.tally.events + summary.tally.rejected,
            "warm_up_share": round(_SETTLED, 3),
            "samples": len(settled),
            **_growth("rss", "mib", hours, [sample.rss_mib for sample in settled]),
            **_growth("anonymous", "mib", hours, [sample.anonymous_mib for sample in settled]),
            **_growth("in_use", "mib", hours, [sample.in_use_mib for sample in settled]),
            **_growth("python", "blocks", hours, [float(sample.python_blocks) for sample in settled]),
            "rss_median_mib_first_third": _third(settled, 0),
            "rss_median_mib_last_third": _third(settled, 2),
            "threads_before": before.threads,
            "threads_most": max((sample.threads for sample in samples), default=before.threads),
            "threads_after": after.threads,
            "handles_before": before.handles,
            "handles_most": max((sample.handles for sample in samples), default=before.handles),
            "handles_after": after.handles,
            **(percentiles(watcher.latencies_ms.values, "ms") if paced else {}),
            "series": {
                "t_s_rss_mib": [[round(s.t_s), round(s.rss_mib, 1)] for s in samples[:: len(samples) // 120 + 1]],
                "minute_anonymous_in_use_mib": _by_minute(samples),
            },
        }
    ]


def _growth(name: str, unit: str, hours: Sequence[float], values: Sequence[float | None]) -> dict[str, Any]:
    """Growth an hour with its interval, see ``slope_of_blocks``; blank where something was not told."""
    known = [value for value in values if value is not None]
    whole = len(known) == len(hours)
    grows, low, high = slope_of_blocks(hours, known) if whole else (math.inf, -math.inf, math.inf)
    return {
        f"{name}_slope_{unit}_per_hour": _finite(grows),
        f"{name}_slope_interval": [_finite(low), _finite(high)],
    }


def _by_minute(samples: Sequence[Sample]) -> list[list[float | None]]:
    """[minute, anonymous, in use], medians in MiB: the course of what is held, for a reader."""
    minutes = dict[int, list[Sample]]()
    for sample in samples:
        minutes.setdefault(int(sample.t_s // 60), []).append(sample)
    return [
        [
            minute,
            round(median(sample.anonymous_mib for sample in some), 2),
            _median_mib([sample.in_use_mib for sample in some]),
        ]
        for minute, some in minutes.items()
    ]


def _median_mib(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 2) if known else None


def _sample(t_s: float) -> Sample:
    try:
        resident, of_files = (
            int(pages) * os.sysconf("SC_PAGE_SIZE") / _MIB
            for pages in (_PROC / "statm").read_text(encoding="ascii").split()[1:3]
        )
        handles = len(list((_PROC / "fd").iterdir())) - 1  # the listing itself holds one
    except OSError as error:
        raise UsageError("this system has no /proc; tsf-bench soak runs on Linux") from error
    threads = len(list((_PROC / "task").iterdir()))
    held = in_use_mib(), sys.getallocatedblocks()
    return Sample(t_s, resident, resident - of_files, *held, threads, handles)


class _MallInfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and later."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


@cache
def _mallinfo() -> Any:
    """The function of glibc; None elsewhere. Looked up once: every look-up leaves a class for the collector."""
    found = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if found is not None:
        found.restype = _MallInfo
    return found


def in_use_mib() -> float | None:
    """What native code holds, by glibc's account; None where there is no glibc."""
    if _mallinfo() is None:
        return None
    found = _mallinfo()()
    return float(found.uordblks + found.hblkhd) / _MIB


def _third(samples: Sequence[Sample], number: int) -> float | None:
    third = samples[len(samples) * number // 3 : len(samples) * (number + 1) // 3]
    return round(median(sample.rss_mib for sample in third), 1) if third else None


def _finite(value: float) -> float | None:
    return round(value, 2) if abs(value) != float("inf") else None
