"""The spotter on scripted movements: order, causality, and nothing said twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.factories import make_sample
from tsfmicro.align import AlignSpec
from tsfmicro.errors import ContractError
from tsfmicro.motion import REGIONS, FacePatch
from tsfmicro.realtime import trajectory
from tsfmicro.realtime.spot import ApexConfirmed, FaceSpotter, Finished, Signal, SpotSpec, Started
from tsfmicro.values import Float64Array

ALIGN = AlignSpec(size_px=224, iod_px=100.0, eye_row_px=76.0)
SPEC = SpotSpec(
    lag_s=0.17,
    key_s=0.25,
    baseline_s=4.0,
    calibration_s=1.0,
    threshold=1.5,
    noise_floor_percent_iod=0.15,
    apex_confirm_s=0.10,
    max_rise_s=0.45,
    max_fall_s=0.50,
    apart_s=0.12,
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


def play(monkeypatch: pytest.MonkeyPatch, script: Script, region: int = BROW, **others: Script) -> None:
    """Let regions move up and down as scripted: samples carry their time in their patch."""
    scripts = {region: script} | {REGIONS.index(name): other for name, other in others.items()}

    def scripted(reference: FacePatch, current: FacePatch, align: AlignSpec) -> Float64Array:
        assert align is ALIGN
        moves = np.zeros((len(REGIONS), 2))
        for index, at in scripts.items():
            moves[index, 1] = at(float(reference.to_crop[0, 2])) - at(float(current.to_crop[0, 2]))
        return moves

    monkeypatch.setattr(trajectory, "region_moves", scripted)


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
    assert truth[0] < start_s < truth[1]  # before the apex, let alone its confirmation
    assert start.region == end.region == "right_brow"
    assert start.score >= SPEC.start_score and end.score >= SPEC.threshold
    assert apex.confirmed.t_s == apex_s
    assert end.confirmed.t_s == end_s == end.samples[-1].moment.t_s
    assert abs(apex.apex.t_s - truth[1]) <= 1 / fps + 1e-9
    assert end.interval.apex == apex.apex
    assert abs(end.interval.onset.t_s - truth[0]) <= 0.2 * 0.15 + 0.5 / fps + 1e-9
    assert abs(end.interval.offset.t_s - truth[2]) <= 0.25 * 0.25 + 0.5 / fps + 1e-9
    assert end.returned
    assert not end.overshadowed
    assert end.magnitude == pytest.approx(3.0, rel=0.2)
    assert end.shape is not None
    np.testing.assert_allclose(end.shape.moves[BROW], [0, -3.0], rtol=0.25, atol=1e-9)
    np.testing.assert_allclose(np.delete(end.shape.moves, BROW, axis=0), 0, atol=1e-9)


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
    play(monkeypatch, movement((2.0, 2.15, 2.40), amplitude=0.25))
    assert push_all(FaceSpotter(SPEC, ALIGN), 60.0, 4.0) == []
    assert push_all(FaceSpotter(replace(SPEC, threshold=0.7), ALIGN), 60.0, 4.0) != []
    assert push_all(FaceSpotter(replace(SPEC, noise_floor_percent_iod=0.05), ALIGN), 60.0, 4.0) != []


def test_the_threshold_adapts_to_a_restless_face(monkeypatch: pytest.MonkeyPatch) -> None:
    event = movement((6.0, 6.15, 6.40), amplitude=2.0)
    play(monkeypatch, lambda t_s: event(t_s) + 1.5 * float(np.sin(2 * np.pi * 1.3 * t_s)))
    spotter = FaceSpotter(SPEC, ALIGN)
    push_all(spotter, 60.0, 5.0)
    started = [s for _, s in push_all(spotter, 60.0, 8.0, from_s=5.0) if isinstance(s, Started)]
    assert all(abs(s.at.t_s - 6.15) > 0.2 for s in started)


def test_a_drift_is_no_movement(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that turns carries regions along, ever so far: something moves, but nothing comes back."""
    play(monkeypatch, lambda t_s: 8.0 * max(t_s - 2.0, 0.0) ** 2)
    said = [signal for _, signal in push_all(FaceSpotter(SPEC, ALIGN), 60.0, 4.0)]
    assert [type(signal) for signal in said] == [Started, Finished]
    assert not said[1].returned  # type: ignore[union-attr]


