"""Work that gives way to the frames."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from tsfmicro.background import background_thread


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux only")
def test_the_thread_gives_way_and_nobody_else_does() -> None:
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with background_thread("work") as thread:
        there = thread.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result()
    assert there == 10
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_work_is_done_in_order_by_one_thread_of_that_name() -> None:
    with background_thread("work") as thread:
        names = list(thread.map(lambda number: (number, threading.current_thread().name), range(20)))
    assert names == [(number, "work_0") for number in range(20)]
