"""Another tool in a process of its own: what is sent, what comes back, and what happens where it does not run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.running import Prompt
from tsfmicro.benchmarks import peers
from tsfmicro.benchmarks.peers import run_peers
from tsfmicro.benchmarks.stages import write_demo
from tsfmicro.errors import BackendError, UsageError

BRIGHT = "import time\ndef faces(bgr): time.sleep(0.002); return int(bgr[:, :, 0].mean() < bgr[:, :, 2].mean())"


def test_the_tool_gets_the_pictures_in_its_order_of_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The portrait is redder than blue; an RGB picture taken for BGR would be bluer than red."""
    monkeypatch.setitem(peers.TOOLS, "bright", ("numpy", BRIGHT))
    clip = write_demo(tmp_path / "demo.mp4", 5)
    theirs, ours, ratio = run_peers("bright", Path(sys.executable), str(clip), 2, 5)
    assert theirs["what"].startswith("bright 1.") and theirs["frames_with_a_face"] == ours["frames_with_a_face"] == 1.0
    assert theirs["median_ms_per_frame"] >= 2.0 > theirs["median_cpu_ms_per_frame"]  # it sleeps
    assert len(theirs["samples"]["ms_per_frame"]) == len(ratio["samples"]["ratio"]) == ratio["rounds"] == 2
    assert ratio["min"] <= ratio["median"] <= ratio["max"]


def test_a_tool_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peers.TOOLS, "absent", ("numpy", "import no_such_tool_anywhere"))
    with pytest.raises(BackendError, match=r"absent does not run with python.*no_such_tool_anywhere"):
        run_peers("absent", Path(sys.executable), str(write_demo(tmp_path / "demo.mp4", 3)), 1, 3)
    with pytest.raises(UsageError, match="expected fer"):
        run_peers("else", Path(sys.executable), "demo:", 1, 3)


def test_bad_words(prompt: Prompt) -> None:
    prompt("tsf-bench", "peers", "--python", "nowhere/python").assert_refused(2, "which is no file")
