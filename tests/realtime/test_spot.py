"""The spotter on scripted movements: order, causality, and nothing said twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.factories import make_sample
from tsfmicro.align import AlignSpec
from tsfmicro.errors import ContractError
from tsfmicro.motion import REGIONS, Displacement, FacePatch
from tsfmicro.realtime import spot
from tsfmicro.realtime.spot import ApexConfirmed, FaceSpotter, Finished, Signal, SpotSpec, Started

ALIGN = AlignSpec(size_px=224, iod_px=100.0, eye_row_px=76.0)
SPEC = SpotSpec(
    lag_s=0.17,
    anchor_s=0.25,
    baseline_s=4.0,
    calibration_s=1.0,
    threshold=3.0,
    noise_floor_percent_iod=0.35,
    apex_confirm_s=0.10,
    max_course_s=1.2,
)
RATES = [25.0, 30.0, 60.0, 120.0, 200.0]
BROW = REGIONS.index("right_brow")

Course = tuple[float, float, float]
Script = Callable[[float], float]


def movement(*courses: Course, amplitude: float = 3.0) -> Script:
    """Displacement of one region from rest, percent of the inter-ocular distance, by time."""

    def at(t_s: float) -> float:
        total = 0.0
        for onset_s, apex_s, offset_s in courses:
            share = min((t_s - onset_s) / (apex_s - onset_s), (offset_s - t_s) / (offset_s - apex_s))
            total += amplitude * (0.5 - 0.5 * float(np.cos(np.pi * np.clip(share, 0, 1))))
        return total

    return at


def play(monkeypatch: pytest.MonkeyPatch, script: Script, region: int = BROW) -> None:
    """Let the displacement answer from the script: samples carry their time in their patch."""

    def scripted(reference: FacePatch, current: FacePatch, align: AlignSpec) -> Displacement:
        assert align is ALIGN
        residual = np.full(len(REGIONS), 0.01)
        residual[region] += abs(script(float(current.to_crop[0, 2])) - script(float(reference.to_crop[0, 2])))
        return Displacement(residual, np.eye(2, 3), 0.0)

    monkeypatch.setattr(spot, "traced_displacement", scripted)


def push_all(spotter: FaceSpotter, fps: float, until_s: float, from_s: float = 0.0) -> list[tuple[float, Signal]]:
    """Everything said, with the time of the sample after which it was said."""
    said: list[tuple[float, Signal]] = []
    for i in range(round(from_s * fps), round(until_s * fps)):
        said += [(i / fps, signal) for signal in spotter.push(make_sample(i, i / fps))]
    return said


@pytest.mark.parametrize("fps", RATES)
def test_start_apex_end_in_order_and_in_place(monkeypatch: pytest.MonkeyPatch, fps: float) -> None:
    truth = (2.0, 2.15, 2.40)
    play(monkeypatch, movement(truth))
    said = push_all(FaceSpotter(SPEC, ALIGN), fps, 4.0)
    assert [type(signal) for _, signal in said] == [Started, ApexConfirmed, Finished]
    (start_s, start), (apex_s, apex), (end_s, end) = said
    assert isinstance(start, Started)
    assert isinstance(apex, ApexConfirmed)
    assert isinstance(end, Finished)
    assert start.candidate == apex.candidate == end.candidate == 1
    assert start.at.t_s == start_s
    assert truth[0] < start_s < truth[1]
    assert start.region == end.region == "right_brow"
    assert SPEC.threshold <= start.score <= end.score
    assert apex.confirmed.t_s == apex_s
    assert end.confirmed.t_s == end_s == end.samples[-1].moment.t_s
    assert abs(apex.apex.t_s - truth[1]) <= 1 / fps + 1e-9
    assert abs(end.interval.apex.t_s - truth[1]) <= 1 / fps + 1e-9
    assert abs(end.interval.onset.t_s - truth[0]) <= 0.2 * 0.15 + 0.5 / fps + 1e-9
    assert abs(end.interval.offset.t_s - truth[2]) <= 0.25 * 0.25 + 0.5 / fps + 1e-9
    assert end.returned
    assert end.magnitude == pytest.approx(3.0, rel=0.2)


@pytest.mark.parametrize("fps", RATES)
def test_the_lookahead_is_bounded(monkeypatch: pytest.MonkeyPatch, fps: float) -> None:
    for confirm_s in (0.06, 0.10, 0.20):
        play(monkeypatch, movement((2.0, 2.15, 2.40)))
        said = push_all(FaceSpotter(replace(SPEC, apex_confirm_s=confirm_s), ALIGN), fps, 4.0)
        (confirmed,) = [signal for _, signal in said if isinstance(signal, ApexConfirmed)]
        lookahead_s = confirmed.confirmed.t_s - confirmed.apex.t_s
        assert confirm_s - 1e-9 <= lookahead_s <= confirm_s + 1 / fps + 1e-9


@pytest.mark.parametrize("fps", RATES)
def test_nothing_is_said_before_it_happened(monkeypatch: pytest.MonkeyPatch, fps: float) -> None:
    """What is said about the past does not change with the future."""
    play(monkeypatch, movement((2.0, 2.15, 2.40)))
    whole = push_all(FaceSpotter(SPEC, ALIGN), fps, 4.0)
    for until_s in (2.1, 2.3, 2.5):
        part = push_all(FaceSpotter(SPEC, ALIGN), fps, until_s)
        assert [(t, type(s)) for t, s in part] == [
            (t, type(s)) for t, s in whole if t < (round(until_s * fps) - 0.5) / fps
        ]


def test_samples_of_a_finished_movement_reach_from_before_the_onset_to_the_confirmation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play(monkeypatch, movement((2.0, 2.15, 2.40)))
    said = push_all(FaceSpotter(SPEC, ALIGN), 60.0, 4.0)
    end = said[-1][1]
    assert isinstance(end, Finished)
    times_s = [sample.moment.t_s for sample in end.samples]
    np.testing.assert_allclose(np.diff(times_s), 1 / 60)
    assert times_s[0] <= end.interval.onset.t_s
    for moment in (end.interval.onset, end.interval.apex, end.interval.offset):
        assert end.sample_at(moment).moment == moment


@pytest.mark.parametrize("fps", RATES)
def test_the_falling_phase_is_no_second_candidate(monkeypatch: pytest.MonkeyPatch, fps: float) -> None:
    for fall_s in (0.15, 0.25, 0.40):
        play(monkeypatch, movement((2.0, 2.15, 2.15 + fall_s)))
        said = push_all(FaceSpotter(SPEC, ALIGN), fps, 5.0)
        assert [signal.candidate for _, signal in said] == [1, 1, 1]


def test_the_next_movement_is_the_next_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, movement((2.0, 2.15, 2.40), (3.6, 3.8, 4.0)))
    said = push_all(FaceSpotter(SPEC, ALIGN), 60.0, 5.0)
    assert [signal.candidate for _, signal in said] == [1, 1, 1, 2, 2, 2]
    ends = [signal for _, signal in said if isinstance(signal, Finished)]
    assert [end.interval.apex.t_s for end in ends] == pytest.approx([2.15, 3.8], abs=1 / 60)


def test_a_new_face_is_only_watched_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, movement((0.5, 0.65, 0.85)))
    assert push_all(FaceSpotter(SPEC, ALIGN), 60.0, 3.0) == []
    assert push_all(FaceSpotter(replace(SPEC, calibration_s=0.3), ALIGN), 60.0, 3.0) != []


def test_watching_begins_with_the_face_and_not_with_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, movement((10.5, 10.65, 10.85)))
    assert push_all(FaceSpotter(SPEC, ALIGN), 60.0, 13.0, from_s=10.0) == []
    assert push_all(FaceSpotter(SPEC, ALIGN), 60.0, 13.0, from_s=8.0) != []


def test_a_still_face_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, lambda t_s: 0.0)
    spotter = FaceSpotter(SPEC, ALIGN)
    assert push_all(spotter, 30.0, 6.0) == []
    assert spotter.score == 0.0
    assert not spotter.active
    assert spotter.flush() == []


def test_movements_below_the_threshold_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, movement((2.0, 2.15, 2.40), amplitude=1.0))
    assert push_all(FaceSpotter(SPEC, ALIGN), 60.0, 4.0) == []
    assert push_all(FaceSpotter(replace(SPEC, threshold=2.0), ALIGN), 60.0, 4.0) != []
    assert push_all(FaceSpotter(replace(SPEC, noise_floor_percent_iod=0.2), ALIGN), 60.0, 4.0) != []


def test_the_threshold_adapts_to_a_restless_face(monkeypatch: pytest.MonkeyPatch) -> None:
    event = movement((6.0, 6.15, 6.40), amplitude=2.0)
    play(monkeypatch, lambda t_s: event(t_s) + 1.5 * float(np.sin(2 * np.pi * 1.3 * t_s)))
    spotter = FaceSpotter(SPEC, ALIGN)
    push_all(spotter, 60.0, 5.0)
    assert not [s for _, s in push_all(spotter, 60.0, 8.0, from_s=5.0) if isinstance(s, Started)]


@pytest.mark.parametrize("step_s", [0.0, -0.01])
def test_time_must_increase(monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    play(monkeypatch, lambda t_s: 0.0)
    spotter = FaceSpotter(SPEC, ALIGN)
    spotter.push(make_sample(0, 1.0))
    with pytest.raises(ContractError, match=r"follows one at 1\.0 s"):
        spotter.push(make_sample(1, 1.0 + step_s))


def test_flush_finishes_an_open_movement(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, movement((2.0, 2.15, 2.60)))
    spotter = FaceSpotter(SPEC, ALIGN)
    assert [type(s) for _, s in push_all(spotter, 60.0, 2.3)] == [Started, ApexConfirmed]
    assert spotter.active
    (end,) = spotter.flush()
    assert isinstance(end, Finished)
    assert not end.returned
    assert end.candidate == 1
    assert end.interval.apex.t_s == pytest.approx(2.15, abs=1 / 60)
    assert end.interval.offset == end.samples[-1].moment == end.confirmed
    assert not spotter.active
    assert spotter.flush() == []


def test_a_movement_that_stays_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rise = movement((2.0, 2.2, 99.0))
    play(monkeypatch, lambda t_s: rise(min(t_s, 2.2)))
    spotter = FaceSpotter(SPEC, ALIGN)
    said = push_all(spotter, 60.0, 6.0)
    (end_s, end) = said[-1]
    assert isinstance(end, Finished)
    assert not end.returned
    assert spotter.lookback_s == pytest.approx(SPEC.anchor_s + SPEC.max_course_s)
    assert end_s - end.samples[0].moment.t_s == pytest.approx(spotter.lookback_s, abs=2 / 60)
    assert end.interval.onset.t_s == pytest.approx(2.0, abs=0.06)
    assert len([s for _, s in said if isinstance(s, Finished)]) == 1
    assert not spotter.active


def test_a_spotter_forgets_what_it_no_longer_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples hold pictures: a face that is watched for long must not collect them."""
    asked: list[float] = []

    def watched(reference: FacePatch, current: FacePatch, align: AlignSpec) -> Displacement:
        asked.append(float(current.to_crop[0, 2]) - float(reference.to_crop[0, 2]))
        return Displacement(np.zeros(len(REGIONS)), np.eye(2, 3), 0.0)

    monkeypatch.setattr(spot, "traced_displacement", watched)
    spotter = FaceSpotter(SPEC, ALIGN)
    push_all(spotter, 60.0, 5.0)
    assert max(asked) <= SPEC.lag_s + 1 / 60 + 1e-6
    assert min(asked) >= SPEC.lag_s - 1e-6
    assert len(spotter._recent) <= 60 * (SPEC.lag_s + SPEC.anchor_s) + 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"lag_s": 0.0},
        {"anchor_s": 0.1},
        {"baseline_s": -1.0},
        {"calibration_s": 0.0},
        {"threshold": 0.0},
        {"max_course_s": 0.0},
    ],
)
def test_a_spec_that_cannot_spot_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ContractError, match="cannot spot"):
        replace(SPEC, **wrong)
