"""The dynamic images of the last micro-expressions, for whoever shows them: events themselves hold no pictures."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from tsfmicro.realtime.events import MeEnd
from tsfmicro.values import Float32Array, UInt8Array

_KEPT = 64
"""Micro-expressions, 4 kB each; a viewer wants the last one of each face."""


class DynamicImages:
    """Filled by the thread that names, before it tells the name; read by those that draw."""

    def __init__(self) -> None:
        self._images: OrderedDict[tuple[str, str], UInt8Array] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, key: tuple[str, str], image: Float32Array) -> None:
        """Remember an image, and forget the oldest if there are many.

        Args:
            key: source and event id.
            image: (64, 64) in 0..1.
        """
        grey = np.round(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)
        with self._lock:
            self._images[key] = grey
            while len(self._images) > _KEPT:
                self._images.popitem(last=False)

    def of(self, event: MeEnd) -> UInt8Array | None:
        """(64, 64) grey levels; None where the recogniser drew nothing of it, or it is long ago."""
        with self._lock:
            return self._images.get((event.source, event.event_id))
