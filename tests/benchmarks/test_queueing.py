"""The model of the session's threads, against queues whose answer is known."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import pytest

from tsfmicro.benchmarks.queueing import Arrivals, simulate
from tsfmicro.errors import ContractError
from tsfmicro.realtime.handoff import Handoff
from tsfmicro.values import Float64Array

FOR_EVER = 10**9
NOTHING = np.zeros(1)


def source(
    due_s: Float64Array, decode_s: Float64Array | float, analysis_s: Float64Array | float, lead_s: float = 0.0
) -> Arrivals:
    decode, analysis = (np.broadcast_to(np.asarray(x, np.float64), due_s.shape) for x in (decode_s, analysis_s))
    return Arrivals(due_s, decode, analysis, lead_s)


def regular(count: int, period_s: float, from_s: float = 1.0) -> Float64Array:
    return from_s + np.arange(count) * period_s


def poisson(count: int, rate: float, seed: int = 1) -> Float64Array:
    due_s: Float64Array = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))
    return due_s


@pytest.mark.parametrize(("lead_s", "expected_s"), [(0.0, 0.005 + 0.02), (0.002, 0.003 + 0.02), (math.inf, 0.02)])
def test_regular_frames_on_a_free_machine_wait_for_nobody(lead_s: float, expected_s: float) -> None:
    """D/D/1 below saturation: every latency is the service, less what was decoded before it was due."""
    served = simulate([source(regular(50, 1 / 30), 0.005, 0.02, lead_s)], cores=2)
    assert served.latency_s == pytest.approx(np.full(50, expected_s))
    assert (served.captured, served.dropped) == (50, 0)


def test_too_fast_a_source_loses_what_does_not_fit_and_the_rest_is_old() -> None:
    """D/D/1 above saturation: the share 1 - period / service is lost; what is taken waited for a full lane."""
    period_s, service_s, capacity = 0.010, 0.0173, 8
    served = simulate([source(regular(20_000, period_s), 0.0, service_s)], cores=2, capacity=capacity)
    assert served.dropped / served.captured == pytest.approx(1 - period_s / service_s, abs=1e-3)
    steady_s = served.latency_s[1000:-capacity]
    assert steady_s.min() >= (capacity - 1) * period_s + service_s - 1e-9
    assert steady_s.max() <= capacity * period_s + service_s + 1e-9


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_m_d_1(load: float) -> None:
    """Pollaczek and Khinchine: mean wait = load × service / (2 (1 - load)) for equal services."""
    service_s, count = 0.01, 60_000
    served = simulate([source(poisson(count, load / service_s), 0.0, service_s)], cores=2, capacity=FOR_EVER)
    wait_s = float(np.mean(served.latency_s)) - service_s
    assert wait_s == pytest.approx(load * service_s / (2 * (1 - load)), rel=0.05)


def test_m_m_1_percentiles() -> None:
    """Time in an M/M/1 queue is exponential with rate (1 - load) / service."""
    service_s, load, count = 0.01, 0.6, 80_000
    services_s = np.random.default_rng(2).exponential(service_s, count)
    served = simulate([source(poisson(count, load / service_s), 0.0, services_s)], cores=1, capacity=FOR_EVER)
    for percent in (50, 90, 99):
        expected_s = -math.log(1 - percent / 100) * service_s / (1 - load)
        assert float(np.percentile(served.latency_s, percent)) == pytest.approx(expected_s, rel=0.06)


@pytest.mark.parametrize("cores", [1, 2])
def test_threads_share_the_cores_evenly(cores: int) -> None:
    """Processor sharing: mean time = service / (1 - load) on one core, service / (1 - load²) on two (Erlang's C).

    The mean does not depend on how the work is distributed, so equal works have that of exponential ones.
    """
    work_s, load, count = 0.01, 0.7, 20_000
    due_s = poisson(count, load * cores / work_s, seed=3)
    # As many sources as frames: each is decoded by a thread of its own, all at once.
    served = simulate([source(due_s[i : i + 1], work_s, 0.0) for i in range(count)], cores=cores)
    expected_s = work_s / (1 - load) if cores == 1 else work_s / (1 - load**2)
    assert float(np.mean(served.latency_s)) == pytest.approx(expected_s, rel=0.06)


def test_a_round_takes_one_frame_of_each_lane_oldest_first() -> None:
    # While the first frame is analysed, two of each source come in; the younger source waits longer in each round.
    first = source(np.array([0.0, 1.0, 3.0]), 0.0, np.array([10.0, 1.0, 1.0]))
    second = source(np.array([2.0, 4.0]), 0.0, 1.0)
    served = simulate([first, second], cores=4)
    assert served.due_s.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert served.latency_s == pytest.approx([10.0, 10.0, 10.0, 10.0, 10.0])


def test_a_flooded_lane_takes_nothing_from_the_others() -> None:
    flooding, calm = source(regular(4000, 0.001), 0.0, 0.004), source(regular(40, 0.1), 0.0, 0.004)
    served = simulate([flooding, calm], cores=2)
    calm_s = served.latency_s[np.isin(served.due_s, calm.due_s)]
    assert served.dropped > 2000
    assert calm_s.max() <= 3 * 0.004 + 1e-9  # what is being analysed, the other's frame, its own


def through_the_handoff(sources: list[Arrivals], capacity: int) -> tuple[list[tuple[float, float]], int]:
    """The same by the lanes that sessions use, one thing after the other on a time line of our own."""
    handoff: Handoff[int] = Handoff([True] * len(sources), capacity)
    coming = deque(sorted((float(due_s), i, n) for i, one in enumerate(sources) for n, due_s in enumerate(one.due_s)))
    now_s, done, dropped = 0.0, list[tuple[float, float]](), [0] * len(sources)
    while True:
        while coming and coming[0][0] <= now_s:
            due_s, lane, frame = coming.popleft()
            handoff.put(lane, frame, due_s)
        turn = handoff.take(0.0)
        for taken in turn:
            assert taken.item is not None
            dropped[taken.lane] = taken.dropped
            now_s += float(sources[taken.lane].analysis_s[taken.item])
            due_s = float(sources[taken.lane].due_s[taken.item])
            done.append((due_s, now_s - due_s))
        if not turn:
            if not coming:
                return done, sum(dropped)
            now_s = coming[0][0]


@pytest.mark.parametrize(("seed", "load"), [(0, 0.2), (1, 0.8), (2, 2.5)])
def test_the_lanes_are_those_of_the_session(seed: int, load: float) -> None:
    rng = np.random.default_rng(seed)
    sources = []
    for number in range(4):
        count = 60 + 20 * number
        due_s = np.sort(rng.uniform(0, 10.0, count))
        sources.append(source(due_s, 0.0, rng.exponential(load / 4 * 10 / count, count)))
    served = simulate(sources, cores=9, capacity=3)
    done, dropped = through_the_handoff(sources, 3)
    assert [due_s for due_s, _ in done] == served.due_s.tolist()
    assert served.latency_s == pytest.approx(np.array([latency_s for _, latency_s in done]))
    assert served.dropped == dropped
    assert (dropped > 0) is (load > 0.5)  # arrivals by chance overflow lanes of three below saturation, too


def test_slow_decoding_delays_and_drops_nothing() -> None:
    """A source whose decoding takes longer than its period falls behind by the difference with every frame."""
    served = simulate([source(regular(100, 0.010), 0.015, 0.001)], cores=2)
    assert served.dropped == 0
    assert np.diff(served.latency_s) == pytest.approx(np.full(99, 0.005))


def test_on_one_core_decoding_and_analysis_slow_each_other() -> None:
    alone = simulate([source(regular(1, 1.0), 0.010, 0.010)], cores=1).latency_s
    beside = simulate([source(regular(2, 0.010), 0.010, 0.010)], cores=1).latency_s
    assert alone == pytest.approx([0.020])
    # From 10 ms on, the first's analysis and the second's decoding run at half speed, to 30 ms.
    assert beside == pytest.approx([0.030, 0.030])


def test_naming_delays_its_own_frame_and_on_a_core_of_its_own_no_other() -> None:
    due_s = regular(5, 0.01)
    even = np.full(5, 0.004)
    naming_s = np.array([0.0, 0.025, 0.012, 0.0, 0.0])
    served = simulate([Arrivals(due_s, np.zeros(5), even, naming_s=naming_s)], cores=2)
    told = dict(zip(served.due_s.round(3).tolist(), served.latency_s.round(6).tolist(), strict=True))
    # The second name waits for the first: 1.014 + 0.025 + 0.012 is 31 ms after its frame was due.
    assert told == {1.0: 0.004, 1.01: 0.029, 1.02: 0.031, 1.03: 0.004, 1.04: 0.004}
    shared = simulate([Arrivals(due_s, np.zeros(5), even, naming_s=naming_s)], cores=1)
    assert sorted(shared.latency_s)[1] > 0.004 and shared.dropped == 0


def test_no_source_gives_nothing_and_uneven_arrays_are_refused() -> None:
    served = simulate([], cores=1)
    assert (served.captured, len(served.latency_s)) == (0, 0)
    with pytest.raises(ContractError, match="same length"):
        Arrivals(np.zeros(2), NOTHING, NOTHING)
    with pytest.raises(ContractError, match="same length"):
        Arrivals(NOTHING, NOTHING, NOTHING, naming_s=np.zeros(3))
