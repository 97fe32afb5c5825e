"""Scenario ``offline``: recordings as fast as they can be read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tsfmicro.benchmarks.live import run_session
from tsfmicro.realtime.recognise import Recogniser
from tsfmicro.realtime.session import Outputs
from tsfmicro.realtime.sources import open_source
from tsfmicro.realtime.stage_clock import StageClock


def run_offline(clips: Sequence[Path], rounds: int, recogniser: Recogniser | None) -> list[dict[str, Any]]:
    """Whole sessions, one clip after the other: decoding in its own thread, everything to the event lines.

    Loading the models is in the time, as it is for whoever waits for a recording.

    Args:
        clips: recordings.
        rounds: how often each is run; medians are told.
        recogniser: None only spots.
    """
    return [_row(clip, rounds, recogniser) for clip in clips]


def _row(clip: Path, rounds: int, recogniser: Recogniser | None) -> dict[str, Any]:
    walls_s: list[float] = []
    processor_s: list[float] = []
    for _ in range(rounds):
        clock = StageClock()
        with open_source(str(clip)) as source:
            began_s, began_cpu_s = time.monotonic(), time.process_time()
            summary = run_session([source], recogniser, clock, Outputs())
            walls_s.append(time.monotonic() - began_s)
            processor_s.append(time.process_time() - began_cpu_s)
    report = summary.sources[0]
    frames, fps = summary.tally.frames, report["fps_measured"]
    per_s = frames / median(walls_s)
    return {
        "clip": clip.name,
        "frames": frames,
        "fps_of_clip": fps,
        "faces": summary.tally.faces,
        "wall_s": round(median(walls_s), 3),
        "processor_s": round(median(processor_s), 3),
        "frames_per_s": round(per_s, 1),
        "times_real_time": None if not fps else round(per_s / fps, 2),
        "rounds": rounds,
        "samples": {
            "wall_s": [round(wall_s, 3) for wall_s in walls_s],
            "processor_s": [round(spent_s, 3) for spent_s in processor_s],
        },
        "stages": clock.report(),
    }
