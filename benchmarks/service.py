"""How much processor time each frame of a source takes, one source at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from tsfmicro.benchmarks.paced import LoopedClip
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.realtime.naming import name
from tsfmicro.realtime.pipeline import EventRecogniser
from tsfmicro.realtime.recognise import Recogniser
from tsfmicro.values import Float64Array

_TOGETHER = 30
"""Frames decoded at a time. The decoder's own threads work ahead, so single frames cannot be told apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """Frames in order, without those of the warm-up."""

    decode_s: Float64Array
    """(N,) processor time of decoding, the same within a group that was decoded together."""
    analysis_s: Float64Array
    """(N,) processor time from the picture to movements without names, all threads of the process."""
    naming_s: Float64Array
    """(N,) processor time of naming what the frame brought to an end; zero where that was nothing."""
    wall_s: Float64Array
    """(N,) analysis and naming by the clock on the wall; longer where others want the processor, too."""
    faces_per_frame: float
    picture: str


def measure_service(clip: Path, fps: float, frame_count: int, warm_up: int, recogniser: Recogniser | None) -> Service:
    """Decode and analyse in turns, in one thread, so that neither takes anything from the other.

    Args:
        clip: looped.
        fps: of its time line, as in scenario ``live``: movements last as long as the rate makes them.
        frame_count: of the pass, warm-up included.
        warm_up: first frames, which load the models and are not counted.
        recogniser: None only spots.
    """
    decode_s: list[float] = []
    analysis_s: list[float] = []
    naming_s: list[float] = []
    wall_s: list[float] = []
    faces, picture = 0, ""
    with FaceMeshDetector() as detector:
        path = EventRecogniser(clip.name, detector, recogniser)
        frames = LoopedClip(clip, clip.name, fps, frame_count).frames()
        while True:
            began_s = time.process_time()
            group = list(islice(frames, _TOGETHER))
            if not group:
                break
            decode_s += [(time.process_time() - began_s) / len(group)] * len(group)
            for frame in group:
                began_s, wall_began_s = time.process_time(), time.perf_counter()
                observed = path.observe(frame)
                observed_s = time.process_time()
                name([observed.findings], recogniser)
                analysis_s.append(observed_s - began_s)
                naming_s.append(time.process_time() - observed_s if observed.unnamed and recogniser else 0.0)
                wall_s.append(time.perf_counter() - wall_began_s)
                faces += len(observed.faces) if frame.index >= warm_up else 0
                picture = f"{frame.pixels.shape[1]}x{frame.pixels.shape[0]}"
    decode, analysis, naming, wall = (
        np.array(times_s[warm_up:], dtype=np.float64) for times_s in (decode_s, analysis_s, naming_s, wall_s)
    )
    return Service(decode, analysis, naming, wall, faces / max(len(decode), 1), picture)


def joined(passes: list[Service]) -> Service:
    """Several passes over one clip, one after the other."""
    decode_s, analysis_s, naming_s, wall_s = (
        np.concatenate([getattr(one, times_s) for one in passes])
        for times_s in ("decode_s", "analysis_s", "naming_s", "wall_s")
    )
    faces = float(np.mean([one.faces_per_frame for one in passes]))
    return Service(decode_s, analysis_s, naming_s, wall_s, faces, passes[0].picture)
