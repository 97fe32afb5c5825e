"""Python's garbage collector, kept off the frames."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loaded_objects_set_aside() -> Iterator[None]:
    """Have the collector look only at what is made from now on.

    Now and then it walks over every object there is. Most of them are modules and models that stay to the end, and the
    walk takes as long as several frames.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