def test_a_slow_movement_is_told_at_its_apex(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too slow to be told from unrest while it rises, clear once it has turned."""
    play(monkeypatch, movement((2.0, 2.4, 2.8), amplitude=0.9))
    said = push_all(FaceSpotter(replace(SPEC, start_score=9.0), ALIGN), 60.0, 4.0)
    assert [type(signal) for _, signal in said] == [Started, ApexConfirmed, Finished]
    assert said[0][0] == said[1][0]


def test_a_movement_that_was_told_of_and_has_no_apex_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rise = movement((2.0, 2.2, 99.0))
    play(monkeypatch, lambda t_s: rise(min(t_s, 2.2)))
    spotter = FaceSpotter(SPEC, ALIGN)
    said = push_all(spotter, 60.0, 6.0)
    assert [type(signal) for _, signal in said] == [Started, Finished]
    (start_s, _), (end_s, end) = said
    assert isinstance(end, Finished) and not end.returned and end.shape is None
    assert end.candidate == 1 and end.region == "right_brow"
    assert SPEC.max_rise_s < end_s - start_s <= SPEC.max_rise_s + 2 / 60
    assert end.magnitude == pytest.approx(3.0, rel=0.1)
    assert len(end.traces) == len(end.samples) and end.samples[-1].moment == end.confirmed
    assert not spotter.active


@pytest.mark.parametrize("until_s", [2.08, 2.12])
def test_flush_closes_a_movement_whose_apex_is_not_known(monkeypatch: pytest.MonkeyPatch, until_s: float) -> None:
    play(monkeypatch, movement((2.0, 2.15, 2.40)))
    spotter = FaceSpotter(SPEC, ALIGN)
    ((_, start),) = push_all(spotter, 60.0, until_s)
    (end,) = spotter.flush()
    assert isinstance(start, Started) and isinstance(end, Finished)
    assert (end.candidate, end.returned) == (start.candidate, False)
    assert spotter.flush() == []


def test_a_drift_does_not_hide_a_movement(monkeypatch: pytest.MonkeyPatch) -> None:
    event = movement((2.5, 2.65, 2.90))
    play(monkeypatch, lambda t_s: event(t_s) + 2.0 * t_s)
    ends = [s for _, s in push_all(FaceSpotter(SPEC, ALIGN), 60.0, 4.0) if isinstance(s, Finished)]
    (end,) = [end for end in ends if end.returned and not end.overshadowed]
    assert end.interval.onset.t_s == pytest.approx(2.5, abs=0.06)
    assert end.interval.apex.t_s == pytest.approx(2.65, abs=0.03)
    assert end.interval.offset.t_s == pytest.approx(2.90, abs=0.06)


def test_a_talking_mouth_does_not_hide_a_brow(monkeypatch: pytest.MonkeyPatch) -> None:
    play(
        monkeypatch,
        movement((4.0, 4.15, 4.40)),
        lower_lip=lambda t_s: 20.0 * float(np.sin(2 * np.pi * 2.1 * t_s)),
    )
    ends = [s for _, s in push_all(FaceSpotter(SPEC, ALIGN), 60.0, 6.0) if isinstance(s, Finished)]
    brow = [end for end in ends if end.region == "right_brow"]
    assert [end.interval.apex.t_s for end in brow] == pytest.approx([4.15], abs=1 / 60)


def test_one_movement_of_several_parts_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, movement((2.0, 2.15, 2.40)), chin=movement((2.01, 2.17, 2.42), amplitude=1.5))
    ends = [s for _, s in push_all(FaceSpotter(SPEC, ALIGN), 60.0, 4.0) if isinstance(s, Finished)]
    assert sorted((end.region, end.overshadowed) for end in ends) == [("chin", True), ("right_brow", False)]


@pytest.mark.parametrize("best", ["chin", "right_brow"])
@pytest.mark.parametrize("later_s", [0.01, 0.06])
def test_the_one_of_most_merit_tells_of_a_movement(monkeypatch: pytest.MonkeyPatch, best: str, later_s: float) -> None:
    chin = movement((2.0 + later_s, 2.15 + later_s, 2.40 + later_s), amplitude=1.5)
    play(monkeypatch, movement((2.0, 2.15, 2.40)), chin=chin)
    spotter = FaceSpotter(SPEC, ALIGN, merit=lambda finished: float(finished.region == best))
    ends = [s for _, s in push_all(spotter, 60.0, 4.0) if isinstance(s, Finished)]
    assert sorted(end.region for end in ends) == ["chin", "right_brow"]
    assert [end.region for end in ends if not end.overshadowed] == [best]


def test_movements_of_two_parts_at_two_times_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, movement((2.0, 2.15, 2.40)), chin=movement((2.6, 2.75, 3.0)))
    ends = [s for _, s in push_all(FaceSpotter(SPEC, ALIGN), 60.0, 4.0) if isinstance(s, Finished)]
    assert [(end.region, end.overshadowed) for end in ends] == [("right_brow", False), ("chin", False)]


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
    back_a_little = movement((2.0, 2.2, 2.4), amplitude=1.2)
    play(monkeypatch, lambda t_s: rise(min(t_s, 2.2)) + back_a_little(t_s))
    spotter = FaceSpotter(SPEC, ALIGN)
    said = push_all(spotter, 60.0, 6.0)
    (end_s, end) = said[-1]
    assert isinstance(end, Finished)
    assert not end.returned
    assert end_s - end.interval.apex.t_s == pytest.approx(SPEC.max_fall_s, abs=2 / 60)
    assert end.interval.onset.t_s == pytest.approx(2.0, abs=0.06)
    assert len([s for _, s in said if isinstance(s, Finished)]) == 1
    assert not spotter.active


def test_a_finished_movement_lies_within_the_lookback(monkeypatch: pytest.MonkeyPatch) -> None:
    play(
        monkeypatch,
        lambda t_s: 4.0 * float(np.sin(2 * np.pi * 0.9 * t_s)),
        chin=lambda t_s: 5.0 * float(np.sin(2 * np.pi * 1.7 * t_s)),
    )
    spotter = FaceSpotter(replace(SPEC, threshold=0.3), ALIGN)
    ends = [(t, s) for t, s in push_all(spotter, 60.0, 8.0) if isinstance(s, Finished)]
    assert len(ends) > 5
    for t_s, end in ends:
        assert t_s - end.interval.onset.t_s <= spotter.lookback_s + 1e-9


def test_a_spotter_forgets_what_it_no_longer_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples hold pictures: a face that is watched for long must not collect them."""
    asked: list[float] = []

    def watched(reference: FacePatch, current: FacePatch, align: AlignSpec) -> Float64Array:
        asked.append(float(current.to_crop[0, 2]) - float(reference.to_crop[0, 2]))
        return np.zeros((len(REGIONS), 2))

    monkeypatch.setattr(trajectory, "region_moves", watched)
    spotter = FaceSpotter(SPEC, ALIGN)
    push_all(spotter, 60.0, 5.0)
    assert 0 < max(asked) <= SPEC.key_s + 1e-6
    assert len(asked) == 5 * 60 - 1  # one comparison a sample
    assert len(spotter._samples) == len(spotter._places) <= 60 * (SPEC.lookback_s + SPEC.lag_s) + 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"lag_s": 0.0},
        {"key_s": 0.0},
        {"baseline_s": -1.0},
        {"calibration_s": 0.0},
        {"threshold": 0.0},
        {"max_fall_s": 0.05},
    ],
)
def test_a_spec_that_cannot_spot_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ContractError, match="cannot spot"):
        replace(SPEC, **wrong)


