"""A planted slowdown, to see whether a comparison finds it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from tsfmicro.realtime.pipeline import EventRecogniser


def slow_down(percent: float, now_s: Callable[[], float] = time.process_time) -> Callable[[], None]:
    """From now on every frame takes so much longer, in this process.

    After a frame the analysing thread spins for that share of the processor time that went by since the frame before it
    was done, so that decoding and whatever else lies between two frames is slowed with it, and waiting is not. (A share
    of the time on the wall would be burnt on a busy machine while others are waited for: far more work than was meant.)

    Args:
        percent: of the processor time a frame takes.
        now_s: the clock, by default the processor time of all threads.

    Returns:
        What takes it back.
    """
    observe = EventRecogniser.observe
    done_s: WeakKeyDictionary[EventRecogniser, float] = WeakKeyDictionary()

    def slowed(path: EventRecogniser, *frame: Any) -> Any:
        began_s = done_s.get(path, now_s())
        observed = observe(path, *frame)
        now = now_s()
        ends_s = now + (now - began_s) * percent / 100
        while now < ends_s:
            now = now_s()
        done_s[path] = now
        return observed

    def back() -> None:
        EventRecogniser.observe = observe  # type: ignore[method-assign]

    EventRecogniser.observe = slowed  # type: ignore[method-assign, assignment]
    return back
