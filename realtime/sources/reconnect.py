"""A live source that comes back: closed when it is lost, opened again after a pause, the gap on the record."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from tsfmicro.closing import Closing
from tsfmicro.errors import SourceError, SourceLostError, TsfError, UsageError
from tsfmicro.realtime.sources.base import Source
from tsfmicro.values import Frame, Moment

DEFAULT_RETRY_FOR_S = 60.0
_LEAST_STEP_S = 0.001


@dataclass(frozen=True, slots=True)
class RetrySpec:
    """How often and how long a lost source is tried again."""

    retry_for_s: float = DEFAULT_RETRY_FOR_S
    """Counted from the loss, or from the last frame after it; infinity never gives up."""
    first_s: float = 0.5
    """Pause before the first attempt; a closed port refuses in a millisecond."""
    longest_s: float = 5.0
    """The pause doubles up to this."""
    jitter: float = 0.2
    """Every pause is longer or shorter by up to this share, so that many readers do not come back at once."""

    def __post_init__(self) -> None:
        if not self.retry_for_s >= 0:
            raise UsageError(f"--retry-for is {self.retry_for_s}; expected seconds, 0 or more, or inf")

    def pause_s(self, attempt: int, rng: random.Random) -> float:
        """Seconds to wait before an attempt, counted from 0."""
        steady_s = min(self.longest_s, self.first_s * 2.0 ** min(attempt, 30))
        return steady_s * rng.uniform(1 - self.jitter, 1 + self.jitter)


@dataclass(frozen=True, slots=True)
class Lost:
    """The source went away."""

    at: Moment
    """Last frame before it."""
    reason: str
    """One word, as in ``SourceLostError``."""
    detail: str
    """A sentence, free of credentials."""
    captured_s: float
    """Monotonic clock when it was noticed."""
    last_captured_s: float
    """Monotonic clock of that last frame."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The source came back; the frame at this moment follows."""

    at: Moment
    gap_s: float
    """Between the last frame before and the first one after, monotonic clock."""
    captured_s: float
    """Of that first frame."""


Item: TypeAlias = Frame | Lost | Restored


class ReconnectingSource(Closing):
    """Frames of one live source over as many connections as it takes.

    Media time and frame numbers go on across a gap: time by the monotonic clock, numbers without a hole, since nobody
    knows how many frames there would have been.

    Args:
        first: the connection that is open already.
        reopen: makes the next one; raises ``SourceError`` where that fails.
        spec: how long to try.
        rng: of the jitter.
        wait: sleeps for so many seconds, and returns true as soon as the source is to stop.
        now_s: monotonic clock.
    """

    live = True
    expected_frames: int | None = None
    expected_duration_s: float | None = None

    def __init__(
        self,
        first: Source,
        reopen: Callable[[], Source],
        spec: RetrySpec | None = None,
        rng: random.Random | None = None,
        wait: Callable[[float], bool] | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = first.name
        self._reopen = reopen
        self._spec = spec or RetrySpec()
        self._rng = rng or random.Random()
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._now_s = now_s
        self._reading = threading.Lock()
        self._connection: Source | None = first
        self._closed_skipped = self._closed_undecodable = self._closed_misstamped = 0
        self._last: Frame | None = None

    @property
    def connection(self) -> Source | None:
        """What frames come from at present; None while there is nothing."""
        return self._connection

    @property
    def skipped(self) -> int:
        """See ``Source.skipped``; over all connections, as the next two."""
        return self._closed_skipped + (self._connection.skipped if self._connection else 0)

    @property
    def undecodable(self) -> int:
        """See ``Source.undecodable``."""
        return self._closed_undecodable + (self._connection.undecodable if self._connection else 0)

    @property
    def misstamped(self) -> int:
        """See ``Source.misstamped``."""
        return self._closed_misstamped + (self._connection.misstamped if self._connection else 0)

    def items(self) -> Iterator[Item]:
        """Frames in order, and where they break off and go on again; ends where a connection ends without a loss.

        Raises:
            SourceLostError: it did not come back in time.
        """
        with self._reading:
            try:
                yield from self._items()
            finally:
                self._disconnect()

    def frames(self) -> Iterator[Frame]:
        """See ``Source.frames``; the gaps are passed over in silence."""
        for item in self.items():
            if isinstance(item, Frame):
                yield item

    def stop(self) -> None:
        """End a wait for the source to come back; from any thread."""
        self._stopped.set()

    def close(self) -> None:
        """See ``Source.close``. Where a thread still reads, that thread closes the connection when it is done."""
        self.stop()
        if self._reading.acquire(blocking=False):
            try:
                self._disconnect()
            finally:
                self._reading.release()

    def _items(self) -> Iterator[Item]:
        lost: Lost | None = None
        trouble: TsfError | None = None
        attempt = 0
        while True:
            if self._connection is not None:
                try:
                    for frame in self._placed(self._connection):
                        if lost is not None:
                            at = Moment(frame.index, frame.t_s)
                            yield Restored(at, frame.captured_s - lost.last_captured_s, frame.captured_s)
                            lost = None
                        yield frame
                        if self._stopped.is_set():
                            return
                    return
                except (SourceLostError, SourceError) as error:
                    trouble = error
                self._disconnect()
            if self._stopped.is_set():
                return
            if lost is None:
                lost, attempt = self._lost(trouble), 0
                yield lost
            left_s = lost.captured_s + self._spec.retry_for_s - self._now_s()
            if left_s <= 0:
                raise SourceLostError(self._given_up(trouble))
            if self._wait(min(left_s, self._spec.pause_s(attempt, self._rng))):
                return
            attempt += 1
            try:
                self._connection = self._reopen()
            except SourceError as error:
                trouble = error

    def _placed(self, connection: Source) -> Iterator[Frame]:
        """The frames of a connection, on the time line and in the numbering of the whole source."""
        before, shift_s, shift = self._last, 0.0, 0
        for frame in connection.frames():
            if before is not None:
                waited_s = max(frame.captured_s - before.captured_s, _LEAST_STEP_S)
                shift_s, shift, before = before.t_s + waited_s - frame.t_s, before.index + 1, None
            placed = frame
            if shift or frame.source != self.name:
                placed = replace(frame, index=frame.index + shift, t_s=frame.t_s + shift_s, source=self.name)
            self._last = placed
            yield placed

    def _lost(self, trouble: TsfError | None) -> Lost:
        now_s = self._now_s()
        last = self._last
        return Lost(
            at=Moment(0, 0.0) if last is None else Moment(last.index, last.t_s),
            reason=getattr(trouble, "reason", "no_picture"),
            detail=str(trouble),
            captured_s=now_s,
            last_captured_s=now_s if last is None else last.captured_s,
        )

    def _given_up(self, trouble: TsfError | None) -> str:
        return f"{self.name} was lost and did not come back within {self._spec.retry_for_s:g} s; at last: {trouble}"

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._closed_skipped += connection.skipped
            self._closed_undecodable += connection.undecodable
            self._closed_misstamped += connection.misstamped
            connection.close()