def test_a_face_that_talks_does_not_hide_a_known_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chin goes up and down and takes a brow along; that brow's own movement is far smaller."""

    def chin(t_s: float) -> float:
        return 12.0 * float(np.sin(2 * np.pi * 2.7 * t_s) * np.sin(2 * np.pi * 0.31 * t_s + 1))

    hidden = movement((6.00, 6.15, 6.35), amplitude=2.0)
    play(monkeypatch, lambda t_s: hidden(t_s) + 0.3 * chin(t_s), chin=chin)
    raised = np.zeros((1, len(REGIONS), 2))
    raised[0, BROW, 1] = -1.0

    def found(spotter: FaceSpotter) -> list[Finished]:
        ends = [s for _, s in push_all(spotter, 60.0, 8.0) if isinstance(s, Finished) and s.shape is not None]
        return [s for s in ends if abs(s.interval.apex.t_s - 6.15) < 0.03 and s.interval.duration_s < 0.45]

    known = FaceSpotter(SPEC, ALIGN, patterns=raised)
    told = found(known)
    assert [s.region for s in told] == ["right_brow"]
    assert told[0].magnitude == pytest.approx(2.0, abs=0.5)
    assert told[0].interval.onset.t_s == pytest.approx(6.0, abs=0.05)
    assert told[0].interval.offset.t_s == pytest.approx(6.35, abs=0.05)
    assert found(FaceSpotter(SPEC, ALIGN)) == []
