"""Threads whose work can wait a little, beside one whose work cannot."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

_NICENESS = 10


def background_thread(name: str) -> ThreadPoolExecutor:
    """One thread that does what it is given, in order, with what the frames leave of the processor.

    On Linux, where a thread has a priority of its own; elsewhere it has that of the process.
    """
    return ThreadPoolExecutor(1, name, initializer=_give_way)


def _give_way() -> None:
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
