"""Scenario ``stages``: what the per-frame path costs beside the face-landmark model alone, in one process."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import av

from tsfmicro.errors import UsageError
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.landmarks.mediapipe_models import MeshModel
from tsfmicro.realtime.pipeline import EventRecogniser
from tsfmicro.realtime.readers import Readers
from tsfmicro.realtime.sources import open_source
from tsfmicro.realtime.sources.demo import DEMO_NAME, DemoSource
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.values import Frame

_LOOK_UP_S = 0.1


@dataclass(frozen=True, slots=True)
class Cost:
    """What frames cost, milliseconds a frame."""

    wall_ms: float
    processor_ms: float
    """Of all threads together: what a second core hides from the wall clock."""


class _Stopwatch:
    def __init__(self) -> None:
        self._wall_s, self._processor_s = time.perf_counter(), time.process_time()

    def cost(self, frames: int) -> Cost:
        """Since this was made."""
        wall_s, processor_s = time.perf_counter() - self._wall_s, time.process_time() - self._processor_s
        return Cost(wall_s * 1e3 / frames, processor_s * 1e3 / frames)


def run_stages(name: str, rounds: int, max_frames: int) -> list[dict[str, Any]]:
    """Alternate the landmark model alone and the path from decoding to spotting, twice, over the same clip.

    The landmark model gets frames that were decoded beforehand; the path decodes its own: once as ``tsf-live FILE``
    runs, where a thread reads ahead, and once in a single thread, stage after stage. ``demo:`` is written to a video
    first, so that there is something to decode.

    Returns:
        One row for the model, one for each way to run the path, and their ratios to the model, pair by pair.

    Raises:
        UsageError: if the clip has fewer than two frames.
    """
    with TemporaryDirectory() as folder:
        clip = str(write_demo(Path(folder) / "demo.mp4", max_frames)) if name == DEMO_NAME else name
        frames = _frames(clip, max_frames)
        if len(frames) < 2:
            raise UsageError(f"{name} has {len(frames)} frame(s); timing needs a clip of at least two")
        clock, single_clock = StageClock(), StageClock()
        alone: list[Cost] = []
        path: list[Cost] = []
        single: list[Cost] = []
        for _ in range(rounds):
            alone.append(_landmarks_cost(frames))
            path.append(_path_cost(clip, frames, clock))
            single.append(_single_thread_cost(clip, len(frames), single_clock))
    height, width = frames[0].pixels.shape[:2]
    return [
        {"what": "landmark model alone", "picture": f"{width}x{height}", **_cost_figures(alone, len(frames))},
        {"what": "decode to spotter", **_path_figures(path, len(frames), clock)},
        {"what": "ratio", **_ratio_figures([p.wall_ms / a.wall_ms for p, a in zip(path, alone, strict=True)])},
        {"what": "decode to spotter, one thread", **_path_figures(single, len(frames), single_clock)},
        {
            "what": "ratio, one thread",
            **_ratio_figures([p.wall_ms / a.wall_ms for p, a in zip(single, alone, strict=True)]),
        },
        {
            "what": "ratio, processor time",
            **_ratio_figures([p.processor_ms / a.processor_ms for p, a in zip(path, alone, strict=True)]),
        },
    ]


def _cost_figures(costs: Sequence[Cost], frames: int) -> dict[str, Any]:
    wall_ms, processor_ms = [cost.wall_ms for cost in costs], [cost.processor_ms for cost in costs]
    return {
        "median_ms_per_frame": round(median(wall_ms), 3),
        "processor_ms_per_frame": round(median(processor_ms), 3),
        "frames": frames,
        "samples": {"ms_per_frame": _rounded(wall_ms), "processor_ms_per_frame": _rounded(processor_ms)},
    }


def _path_figures(costs: Sequence[Cost], frames: int, clock: StageClock) -> dict[str, Any]:
    frames_per_s = 1e3 / median(cost.wall_ms for cost in costs)
    return {
        **_cost_figures(costs, frames),
        "frames_per_s": round(frames_per_s, 1),
        "stages": clock.report(),
    }


def _ratio_figures(ratios: list[float]) -> dict[str, Any]:
    return {
        "median": round(median(ratios), 3),
        "min": round(min(ratios), 3),
        "max": round(max(ratios), 3),
        "rounds": len(ratios),
        "samples": {"ratio": _rounded(ratios)},
    }


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 4) for value in values]


def _landmarks_cost(frames: list[Frame]) -> Cost:
    """Of MediaPipe's face mesh over the whole picture, in every frame."""
    mesh = MeshModel()
    try:
        mesh.face(frames[0].pixels)
        stopwatch = _Stopwatch()
        for frame in frames[1:]:
            mesh.face(frame.pixels)
        return stopwatch.cost(len(frames) - 1)
    finally:
        mesh.close()


def _path_cost(clip: str, frames: list[Frame], clock: StageClock) -> Cost:
    """From the file to the spotter's answer, read ahead by the thread that reads for ``tsf-live``.

    The clock runs from before that thread starts, so that nothing was read ahead when it began.
    """
    with open_source(clip) as source, FaceMeshDetector(max_faces=1) as detector:
        path = EventRecogniser(clip, detector, None, clock=clock)
        path.process(frames[0])
        readers = Readers([source], clock)
        try:
            stopwatch, done = _Stopwatch(), 1
            readers.start()
            while done < len(frames):
                for taken in readers.take(_LOOK_UP_S):
                    if taken.item is None:
                        raise taken.error or UsageError(f"{clip} ended after {done} of {len(frames)} frames")
                    frame = taken.item.item
                    if isinstance(frame, Frame) and frame.index > 0:  # the first was analysed beforehand
                        path.process(frame)
                        done += 1
            return stopwatch.cost(len(frames) - 1)
        finally:
            readers.close()


def _single_thread_cost(clip: str, count: int, clock: StageClock) -> Cost:
    """From the file to the spotter's answer, one stage after the other."""
    with open_source(clip) as source, FaceMeshDetector(max_faces=1) as detector:
        path = EventRecogniser(clip, detector, None, clock=clock)
        frames = source.frames()
        path.process(next(frames))
        stopwatch = _Stopwatch()
        for _ in range(count - 1):
            with clock.stage("decode"):
                frame = next(frames)
            path.process(frame)
        return stopwatch.cost(count - 1)


def write_demo(path: Path, max_frames: int) -> Path:
    """The demonstration clip as a video of quality, 640x480."""
    with av.open(str(path), "w") as container, DemoSource() as source:
        stream = container.add_stream("libx264", rate=60)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        stream.options = {"crf": "18", "preset": "veryfast"}
        for frame in itertools.islice(source.frames(), max_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def _frames(clip: str, max_frames: int) -> list[Frame]:
    with open_source(clip) as source:
        return list(itertools.islice(source.frames(), max_frames))
