"""Scenario ``coldstart``: from typing the command to the first decision, each time in a new process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from tsfmicro.errors import TsfError

_BEGAN = "TSFMICRO_BENCH_BEGAN_S"
_MARK = "coldstart "


class ColdStartError(TsfError):
    """The process that was to be timed did not come to its end."""


def run_coldstart(clip: Path, rounds: int) -> list[dict[str, Any]]:
    """Start so often, and time what a user waits for.

    The first round may have to read libraries from disk; it is a row of its own.

    Args:
        clip: video with a face in its first frame.
        rounds: at least two.

    Returns:
        Rows ``first`` and ``again`` (medians): seconds from the start of the process to each step, steps in order.

    Raises:
        ColdStartError: a process failed.
    """
    found = [_once(clip) for _ in range(rounds)]
    samples = {step: [one[step] for one in found[1:]] for step in found[0]}
    again = {step: round(median(values), 3) for step, values in samples.items()}
    return [{"what": "first", **found[0]}, {"what": "again", "rounds": rounds - 1, **again, "samples": samples}]


def _once(clip: Path) -> dict[str, float]:
    # The monotonic clock is one for all processes of a machine.
    environment = {**os.environ, _BEGAN: repr(time.monotonic())}
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(clip)], env=environment, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if done.returncode or not lines:
        raise ColdStartError(f"the timed process ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    steps: dict[str, float] = json.loads(lines[-1].removeprefix(_MARK))
    return steps


def _probe(clip: str) -> dict[str, float]:
    """What ``tsf-live`` does before its first decision, in the same order."""
    began_s = float(os.environ[_BEGAN])
    steps: dict[str, float] = {}

    def passed(step: str) -> None:
        steps[f"{step}_s"] = round(time.monotonic() - began_s, 3)

    passed("interpreter")
    from tsfmicro.bundle import default_bundle_path, read_bundle
    from tsfmicro.landmarks import FaceMeshDetector
    from tsfmicro.realtime.pipeline import EventRecogniser
    from tsfmicro.realtime.recognise import Recogniser
    from tsfmicro.realtime.sources import open_source
    from tsfmicro.runners import load

    passed("imports")
    bundle = read_bundle(default_bundle_path())
    passed("bundle_verified")
    with load(bundle) as runner, open_source(clip) as source, FaceMeshDetector() as detector:
        passed("recogniser_loaded")
        path = EventRecogniser(source.name, detector, Recogniser(runner, bundle.manifest.calibration))
        for frame in source.frames():
            if path.step(frame).faces:
                passed("first_face")
                break
    return steps


if __name__ == "__main__":
    sys.stdout.write(_MARK + json.dumps(_probe(sys.argv[1])) + "\n")
