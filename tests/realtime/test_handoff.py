"""Between threads: nothing of a recording is lost, live lanes keep the newest, everybody wakes up."""

from __future__ import annotations

import itertools
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.realtime.threads import Worker
from tsfmicro.realtime.handoff import Handoff, Taken

LONG_S = 30.0
"""Never waited out unless a test fails."""


def drain(handoff: Handoff[str]) -> list[str]:
    """Everything that is there now."""
    found = []
    while turn := handoff.take(0.0):
        found += [taken.item or "end" for taken in turn]
    return found


def test_a_live_lane_gives_up_its_oldest_and_counts() -> None:
    handoff: Handoff[str] = Handoff([True], capacity=3)
    for number in range(7):
        assert handoff.put(0, str(number), float(number))
    assert handoff.take(0.0) == [Taken(0, "4", None, dropped=4)]
    assert drain(handoff) == ["5", "6"]


def test_what_must_not_be_lost_is_not() -> None:
    handoff: Handoff[str] = Handoff([True], capacity=2)
    for number in range(4):
        handoff.put(0, f"lost {number}", float(number), droppable=False)
        handoff.put(0, str(number), float(number))
    handoff.finish(0)
    assert drain(handoff) == ["lost 0", "lost 1", "lost 2", "2", "lost 3", "3", "end"]


def test_what_must_not_be_lost_pushes_nothing_out() -> None:
    handoff: Handoff[str] = Handoff([True], capacity=2)
    for number in range(2):
        handoff.put(0, str(number), float(number))
    handoff.put(0, "lost", 2.0, droppable=False)
    handoff.finish(0)
    assert drain(handoff) == ["0", "1", "lost", "end"]


def test_a_recording_blocks_its_writer_and_loses_nothing() -> None:
    handoff: Handoff[str] = Handoff([False], capacity=2)
    ahead, most = 0, 0

    def write() -> None:
        nonlocal ahead, most
        for number in range(50):
            assert handoff.put(0, str(number), float(number))
            ahead += 1
            most = max(most, ahead)
        handoff.finish(0)

    with Worker(write):
        found = []
        while (taken := handoff.take(LONG_S)[0]).item is not None:
            ahead -= 1
            found.append(taken.item)
            assert taken.dropped == 0
    assert found == [str(number) for number in range(50)]
    assert most <= 4  # two in the lane, one in each hand


