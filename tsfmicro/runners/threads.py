"""How many threads a recogniser may use on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from tsfmicro.errors import UsageError

MOST_BY_DEFAULT = 4
"""One pair is too little work for more, and the frame path needs cores as well."""


def physical_cores() -> int:
    """Cores this process may run on, with hardware threads of one core counted once."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = set()
    for cpu in usable:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            cores.add(siblings.read_text(encoding="ascii"))
        except OSError:  # not Linux, or a sandbox without /sys: count what there is
            return max(1, len(usable))
    return max(1, len(cores))


def thread_count(threads: int | None) -> int:
    """``threads`` as asked for, or for None the physical cores, four at most.

    Raises:
        UsageError: if fewer than 1 are asked for.
    """
    if threads is None:
        return min(physical_cores(), MOST_BY_DEFAULT)
    if threads < 1:
        raise UsageError(f"threads is {threads}; expected 1 or more, or leave it out for the physical cores, 4 at most")
    return threads


def beside_the_frames() -> int:
    """Threads of a recogniser that names while the next frames are analysed: one core is theirs, if there are two."""
    return max(1, min(physical_cores() - 1, MOST_BY_DEFAULT))
