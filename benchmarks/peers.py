"""Scenario ``peers``: a tool of other people beside our per-frame path, in an environment of its own.

Their dependencies and ours seldom fit into one environment, so the tool runs in a process of another interpreter, which
is given the same decoded frames and takes turns with ours. Only its published interface is called.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tsfmicro.benchmarks.stages import write_demo
from tsfmicro.errors import BackendError, UsageError
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.realtime.pipeline import EventRecogniser
from tsfmicro.realtime.sources import open_source
from tsfmicro.realtime.sources.demo import DEMO_NAME
from tsfmicro.values import Frame

TOOLS = {
    # Faces by a cascade, seven emotions of each picture by a small network whose weights are in the wheel; MIT.
    "fer": ("fer", "from fer.fer import FER; tool = FER()\ndef faces(bgr): return len(tool.detect_emotions(bgr))"),
}
"""Package, and what to run to get a function that counts the faces it told something of."""
_CHILD = """
import json, os, sys, time
told, sys.stdout = sys.stdout, sys.stderr
import numpy as np
{tool}
from importlib.metadata import version
pictures = np.load(sys.argv[1], mmap_mode="r")
for bgr in pictures[:3]: faces(np.ascontiguousarray(bgr))
print(json.dumps({{"version": version("{package}")}}), file=told, flush=True)
for line in sys.stdin:
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    seen = sum(faces(np.ascontiguousarray(bgr)) > 0 for bgr in pictures)
    spent = {{"wall_s": time.perf_counter() - wall_s, "cpu_s": time.process_time() - cpu_s, "seen": seen}}
    print(json.dumps(spent), file=told, flush=True)
"""


def run_peers(tool: str, python: Path, name: str, rounds: int, max_frames: int) -> list[dict[str, Any]]:
    """Alternate the tool and our path, without naming, over the same frames; neither decodes.

    Args:
        tool: a key of ``TOOLS``.
        python: interpreter that has it.
        name: clip, or ``demo:``.
        rounds: how often.
        max_frames: of the clip.

    Returns:
        A row for each, and one with the ratio of ours to theirs, pair by pair.

    Raises:
        UsageError: the tool is not known, or there is no such interpreter.
        BackendError: the tool does not run there.
    """
    if tool not in TOOLS:
        raise UsageError(f"--tool is {tool!r}; expected {' or '.join(TOOLS)}")
    if not python.is_file():
        raise UsageError(f"--python is {python}, which is no file; expected the interpreter of another environment")
    theirs: list[dict[str, float]] = []
    ours: list[dict[str, float]] = []
    with TemporaryDirectory() as folder:
        clip = str(write_demo(Path(folder) / "demo.mp4", max_frames)) if name == DEMO_NAME else name
        with open_source(clip) as source:
            frames = list(itertools.islice(source.frames(), max_frames))
        pictures = Path(folder) / "frames.npy"
        np.save(pictures, np.stack([frame.pixels[:, :, ::-1] for frame in frames]))
        with _child(tool, python, pictures) as (version, ask):
            for _ in range(rounds):
                theirs.append(ask())
                ours.append(_ours(frames))
    height, width = frames[0].pixels.shape[:2]
    ratios = [a["wall_s"] / b["wall_s"] for a, b in zip(ours, theirs, strict=True)]
    return [
        {**_row(f"{tool} {version}", theirs, len(frames)), "picture": f"{width}x{height}"},
        _row("landmarks to spotter", ours, len(frames)),
        {
            "what": "ratio",
            "median": round(median(ratios), 3),
            "min": round(min(ratios), 3),
            "max": round(max(ratios), 3),
            "rounds": rounds,
            "samples": {"ratio": [round(ratio, 4) for ratio in ratios]},
        },
    ]


def _row(what: str, spent: list[dict[str, float]], frames: int) -> dict[str, Any]:
    ms = {kind: [one[f"{kind}_s"] * 1e3 / frames for one in spent] for kind in ("wall", "cpu")}
    return {
        "what": what,
        "median_ms_per_frame": round(median(ms["wall"]), 3),
        "median_cpu_ms_per_frame": round(median(ms["cpu"]), 3),
        "frames": frames,
        "frames_with_a_face": round(spent[-1]["seen"] / frames, 3),
        "samples": {"ms_per_frame": [round(value, 4) for value in ms["wall"]]},
    }


def _ours(frames: list[Frame]) -> dict[str, float]:
    """Faces, landmarks, following, spotting: every frame once; the model is loaded before, as theirs is."""
    with FaceMeshDetector(max_faces=1) as detector:
        path = EventRecogniser("frames", detector, None)
        seen = int(bool(path.step(frames[0]).faces))
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        for frame in frames[1:]:
            seen += bool(path.step(frame).faces)
        share = len(frames) / (len(frames) - 1)
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    return {"wall_s": wall_s * share, "cpu_s": cpu_s * share, "seen": seen}


@contextmanager
def _child(tool: str, python: Path, pictures: Path) -> Iterator[tuple[str, Any]]:
    """Version of the tool, and what lets it go over all frames once."""
    package, code = TOOLS[tool]
    line = [str(python), "-c", _CHILD.format(tool=code, package=package), str(pictures)]
    # The environment's own packages alone: ours must not reach it.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        first = child.stdout.readline()
        if not first:
            told = child.stderr.read().strip().splitlines() or ["it says nothing"]
            raise BackendError(f"{tool} does not run with {python.name}: {told[-1][-300:]}")

        def ask() -> dict[str, float]:
            assert child.stdin is not None and child.stdout is not None
            child.stdin.write("go\n")
            child.stdin.flush()
            spent: dict[str, float] = json.loads(child.stdout.readline())
            return spent

        try:
            yield str(json.loads(first)["version"]), ask
        finally:
            child.stdin.close()