@settings(deadline=None, max_examples=60)
@given(
    lanes=st.lists(st.lists(st.integers(0, 20), max_size=12).map(sorted), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_recordings_come_in_the_same_order_whichever_thread_is_first(lanes: list[list[int]], seed: int) -> None:
    def merged(order: random.Random) -> list[tuple[int, str | None]]:
        handoff: Handoff[str] = Handoff([False] * len(lanes), capacity=100)
        todo = [(lane, number) for lane, times in enumerate(lanes) for number in range(len(times) + 1)]
        found: list[tuple[int, str | None]] = []
        following = [iter(range(len(times) + 1)) for times in lanes]
        order.shuffle(todo)
        for lane, _ in todo:
            number = next(following[lane])
            if number == len(lanes[lane]):
                handoff.finish(lane)
            else:
                handoff.put(lane, f"{lane}/{number}", float(lanes[lane][number]))
            while turn := handoff.take(0.0):
                found += [(taken.lane, taken.item) for taken in turn]
        return found

    first, second = merged(random.Random(seed)), merged(random.Random(seed + 1))
    assert first == second
    times = [float(lanes[lane][int(item.split("/")[1])]) for lane, item in first if item is not None]
    assert times == sorted(times)
    assert len(first) == sum(len(times) + 1 for times in lanes)


def test_live_lanes_go_first_and_the_oldest_of_them_before_the_others() -> None:
    handoff: Handoff[str] = Handoff([False, True, True])
    handoff.put(0, "recorded", 0.0)
    handoff.put(1, "later", 7.0)
    handoff.put(2, "earlier", 5.0)
    assert drain(handoff) == ["earlier", "later", "recorded"]


def test_a_round_has_one_item_of_each_live_lane() -> None:
    handoff: Handoff[str] = Handoff([True, False, True])
    for number, at_s in enumerate((5.0, 5.1)):
        handoff.put(0, f"a{number}", at_s)
        handoff.put(2, f"c{number}", at_s + 3.0)
    assert [[taken.item for taken in handoff.take(0.0)] for _ in range(2)] == [["a0", "c0"], ["a1", "c1"]]


def test_a_round_of_recordings_is_one_instant() -> None:
    handoff: Handoff[str] = Handoff([False, False, False])
    for lane, times_s in enumerate(([0.001, 0.041], [0.0, 0.040], [0.030, 0.060])):
        for at_s in times_s:
            handoff.put(lane, f"{lane}/{at_s}", at_s)
    rounds = [[taken.item for taken in handoff.take(0.0)] for _ in range(3)]
    assert rounds == [["1/0.0", "0/0.001"], ["2/0.03"], ["1/0.04", "0/0.041"]]


def test_a_live_lane_that_is_silent_holds_nobody_up() -> None:
    handoff: Handoff[str] = Handoff([False, True])
    handoff.put(0, "recorded", 0.0)
    assert drain(handoff) == ["recorded"]


def test_an_error_comes_after_the_items() -> None:
    handoff: Handoff[str] = Handoff([True])
    error = ValueError("broken")
    handoff.put(0, "one", 1.0)
    handoff.finish(0, error)
    assert handoff.take(0.0) == [Taken(0, "one", None, 0)]
    assert handoff.take(0.0) == [Taken(0, None, error, 0)]
    assert handoff.take(0.0) == []


def test_nothing_within_the_time_is_an_empty_round() -> None:
    handoff: Handoff[str] = Handoff([True])
    assert handoff.take(0.01) == []


def test_a_reader_that_waits_is_woken_by_an_item() -> None:
    handoff: Handoff[str] = Handoff([True])
    with Worker(lambda: handoff.put(0, "late", 0.0)):
        (taken,) = handoff.take(LONG_S)
    assert taken.item == "late"


@pytest.mark.parametrize("how", ["close", "abandon"])
def test_a_writer_that_waits_is_woken_and_told(how: str) -> None:
    handoff: Handoff[str] = Handoff([False], capacity=1)
    handoff.put(0, "full", 0.0)
    trying, answers = threading.Event(), []

    def write() -> None:
        trying.set()
        answers.append(handoff.put(0, "too many", 1.0))

    with Worker(write):
        assert trying.wait(LONG_S)
        handoff.close() if how == "close" else handoff.abandon(0)
    assert answers == [False]
    assert handoff.put(0, "again", 2.0) is False
    assert handoff.take(0.0) == []


def test_a_reader_that_waits_is_woken_by_close() -> None:
    handoff: Handoff[str] = Handoff([True])
    with Worker(handoff.close):
        assert handoff.take(LONG_S) == []


def test_an_abandoned_recording_holds_nobody_up() -> None:
    handoff: Handoff[str] = Handoff([False, False])
    handoff.put(1, "b", 1.0)
    assert handoff.take(0.0) == []  # the other might still have something earlier
    handoff.abandon(0)
    assert drain(handoff) == ["b"]


def test_many_writers_and_one_reader() -> None:
    handoff: Handoff[str] = Handoff([True, False, True, False], capacity=4)
    count = 300

    def write(lane: int) -> None:
        for number in range(count):
            handoff.put(lane, f"{number}", float(number))
        handoff.finish(lane)

    seen: dict[int, list[int]] = {lane: [] for lane in range(4)}
    dropped = dict.fromkeys(range(4), 0)
    with Worker(*(lambda lane=lane: write(lane) for lane in range(4))):
        ends = 0
        while ends < 4:
            for taken in handoff.take(LONG_S):
                dropped[taken.lane] = taken.dropped
                if taken.item is None:
                    ends += 1
                else:
                    seen[taken.lane].append(int(taken.item))
    for lane in range(4):
        assert len(seen[lane]) + dropped[lane] == count
        assert all(a < b for a, b in itertools.pairwise(seen[lane]))
    assert dropped[1] == dropped[3] == 0


def test_whoever_waits_can_be_woken() -> None:
    handoff: Handoff[str] = Handoff([True])
    handoff.wake()
    assert handoff.take(3600.0) == []
    assert handoff.take(0.01) == []  # once
    handoff.put(0, "a", 0.0)
    handoff.wake()
    assert [taken.item for taken in handoff.take(30.0)] == ["a"]  # what is there comes first
