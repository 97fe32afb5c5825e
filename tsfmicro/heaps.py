"""The heaps of glibc's malloc, shared by the threads of a program."""

from __future__ import annotations

import ctypes
import os
import sys

_M_ARENA_MAX = -8
"""Of ``mallopt``, in glibc's malloc.h."""
_LEAST = 2


def share_heaps() -> None:
    """Have malloc keep as many heaps as there are processors, and no more.

    By itself glibc gives threads heaps of their own, up to eight for every processor, and what a thread frees stays in
    its heap: a session of thirty threads holds more, and takes longer to get there. For programs, not libraries, since
    it is the whole process's; as early as can be, since heaps that are there stay. Where there is no glibc, or the user
    has said how many there shall be (``MALLOC_ARENA_MAX``), nothing is changed.
    """
    if sys.platform != "linux" or "MALLOC_ARENA_MAX" in os.environ:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, max(_LEAST, len(os.sched_getaffinity(0))))
