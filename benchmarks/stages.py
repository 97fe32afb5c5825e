"""Scenario ``stages``: what the per-frame path costs beside the face-landmark model alone, in one process."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import av

from tsfmicro.errors import UsageError
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.landmarks.mediapipe_models import MeshModel
from tsfmicro.realtime.pipeline import EventRecogniser
from tsfmicro.realtime.sources import open_source
from tsfmicro.realtime.sources.demo import DEMO_NAME, DemoSource
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.values import Frame


def run_stages(name: str, rounds: int, max_frames: int) -> list[dict[str, Any]]:
    """Alternate the landmark model alone and the whole path, from decoding to spotting, over the same clip.

    The landmark model gets frames that were decoded beforehand; the path decodes its own. ``demo:`` is written to a
    video first, so that there is something to decode.

    Returns:
        One row for each of the two, and one with their ratio, pair by pair.

    Raises:
        UsageError: if the clip has fewer than two frames.
    """
    with TemporaryDirectory() as folder:
        clip = str(write_demo(Path(folder) / "demo.mp4", max_frames)) if name == DEMO_NAME else name
        frames = _frames(clip, max_frames)
        if len(frames) < 2:
            raise UsageError(f"{name} has {len(frames)} frame(s); timing needs a clip of at least two")
        clock = StageClock()
        alone_ms: list[float] = []
        whole_ms: list[float] = []
        for _ in range(rounds):
            alone_ms.append(_landmarks_ms(frames))
            whole_ms.append(_path_ms(clip, len(frames), clock))
    height, width = frames[0].pixels.shape[:2]
    ratios = [whole / alone for whole, alone in zip(whole_ms, alone_ms, strict=True)]
    return [
        {
            "what": "landmark model alone",
            "median_ms_per_frame": round(median(alone_ms), 3),
            "frames": len(frames),
            "picture": f"{width}x{height}",
            "samples": {"ms_per_frame": _rounded(alone_ms)},
        },
        {
            "what": "decode to spotter",
            "median_ms_per_frame": round(median(whole_ms), 3),
            "frames": len(frames),
            "frames_per_s": round(1e3 / median(whole_ms), 1),
            "samples": {"ms_per_frame": _rounded(whole_ms)},
            "stages": clock.report(),
        },
        {
            "what": "ratio",
            "median": round(median(ratios), 3),
            "min": round(min(ratios), 3),
            "max": round(max(ratios), 3),
            "rounds": rounds,
            "samples": {"ratio": _rounded(ratios)},
        },
    ]


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 4) for value in values]


def _landmarks_ms(frames: list[Frame]) -> float:
    """Milliseconds a frame of MediaPipe's face mesh over the whole picture, in every frame."""
    mesh = MeshModel()
    try:
        mesh.face(frames[0].pixels)
        began_s = time.perf_counter()
        for frame in frames[1:]:
            mesh.face(frame.pixels)
        return (time.perf_counter() - began_s) * 1e3 / (len(frames) - 1)
    finally:
        mesh.close()


def _path_ms(clip: str, count: int, clock: StageClock) -> float:
    """Milliseconds a frame from the file to the spotter's answer, in one thread."""
    with open_source(clip) as source, FaceMeshDetector(max_faces=1) as detector:
        path = EventRecogniser(clip, detector, None, clock=clock)
        frames = source.frames()
        path.process(next(frames))
        began_s = time.perf_counter()
        for _ in range(count - 1):
            with clock.stage("decode"):
                frame = next(frames)
            path.process(frame)
        return (time.perf_counter() - began_s) * 1e3 / (count - 1)


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
