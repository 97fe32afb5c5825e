"""Media time of a live stream, from stamps that stop, repeat, jump and go backwards."""

from __future__ import annotations

_JUMP_S = 1.0
"""A stamp that strays further than this from the monotonic clock belongs to a new time line."""
_LEAST_STEP_S = 0.001


class StreamClock:
    """Turns presentation stamps and arrival times into seconds from the first frame, strictly increasing.

    The stamps are the better clock: frames arrive in bursts. The arrival tells only when a stamp cannot be right. A
    stamp that falls behind the arrival is no error, the network stood still; one that runs ahead of it, or far back,
    is, and starts a new time line that goes on from the last frame by the monotonic clock.
    """

    def __init__(self) -> None:
        self.unordered = 0
        """Stamps that were missing or did not advance; their frames have no time."""
        self.rebased = 0
        """Time lines begun after a jump."""
        self._offset_s = 0.0
        self._last: tuple[float, float, float] | None = None
        self._head_s = 0.0

    def time_of(self, stamp_s: float | None, arrived_s: float) -> float | None:
        """Media time of the next frame, seconds; None where its stamp cannot be used.

        Args:
            stamp_s: presentation stamp of the stream, seconds.
            arrived_s: monotonic clock when it arrived, seconds.
        """
        if stamp_s is None:
            self.unordered += 1
            return None
        if self._last is None:
            return self._restart(stamp_s, arrived_s, 0.0)
        last_stamp_s, last_arrived_s, last_t_s = self._last
        step_s, waited_s = stamp_s - last_stamp_s, arrived_s - last_arrived_s
        # After a still network, stamps leap to catch up: only what is ahead of the earliest arrival is ahead.
        ahead_s = min(step_s - waited_s, stamp_s - arrived_s - self._head_s)
        if ahead_s > _JUMP_S or step_s < -_JUMP_S:
            self.rebased += 1
            return self._restart(stamp_s, arrived_s, last_t_s + max(waited_s, _LEAST_STEP_S))
        if step_s <= 0:
            self.unordered += 1
            return None
        self._head_s = max(self._head_s, stamp_s - arrived_s)
        return self._keep(stamp_s, arrived_s)

    def _restart(self, stamp_s: float, arrived_s: float, t_s: float) -> float:
        self._offset_s = t_s - stamp_s
        self._head_s = stamp_s - arrived_s
        return self._keep(stamp_s, arrived_s)

    def _keep(self, stamp_s: float, arrived_s: float) -> float:
        t_s = stamp_s + self._offset_s
        if self._last is not None:  # the last bits of a sum must not make a step of nothing
            t_s = max(t_s, self._last[2] + 1e-9)
        self._last = (stamp_s, arrived_s, t_s)
        return t_s
