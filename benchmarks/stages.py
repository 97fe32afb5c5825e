"""Scenario ``stages``: what the per-frame path costs beside the face-landmark model alone, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from tsfmicro.errors import UsageError
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.realtime.pipeline import EventRecogniser
from tsfmicro.realtime.sources import open_source
from tsfmicro.realtime.sources.demo import DEMO_NAME, DemoSource
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.values import Frame


def run_stages(name: str, rounds: int, max_frames: int) -> list[dict[str, Any]]:
    """Alternate the landmark model alone and the whole path over the same frames, decoded beforehand.

    Returns:
        One row for each of the two, and one with their ratio, pair by pair.

    Raises:
        UsageError: if the clip has fewer than two frames.
    """
    frames = _frames(name, max_frames)
    if len(frames) < 2:
        raise UsageError(f"{name} has {len(frames)} frame(s); timing needs a clip of at least two")
    clock = StageClock()
    alone_ms: list[float] = []
    whole_ms: list[float] = []
    for _ in range(rounds):
        with FaceMeshDetector(max_faces=1) as detector:
            alone_ms.append(_per_frame_ms(frames, detector.detect))
        with FaceMeshDetector(max_faces=1) as detector:
            path = EventRecogniser(name, detector, None, clock=clock)
            whole_ms.append(_per_frame_ms(frames, path.process))
    ratios = [whole / alone for whole, alone in zip(whole_ms, alone_ms, strict=True)]
    return [
        {"what": "landmark model alone", "median_ms_per_frame": round(median(alone_ms), 3), "frames": len(frames)},
        {
            "what": "landmarks to spotter",
            "median_ms_per_frame": round(median(whole_ms), 3),
            "frames": len(frames),
            "frames_per_s": round(1e3 / median(whole_ms), 1),
            "stages": clock.report(),
        },
        {
            "what": "ratio",
            "median": round(median(ratios), 3),
            "min": round(min(ratios), 3),
            "max": round(max(ratios), 3),
            "rounds": rounds,
        },
    ]


def _frames(name: str, max_frames: int) -> list[Frame]:
    frames: list[Frame] = []
    with DemoSource() if name == DEMO_NAME else open_source(name) as source:
        for frame in source.frames():
            frames.append(frame)
            if len(frames) == max_frames:
                break
    return frames


def _per_frame_ms(frames: list[Frame], take: Callable[[Frame], object]) -> float:
    take(frames[0])  # loads the models
    began_s = time.perf_counter()
    for frame in frames[1:]:
        take(frame)
    return (time.perf_counter() - began_s) * 1e3 / (len(frames) - 1)
