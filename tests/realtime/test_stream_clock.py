"""Media time from stamps as streams really have them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsfmicro.realtime.sources.stream_clock import StreamClock

STEP_S = 1 / 30


def timed(stamps: list[float | None], arrivals: list[float]) -> tuple[list[float | None], StreamClock]:
    clock = StreamClock()
    return [clock.time_of(stamp, arrived) for stamp, arrived in zip(stamps, arrivals, strict=True)], clock


def test_the_stamps_are_the_clock_not_the_arrivals() -> None:
    rng = np.random.default_rng(1)
    stamps: list[float | None] = [7000.0 + i * STEP_S for i in range(90)]
    arrivals = [50.0 + i * STEP_S + float(rng.uniform(0, 0.3)) for i in range(90)]
    times, clock = timed(stamps, sorted(arrivals))
    assert times == pytest.approx([i * STEP_S for i in range(90)])
    assert (clock.unordered, clock.rebased) == (0, 0)


def test_stamps_that_are_missing_or_do_not_advance_are_counted() -> None:
    stamps = [None, 0.0, 0.1, 0.1, 0.05, 0.2]
    times, clock = timed(stamps, [10.0 + i / 10 for i in range(6)])
    assert times == [None, 0.0, pytest.approx(0.1), None, None, pytest.approx(0.2)]
    assert (clock.unordered, clock.rebased) == (3, 0)


@pytest.mark.parametrize("jump_s", [4.8, -4.77, 3600.0, -3600.0])
def test_a_jump_goes_on_by_the_monotonic_clock(jump_s: float) -> None:
    stamps: list[float | None] = [100.0 + i * STEP_S + (jump_s if i >= 5 else 0) for i in range(10)]
    times, clock = timed(stamps, [i * STEP_S for i in range(10)])
    assert times == pytest.approx([i * STEP_S for i in range(10)])
    assert (clock.unordered, clock.rebased) == (0, 1)


def test_there_and_back_again_is_two_jumps() -> None:
    """Lost UDP packets: +4.8 s and then -4.77 s."""
    stamps: list[float | None] = [i * STEP_S + (4.8 if i == 5 else 0) for i in range(10)]
    times, clock = timed(stamps, [i * STEP_S for i in range(10)])
    assert times == pytest.approx([i * STEP_S for i in range(10)])
    assert clock.rebased == 2


def test_a_network_that_stood_still_moves_no_time() -> None:
    arrivals = [i * STEP_S for i in range(5)] + [5.0 + i * 0.001 for i in range(150)]
    stamps: list[float | None] = [i * STEP_S for i in range(155)]
    times, clock = timed(stamps, arrivals)
    assert times == pytest.approx(stamps) and clock.rebased == 0


def test_frames_lost_while_the_network_stood_still_are_no_jump() -> None:
    stamps: list[float | None] = [0.0, STEP_S, 2 * STEP_S, 4.5, 4.5 + STEP_S]
    times, clock = timed(stamps, [0.0, STEP_S, 5.0, 5.001, 5.002])
    assert times == pytest.approx(stamps) and clock.rebased == 0


def test_a_buffer_delivered_at_once_is_no_jump() -> None:
    """HLS: segments of six seconds in one go."""
    stamps: list[float | None] = [i * STEP_S for i in range(360)]
    times, clock = timed(stamps, [i * 0.0005 for i in range(360)])
    assert times == pytest.approx(stamps) and clock.rebased == 0


@given(st.lists(st.tuples(st.one_of(st.none(), st.floats(-1e4, 1e4)), st.floats(0, 10)), min_size=1, max_size=40))
def test_whatever_comes_time_only_goes_on(frames: list[tuple[float | None, float]]) -> None:
    arrivals = list(itertools.accumulate(wait for _, wait in frames))
    times, clock = timed([stamp for stamp, _ in frames], arrivals)
    usable = [t for t in times if t is not None]
    assert all(after > before for before, after in itertools.pairwise(usable))
    assert all(t >= 0 for t in usable)
    assert len(usable) + clock.unordered == len(frames)
