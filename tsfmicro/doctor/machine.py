"""The rest of the machine: processors, memory, clock, console, and where results go."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tsfmicro.doctor.cameras import Surroundings
from tsfmicro.doctor.findings import Finding
from tsfmicro.doctor.installation import Installation
from tsfmicro.doctor.limits import Resources

_MIN_MEMORY_GIB = 1.0
"""A run of ``demo:`` takes 0.4 GiB; large pictures and the annotated video take more."""
_LOW_SPACE_MIB, _NO_SPACE_MIB = 1024.0, 50.0
_WORST_RESOLUTION_S = 1e-3
"""A frame at 60 frames/s is 16 ms; its time must be known far better."""
_SIGNS = "→ × ≥ é"
"""What messages, tables and people's file names contain."""
_FIRST_YEAR = 2026
"""The project did not exist earlier."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The monotonic clock, by what it declares and what it did, and the calendar."""

    monotonic: bool
    resolution_s: float
    ran_backwards: bool
    year: int


@dataclass(frozen=True, slots=True)
class Folder:
    """Where results would be written."""

    path: Path
    problem: str | None
    """Why nothing can be written there."""
    free_mib: float | None


def gather_surroundings() -> Surroundings:
    """Container, WSL, or neither."""
    version = Path("/proc/version")
    kernel = version.read_text(encoding="utf-8", errors="replace").lower() if version.exists() else ""
    contained = any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))
    return Surroundings(
        is_linux=sys.platform.startswith("linux"),
        in_container=contained or any(os.environ.get(name) for name in ("container", "KUBERNETES_SERVICE_HOST")),
        in_wsl="microsoft" in kernel,
    )


def judge_resources(resources: Resources, around: Surroundings) -> list[Finding]:
    """Processors and memory."""
    return [_judge_cpu(resources, around), _judge_memory(resources, around)]


def _judge_cpu(resources: Resources, around: Surroundings) -> Finding:
    usable, quota = resources.usable_cpus, resources.quota_cpus
    text = (
        f"{usable} of {resources.logical_cpus} processors"
        if usable < resources.logical_cpus
        else f"{usable} processors"
    )
    text += ", in a container" if around.in_container else ""
    if quota is not None and quota < usable - 0.01:
        wanted = max(1, int(quota))
        text += f", but only the time of {quota:g}: threads are started for {usable} and made to wait"
        first = f"0-{wanted - 1}"
        fix = f"docker run --cpuset-cpus {first} ... in place of --cpus; elsewhere: taskset -c {first} tsf-live ..."
        return Finding("cpu", "warn", text, fix)
    if usable < 2:
        fix = "docker run --cpus 2 ..." if around.in_container else "use a machine with two processors or more"
        return Finding("cpu", "warn", f"{text}; a camera of 30 frames/s wants two", fix)
    if resources.load_1min is not None and resources.load_1min > 1.25 * usable:
        text += f", and other work keeps them busy (load {resources.load_1min:.1f})"
        return Finding("cpu", "warn", f"{text}; a camera will lose frames", "see what else runs: top -o %CPU")
    return Finding("cpu", "ok", text)


def _judge_memory(resources: Resources, around: Surroundings) -> Finding:
    if resources.available_gib is None:
        return Finding("memory", "ok", "not known on this system")
    text = f"{resources.available_gib:.1f} GiB available"
    if resources.available_gib < _MIN_MEMORY_GIB:
        fix = "docker run --memory 2g ..." if around.in_container else "close other programs: top -o %MEM"
        return Finding("memory", "warn", f"{text}; a run wants {_MIN_MEMORY_GIB:g} GiB", fix)
    return Finding("memory", "ok", text)


def gather_clock() -> Clock:
    """Read the monotonic clock some thousand times."""
    information = time.get_clock_info("monotonic")
    readings = [time.monotonic() for _ in range(5000)]
    backwards = any(later < earlier for earlier, later in pairwise(readings))
    return Clock(information.monotonic, information.resolution, backwards, time.gmtime().tm_year)


def judge_clock(clock: Clock, here: Installation) -> list[Finding]:
    """Frames are timed on the monotonic clock, files and events are dated by the other one."""
    if clock.ran_backwards or not clock.monotonic:
        fix = "use another clock source: cat /sys/devices/system/clocksource/clocksource0/available_clocksource"
        return [Finding("clock", "fail", "the monotonic clock runs backwards; frames cannot be timed", fix)]
    text = f"monotonic, resolution {clock.resolution_s * 1e3:g} ms"
    if clock.resolution_s > _WORST_RESOLUTION_S:
        fix = "give video files, which carry their own times, or use a system with a finer clock"
        return [Finding("clock", "warn", f"{text}: too coarse for a camera", fix)]
    if clock.year < _FIRST_YEAR:
        fix = here.as_root("timedatectl set-ntp true")
        return [Finding("clock", "warn", f"{text}; the calendar says {clock.year}", fix)]
    return [Finding("clock", "ok", text)]


def judge_console(encoding: str | None) -> list[Finding]:
    """Whether standard output can show what is printed."""
    try:
        _SIGNS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        text = f"standard output is {encoding or 'of no known encoding'}; names and tables will break"
        return [Finding("console", "warn", text, "export LANG=C.UTF-8 PYTHONUTF8=1")]
    return [Finding("console", "ok", f"{encoding}")]


def gather_folder(path: Path) -> Folder:
    """Write a file there, or where it would be made, and remove it again."""
    nearest = path.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    free_mib = None
    try:
        free_mib = shutil.disk_usage(nearest).free / 2**20
        with tempfile.NamedTemporaryFile(dir=nearest, prefix=".tsf-doctor-") as file:
            file.write(b"x" * 4096)
    except OSError as error:
        return Folder(path, error.strerror or type(error).__name__, free_mib)
    return Folder(path, None, free_mib)


def judge_folder(folder: Folder) -> list[Finding]:
    """Permission and space where ``--events``, ``--video`` and the others would write."""
    quoted = shlex.quote(str(folder.path))
    free = "" if folder.free_mib is None else f", {_size(folder.free_mib)} free"
    another = "name another folder in --events, --video and the others"
    full = folder.free_mib is not None and folder.free_mib < _NO_SPACE_MIB
    if full or folder.problem == os.strerror(errno.ENOSPC):
        text = f"{folder.path} is full{free}"
        return [Finding("output", "fail", text, f"make room: du -xh --max-depth 2 {quoted} | sort -h; or {another}")]
    if folder.problem is not None:
        text = f"nothing can be written to {folder.path}: {folder.problem}"
        return [Finding("output", "fail", text, f"mkdir -p {quoted} && chmod u+w {quoted}; or {another}")]
    if folder.free_mib is not None and folder.free_mib < _LOW_SPACE_MIB:
        fix = f"make room: du -xh --max-depth 2 {quoted} | sort -h"
        return [Finding("output", "warn", f"{folder.path}{free}: little for an annotated video", fix)]
    return [Finding("output", "ok", f"{folder.path} can be written{free}")]


def _size(mib: float) -> str:
    return f"{mib / 1024:.0f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"
