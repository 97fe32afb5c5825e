"""A window that slides over a face, whether or not anything was spotted in it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from tsfmicro.align import AlignSpec
from tsfmicro.errors import UsageError
from tsfmicro.preprocess import Preprocessor
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.windows import HeldWindow, cut_window

_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class SlideSpec:
    """When windows are cut, in seconds of media time.

    Raises:
        UsageError: when built with a stride that is no positive number.
    """

    stride_s: float
    """From the end of one window to the end of the next; they overlap where it is less than ``length_s``."""
    length_s: float = 0.5
    """Of a window: the longest that a micro-expression lasts (Yan et al., 2013, its total duration)."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.stride_s) and self.stride_s > 0):
            raise UsageError(f"--slide is {self.stride_s:g}; expected seconds, more than 0")


class SlidingWindows:
    """Keeps the last samples of one face and cuts a window out of them now and then.

    Args:
        frames: of each window.
        spec: when.
        align: geometry of the crops.
        preprocessor: of the recogniser.
    """

    def __init__(self, frames: int, spec: SlideSpec, align: AlignSpec, preprocessor: Preprocessor) -> None:
        self._frames = frames
        self._spec = spec
        self._align = align
        self._preprocessor = preprocessor
        self._samples: deque[FaceSample] = deque()
        self._due_s: float | None = None

    def push(self, sample: FaceSample) -> HeldWindow | None:
        """Take the face's next sample; a window where one is due that lies wholly in the time the face was seen."""
        now_s, spec = sample.moment.t_s, self._spec
        if self._due_s is None:
            self._due_s = now_s + spec.length_s
        self._samples.append(sample)
        # One sample from before the window may be nearer to its beginning than the first one in it.
        while len(self._samples) > 1 and self._samples[1].moment.t_s <= now_s - spec.length_s:
            self._samples.popleft()
        if now_s < self._due_s - _ROUNDING_S:
            return None
        missed = math.floor((now_s - self._due_s + _ROUNDING_S) / spec.stride_s)
        self._due_s += (missed + 1) * spec.stride_s
        return cut_window(self._samples, now_s - spec.length_s, now_s, self._frames, self._align, self._preprocessor)
