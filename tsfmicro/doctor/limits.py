"""How much of the machine this process may use: processors, memory, and the control group's limits on both."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_GIB = 1024.0**3
_UNLIMITED_BYTES = 1 << 60
"""Version 1 control groups write a number near 2**63 where there is no limit."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a control group allows; None where it sets no limit."""

    cpus: float | None
    memory_bytes: int | None
    """What is left of the limit."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What there is for a run."""

    logical_cpus: int
    usable_cpus: int
    """By affinity, which ``taskset`` and ``--cpuset-cpus`` set; threads are started for these."""
    quota_cpus: float | None
    """By time, which ``docker --cpus`` sets; threads beyond it are made to wait."""
    load_1min: float | None
    available_gib: float | None


def gather_resources() -> Resources:
    """Look at the running machine."""
    limits = read_limits(Path("/sys/fs/cgroup"), _text(Path("/proc/self/cgroup")))
    free = _available_bytes(_text(Path("/proc/meminfo")))
    amounts = [amount for amount in (free, limits.memory_bytes) if amount is not None]
    logical = os.cpu_count() or 1
    return Resources(
        logical_cpus=logical,
        usable_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical,
        quota_cpus=limits.cpus,
        load_1min=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        available_gib=min(amounts) / _GIB if amounts else None,
    )


def read_limits(root: Path, membership: str) -> Limits:
    """The tightest limits of this process's control groups, versions 1 and 2.

    Args:
        root: where they are mounted, ``/sys/fs/cgroup``.
        membership: text of ``/proc/self/cgroup``.
    """
    cpus: list[float] = []
    memory: list[int] = []
    for folder in _folders(root, membership):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        old = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        for allowed, of in ((quota, period), old):
            if _is_number(allowed) and _is_number(of) and int(of) > 0:
                cpus.append(int(allowed) / int(of))
        names = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
        for limit, used in ((_text(folder / a), _text(folder / b)) for a, b in names):
            if _is_number(limit) and int(limit) < _UNLIMITED_BYTES:
                memory.append(max(0, int(limit) - (int(used) if _is_number(used) else 0)))
    return Limits(min(cpus, default=None), min(memory, default=None))


def _folders(root: Path, membership: str) -> list[Path]:
    """Of every hierarchy the root, which is all a container sees, and this process's own group."""
    found = [root]
    for line in membership.splitlines():
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        base = root / controllers if controllers else root
        found += [base, base / group.lstrip("/")]
    return list(dict.fromkeys(found))


def _available_bytes(meminfo: str) -> int | None:
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _is_number(text: str) -> bool:
    return text.isdecimal()
