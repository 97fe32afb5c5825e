"""What a result says of the machine it was measured on: enough to judge a number, nothing to find the machine by."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_MIB = 2**20
_NO_LIMIT_MIB = 2**40
"""cgroup v1 says "unlimited" as the largest number of pages it can count."""
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "TBB_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
)
_SMI_FIELDS = ("name", "driver_version", "memory.total", "clocks.max.sm", "power.limit")


def machine() -> dict[str, Any]:
    """Processor, limits and accelerator; null where this system does not tell."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "kernel": platform.release(),
        "cpu": _cpu_name(),
        "cpu_mhz": _cpu_mhz(),
        "cpus": os.cpu_count(),
        "cpus_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "cpu_limit": cpu_limit(_GROUPS, _own_groups()),
        "cpu_governor": _word(_GOVERNOR),
        "memory_mib": _memory_mib(),
        "memory_limit_mib": memory_limit_mib(_GROUPS, _own_groups()),
        "threads": {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ},
        "gpus": gpus(),
        "load_average_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def cores_granted() -> float:
    """Cores this process may use: those it is bound to, or less where its control group says so."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = cpu_limit(_GROUPS, _own_groups())
    return float(usable) if limit is None else min(float(usable), limit)


def cpu_limit(root: Path, own: dict[str, str]) -> float | None:
    """CPUs that the control groups grant this process, the smallest along its way up; None where they set no limit.

    Args:
        root: where control groups are mounted.
        own: the process's group by controller, ``""`` for version 2; see ``/proc/self/cgroup``.
    """
    limits: list[float] = []
    for folder in _way_up(root, own.get("")):
        quota, _, period = (_word(folder / "cpu.max") or "max").partition(" ")
        if quota.isdigit() and period.isdigit():
            limits.append(int(quota) / int(period))
    for folder in _way_up(root / "cpu", own.get("cpu")):
        quota, period = (_word(folder / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit():  # -1 is no limit
            limits.append(int(quota) / int(period))
    return round(min(limits), 3) if limits else None


def memory_limit_mib(root: Path, own: dict[str, str]) -> int | None:
    """As :func:`cpu_limit`, MiB of memory."""
    words = [_word(folder / "memory.max") for folder in _way_up(root, own.get(""))]
    words += [_word(folder / "memory.limit_in_bytes") for folder in _way_up(root / "memory", own.get("memory"))]
    limits = [int(word) // _MIB for word in words if word is not None and word.isdigit()]
    limits = [limit for limit in limits if limit < _NO_LIMIT_MIB]
    return min(limits) if limits else None


def gpus() -> list[dict[str, str]]:
    """Name, driver, memory, highest clock and power limit of every NVIDIA GPU; empty where there is none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, f"--query-gpu={','.join(_SMI_FIELDS)}", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if found.returncode:
        return []
    rows = [[word.strip() for word in line.split(",")] for line in found.stdout.splitlines() if line.strip()]
    return [dict(zip(_SMI_FIELDS, row, strict=True)) for row in rows if len(row) == len(_SMI_FIELDS)]


def _own_groups() -> dict[str, str]:
    """``/proc/self/cgroup``: group by controller; version 2 has the empty name."""
    groups: dict[str, str] = {}
    for line in (_text(_PROC / "self" / "cgroup") or "").splitlines():
        _, controllers, group = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), group)
    return groups


def _way_up(root: Path, group: str | None) -> list[Path]:
    """The group's folder and those above it; in a container only the mounted root may be there to read."""
    if group is None:
        return []
    parts = [part for part in group.split("/") if part not in ("", "..")]
    return [root.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _cpu_name() -> str:
    for line in (_text(_PROC / "cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _cpu_mhz() -> list[float] | None:
    """What the clocks are at now, lowest and highest; where the system does not tell, None."""
    lines = (_text(_PROC / "cpuinfo") or "").splitlines()
    found = [float(line.split(":", 1)[1]) for line in lines if line.startswith("cpu MHz")]
    return [round(min(found)), round(max(found))] if found else None


def _memory_mib() -> int | None:
    for line in (_text(_PROC / "meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return None


def _word(path: Path) -> str | None:
    text = _text(path)
    return None if text is None else text.strip()


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None
