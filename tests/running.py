"""Running the commands as a user does, in this process or in one of their own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tsfmicro import cli

ROOT = Path(__file__).resolve().parents[1]
PROTOCOL = "casme2_5c_tsf"
CLIP_FRAMES = 30

Command = Callable[[], None]


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def assert_refused(self, code: int, *hints: str) -> None:
        """The code, nothing on standard output, and one sentence that has the hints in it."""
        assert self.code == code, self.err
        assert self.out == ""
        assert self.err.startswith("error: ") and self.err.endswith("\n") and self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        for hint in hints:
            assert hint in self.err


class Prompt:
    """Types commands, in this process: the real entry points, without their start-up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capfd = monkeypatch, capfd

    def __call__(self, name: str, *words: object, command: Command | None = None) -> Done:
        entry = (
            command
            or {
                "tsf-live": cli.live,
                "tsf-train": cli.train,
                "tsf-export": cli.export,
                "tsf-bench": cli.bench,
                "tsf-doctor": cli.doctor,
            }[name]
        )
        self._monkeypatch.setattr("sys.argv", [name, *map(str, words)])
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            entry()
        out, err = self._capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, out, err)

    def live(self, *words: object) -> Done:
        return self("tsf-live", *words, "--no-display")


def spawn(*words: object, script: str = "live") -> list[str]:
    """Command line of a true process."""
    start = f"import sys; from tsfmicro.cli import {script}; sys.argv[0] = 'tsf-{script}'; {script}()"
    return [sys.executable, "-c", start, *map(str, words)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1", cli.DEBUG_VARIABLE: ""}


def write_clip(path: Path, options: dict[str, str] | None = None) -> Path:
    """A film of a growing grey: no face, quick to read."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.options = {"crf": "10", "preset": "ultrafast", "g": "5", "tune": "zerolatency"}
        rng = np.random.default_rng(3)
        for index in range(CLIP_FRAMES):
            noisy = rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)  # so that the file is not all header
            picture = av.VideoFrame.from_ndarray(noisy, format="rgb24")
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path
