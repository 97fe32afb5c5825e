"""One motion, seen at every rate a camera has: the same movements at the same times."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest

from tests.factories import astronaut
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.realtime.events import Event, MeApex, MeEnd, MeRejected, MeStart
from tsfmicro.realtime.pipeline import EventRecogniser
from tsfmicro.synthetic.portrait import framed
from tsfmicro.synthetic.scene import Scene, SceneRenderer
from tsfmicro.synthetic.timecourse import TimeCourse, TrueEvent
from tsfmicro.values import Frame

DURATION_S = 3.6
SMILE = TrueEvent(TimeCourse(1.52, 1.70, 1.93), "happiness", (6, 12), 3.0)
BROWS = TrueEvent(TimeCourse(2.61, 2.76, 3.00), "surprise", (1, 2), 3.0)
RATES: dict[str, float] = {"25": 25.0, "30": 30.0, "60": 60.0, "120": 120.0, "200": 200.0, "variable": 40.0}
"""Frames a second; the variable one on average."""


@functools.cache
def renderer() -> SceneRenderer:
    scene = Scene(DURATION_S, 60.0, (SMILE, BROWS), seed=5)
    return SceneRenderer(framed(astronaut(), 320, 320, 100.0, (0.5, 0.42)), scene)


def times_s(rate: str) -> list[float]:
    fps = RATES[rate]
    steps_s = np.full(round(DURATION_S * fps), 1 / fps)
    if rate == "variable":  # a camera that opens its shutter for as long as it needs: 20 to 70 frames/s
        steps_s = np.random.default_rng(3).uniform(0.014, 0.050, len(steps_s) * 2)
    found = np.cumsum(steps_s) - steps_s[0]
    return [float(t_s) for t_s in found[found < DURATION_S]]


def frames(at_s: list[float]) -> Iterator[Frame]:
    for index, t_s in enumerate(at_s):
        yield Frame(renderer().render(index, t_s), index, t_s, 0.0, "rates")


@functools.cache
def events_at(rate: str) -> tuple[Event, ...]:
    with FaceMeshDetector(max_faces=1) as detector:
        path = EventRecogniser("rates", detector)
        events = [event for frame in frames(times_s(rate)) for event in path.process(frame)]
        return tuple(events + path.finish())


@pytest.mark.parametrize("rate", RATES)
def test_the_same_movements_are_found_at_every_rate(rate: str) -> None:
    period_s = max(np.diff(times_s(rate)))
    ends = [event for event in events_at(rate) if isinstance(event, MeEnd)]
    assert len(ends) == 2
    for found, true in zip(ends, (SMILE.course, BROWS.course), strict=True):
        assert abs(found.interval.apex.t_s - true.apex_s) <= 0.6 * period_s + 0.012
        # Onset and offset are where a line through the flanks meets the ground; a cosine begins a sixth before.
        assert abs(found.interval.onset.t_s - true.onset_s) <= 0.5 * period_s + 0.25 * (true.apex_s - true.onset_s)
        assert abs(found.interval.offset.t_s - true.offset_s) <= 0.5 * period_s + 0.25 * (true.offset_s - true.apex_s)
    usual = [event for event in events_at("60") if isinstance(event, MeEnd)]
    assert [found.magnitude for found in ends] == pytest.approx([found.magnitude for found in usual], rel=0.1)
    assert [found.region for found in ends] == [found.region for found in usual]


@pytest.mark.parametrize("rate", RATES)
def test_start_is_early_and_the_apex_told_in_time_at_every_rate(rate: str) -> None:
    period_s = max(np.diff(times_s(rate)))
    starts_s = [event.at.t_s for event in events_at(rate) if isinstance(event, MeStart)]
    apexes = [event for event in events_at(rate) if isinstance(event, MeApex)]
    for true in (SMILE.course, BROWS.course):
        assert any(true.onset_s < start_s < true.apex_s for start_s in starts_s)
    assert len(apexes) >= 2
    assert all(apex.lookahead_s <= 0.10 + period_s + 1e-9 for apex in apexes)


def test_too_slow_a_stream_is_told_and_reports_nothing() -> None:
    with FaceMeshDetector(max_faces=1) as detector:
        path = EventRecogniser("rates", detector)
        at_s = [index / 15 for index in range(round(DURATION_S * 15))]
        events = [event for frame in frames(at_s) for event in path.process(frame)] + path.finish()
    rejected = [event for event in events if isinstance(event, MeRejected)]
    assert not [event for event in events if isinstance(event, MeEnd)]
    assert rejected and all("frame_rate" in event.reasons for event in rejected)
    assert rejected[0].evidence["fps_measured"] == pytest.approx(15.0, rel=0.01)
