"""Scenario ``live``: a whole session on clips that arrive like cameras."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tsfmicro.benchmarks.paced import PacedClip
from tsfmicro.benchmarks.packed import Packed
from tsfmicro.benchmarks.spread import histogram, percentiles
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.realtime.events import Event, MeEnd
from tsfmicro.realtime.pipeline import PipelineSpec, Step
from tsfmicro.realtime.recognise import Namer, Recogniser
from tsfmicro.realtime.session import Outputs, Session, Summary
from tsfmicro.realtime.source_run import Limits
from tsfmicro.realtime.sources import Source
from tsfmicro.realtime.stage_clock import StageClock

BLOCK_S = 5.0
"""Media time: at 30 frames/s just enough frames for a p90."""
_NAMED_SELDOM = 10
"""At most one frame in so many ends a movement that is named."""


class Stopwatch:
    """A viewer that only looks at the clock: from when a frame was due to when all it brought is written.

    A frame whose movement is still being named is counted when the name is told, at what that took.

    Args:
        warm_up_s: media time that is not counted.
        frames: how many will be seen, so that nothing grows while they are.
    """

    def __init__(self, warm_up_s: float, frames: int) -> None:
        self.warm_up_s = warm_up_s
        self.latencies_ms = Packed(frames)
        self.media_s = Packed(frames)
        """Of the same frames; where a movement was named, of its offset."""
        self.named_ms = Packed(frames // _NAMED_SELDOM)
        """Those among them of frames that ended a movement, until it was named."""
        self.faces = 0

    def see(self, step: Step) -> None:
        """See ``Viewer.see``."""
        if step.frame.t_s >= self.warm_up_s:
            self.faces += len(step.faces)
            if not step.naming:
                self.latencies_ms.append((time.monotonic() - step.frame.captured_s) * 1e3)
                self.media_s.append(step.frame.t_s)
        self.finish(step.events)

    def finish(self, events: Sequence[Event]) -> None:
        """See ``Viewer.finish``."""
        for event in events:
            if isinstance(event, MeEnd) and event.recognition and event.interval.offset.t_s >= self.warm_up_s:
                told_ms = (event.compute_s or 0.0) * 1e3
                self.named_ms.append(told_ms)
                self.latencies_ms.append(told_ms)
                self.media_s.append(event.interval.offset.t_s)

    def close(self) -> None:
        """Nothing is held."""


def run_live(
    clips: Sequence[Path], fps: float, duration_s: float, warm_up_s: float, recogniser: Recogniser | None
) -> dict[str, Any]:
    """One session on paced clips, all of them at once, each decoded by a thread of its own.

    Latency runs from the instant a frame was due to the instant everything it brought was decided and written. Frames
    of the first seconds of media, which load the models, are not counted; drops are, from the first.

    Args:
        clips: a source each.
        fps: of every source.
        duration_s: of every source, warm-up included.
        warm_up_s: not counted.
        recogniser: None only spots.
    """
    count = round(duration_s * fps)
    watcher, clock = Stopwatch(warm_up_s, count * len(clips)), StageClock()
    sources = [PacedClip(clip, f"{clip.name} {number}", fps, count) for number, clip in enumerate(clips, 1)]
    summary = run_session(sources, recogniser, clock, Outputs(viewers=[watcher]))
    latencies_ms = watcher.latencies_ms.values
    late = sum(latency_ms > 1e3 / fps for latency_ms in latencies_ms)
    return {
        "sources": len(clips),
        "fps": fps,
        "duration_s": duration_s,
        "warm_up_s": warm_up_s,
        "captured": summary.ledger.captured,
        "dropped": summary.ledger.dropped,
        "late": late,
        "faces_per_frame": round(watcher.faces / max(len(latencies_ms), 1), 3),
        "events": sum(isinstance(event, MeEnd) for event in summary.events),
        **percentiles(latencies_ms, "ms"),
        "block_s": BLOCK_S,
        "samples": by_block(watcher.media_s.values, latencies_ms, warm_up_s, duration_s),
        "holds_deadline": _holds(latencies_ms, fps) and summary.ledger.dropped == 0,
        "named": percentiles(watcher.named_ms.values, "ms"),
        "histogram_ms": {"upper_edge_count": histogram(latencies_ms)},
        "stages": clock.report(),
    }


def by_block(
    media_s: Sequence[float], latencies_ms: Sequence[float], warm_up_s: float, duration_s: float
) -> dict[str, list[float | None]]:
    """p50 and p90 of every stretch of ``BLOCK_S`` of media, for a comparison; blank where it holds too few frames.

    Neighbouring frames share queue and load, so that they are no repeats of each other; stretches nearly are, and the
    same one of two runs has the same pictures in it. What is left over at the end is not used.
    """
    places = np.floor((np.asarray(media_s, dtype=np.float64) - warm_up_s) / BLOCK_S + 1e-9)
    values = np.asarray(latencies_ms, dtype=np.float64)
    blocks = [percentiles(values[places == n].tolist(), "ms") for n in range(int((duration_s - warm_up_s) / BLOCK_S))]
    return {name: [block[name] for block in blocks] for name in ("p50_ms", "p90_ms")}


def _holds(latencies_ms: Sequence[float], fps: float) -> bool:
    """p99 below one frame period; false where too little was seen to tell."""
    p99_ms = percentiles(latencies_ms, "ms")["p99_ms"]
    return p99_ms is not None and p99_ms < 1e3 / fps


def run_session(
    sources: Sequence[Source],
    recogniser: Namer | None,
    clock: StageClock,
    outputs: Outputs,
    spec: PipelineSpec | None = None,
) -> Summary:
    """One session to its end; it closes the outputs."""
    session = Session(FaceMeshDetector, recogniser, None, Limits(), clock, spec)
    return session.run(sources, outputs)
