"""What every source of frames promises."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from tsfmicro.values import Frame


@runtime_checkable
class Source(Protocol):
    """Frames over one connection to a camera, stream, file or folder.

    Open once built; a context manager that closes it. ``frames`` may run in another thread than the one that built it.
    """

    name: str
    """What the user named, with credentials removed: safe in logs, events and window titles."""
    live: bool
    """True where frames come at the pace of the world and a slow reader has to drop some."""
    expected_frames: int | None
    """How many frames the container claims. Only for a progress bar: containers are often wrong."""
    expected_duration_s: float | None
    """How long the container says it lasts, media seconds. Only for a progress bar."""

    @property
    def skipped(self) -> int:
        """Pictures given up so far: not decodable, of another size, or without a usable time."""
        ...

    @property
    def undecodable(self) -> int:
        """Pictures so far that could not be decoded, or not into a picture of the source's size."""
        ...

    @property
    def misstamped(self) -> int:
        """Pictures so far whose time was missing or did not advance: given up, or given a time of ours."""
        ...

    def frames(self) -> Iterator[Frame]:
        """The frames in order, once.

        ``pixels`` are (H, W, 3) RGB uint8 of one size throughout; ``t_s`` is media seconds from the first frame and
        strictly increasing; ``index`` also counts the skipped ones; ``captured_s`` is the monotonic clock.

        Raises:
            SourceLostError: a source that had delivered frames broke off, or a live one ended.
        """
        ...

    def close(self) -> None:
        """Give back the device or file. May be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
