"""Questions asked of other programs, which may hang or crash without taking the doctor with them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tsfmicro.doctor.findings import one_line

_PROBE_TIMEOUT_S = 120.0
_TOOL_TIMEOUT_S = 20.0
_LAST_WORDS = 5
"""Lines of a dying process that are worth repeating."""
_START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from tsfmicro.doctor.probes import main
main(sys.argv[2:])
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe found, or why it could not."""

    values: Mapping[str, Any]
    """Plain JSON values; empty when there is a problem."""
    problem: str | None = None
    """One line, None when all went well."""
    exit_code: int | None = None
    """That of the error, where it is one this project raises on purpose."""


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A program that ran to its end."""

    code: int
    output: str
    """Standard output and standard error together."""


def ask(probe: str, *arguments: str, timeout_s: float = _PROBE_TIMEOUT_S) -> Answer:
    """Run one function of :mod:`tsfmicro.doctor.probes` in a process with this one's module search path.

    Native libraries are imported there and not here: OpenCV ends the process when its window library finds no
    display, and a wheel built for another processor dies of an illegal instruction.
    """
    command = [sys.executable, "-c", _START, json.dumps(sys.path), probe, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return Answer({}, f"no answer within {timeout_s:g} s")
    except OSError as error:
        return Answer({}, f"{sys.executable} cannot be started: {error.strerror}")
    said = done.stderr.decode(errors="replace").strip().splitlines()
    last_words = one_line(" ".join(said[-_LAST_WORDS:])) or "nothing was said"
    if done.returncode < 0:
        return Answer({}, f"the process was ended by {_signal_name(-done.returncode)}: {last_words}")
    try:
        values = json.loads(done.stdout)
    except ValueError:
        return Answer({}, f"the process ended with code {done.returncode}: {last_words}")
    problem = values.pop("error", None)
    return Answer(values) if problem is None else Answer({}, one_line(problem), values.get("exit_code"))


def run_tool(*words: str, timeout_s: float = _TOOL_TIMEOUT_S) -> ToolRun | None:
    """Run a program of the system; None where there is no such program, or it does not answer in time."""
    try:
        done = subprocess.run(
            words, capture_output=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL, text=True,
            errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ToolRun(done.returncode, done.stdout + done.stderr)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
