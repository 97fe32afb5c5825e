"""Whether the overlay window can be opened, found out by opening one in another process."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from tsfmicro.doctor.findings import Finding
from tsfmicro.doctor.processes import Answer, ask

_WINDOW_TIMEOUT_S = 20.0
_WITHOUT = "tsf-live runs without a window, and --video writes what it would show"


@dataclass(frozen=True, slots=True)
class Display:
    """What the environment says and what happened when a window was opened."""

    named: str
    """Such as ``DISPLAY=:0``; empty where there is no display."""
    window: Answer | None
    """None where none was tried."""


def gather_display() -> Display:
    """Read the environment, and try."""
    if not sys.platform.startswith("linux"):
        return Display(f"the display of {sys.platform}", ask("window", timeout_s=_WINDOW_TIMEOUT_S))
    present = [name for name in ("DISPLAY", "WAYLAND_DISPLAY") if os.environ.get(name)]
    named = " ".join(f"{name}={os.environ[name]}" for name in present)
    return Display(named, ask("window", timeout_s=_WINDOW_TIMEOUT_S) if present else None)


def judge_display(display: Display) -> list[Finding]:
    """No display is fine. One that is announced and cannot be used ends ``tsf-live`` when it opens its window."""
    if display.window is None:
        return [Finding("display", "ok", f"none (neither DISPLAY nor WAYLAND_DISPLAY is set): {_WITHOUT}")]
    problem = display.window.problem
    if problem is None:
        return [Finding("display", "ok", f"{display.named}: a window opens")]
    if "not implemented" in problem:
        text = f"{display.named}, but this OpenCV is a build without windows; tsf-live would end at its first frame"
        return [Finding("display", "fail", text, "give tsf-live --no-display, or mend opencv")]
    reason = "no display answers there" if "could not connect to display" in problem else problem
    text = f"{display.named}, but no window opens: {reason}; tsf-live would end at its first frame"
    return [Finding("display", "fail", text, "unset DISPLAY WAYLAND_DISPLAY, or give tsf-live --no-display")]
