"""The spotting benchmark's figures on hand-made takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tsfmicro.benchmarks.spotting.clips import Clip, Kind, Side, read_split
from tsfmicro.benchmarks.spotting.filming import Spotted, TakeResult
from tsfmicro.benchmarks.spotting.inject import Acted
from tsfmicro.benchmarks.spotting.plots import draw
from tsfmicro.benchmarks.spotting.report import detection_by_amplitude, rows_of
from tsfmicro.benchmarks.spotting.scoring import match_take, row_of, threshold_sweep, untouched_row
from tsfmicro.benchmarks.spotting.takes import Condition, Take, takes_of
from tsfmicro.intervals import Counts
from tsfmicro.synthetic.timecourse import TimeCourse, TrueEvent


def clip(kind: Kind = Kind.QUIET, **changes: Any) -> Clip:
    values: dict[str, Any] = {"takes": 1, "nuisances": False, "rates": False} | changes
    return Clip("c", "c.mp4", "p", Side.TEST, kind, 0.0, 9.0, 0.0, **values)


def acted(onset_s: float, apex_s: float, offset_s: float, face: int = 0) -> Acted:
    return Acted(TrueEvent(TimeCourse(onset_s, apex_s, offset_s), "happiness", (12,), 3.0), face)


def spotted(
    onset_s: float,
    apex_s: float,
    offset_s: float,
    *,
    confidence: float = 0.9,
    reasons: tuple[str, ...] = (),
    face: int = 0,
) -> Spotted:
    return Spotted(onset_s, apex_s, offset_s, offset_s + 0.1, apex_s + 0.1, confidence, reasons, face, "chin", 3.0)


def result(
    truth: tuple[Acted, ...],
    found: tuple[Spotted, ...],
    *,
    amplitude: float = 3.0,
    kind: Kind = Kind.QUIET,
    blinks: tuple[tuple[float, float], ...] = (),
    watched_s: float = 30.0,
) -> TakeResult:
    return TakeResult(Take(clip(kind), Condition(amplitude)), truth, found, blinks, watched_s, 0.04)


TRUTH = (acted(1.0, 1.2, 1.4), acted(3.0, 3.2, 3.5))


def test_found_missed_and_false() -> None:
    outcome = match_take(result(TRUTH, (spotted(1.0, 1.24, 1.4), spotted(2.0, 2.1, 2.3))))
    assert outcome.counts == Counts(tp=1, fp=1, fn=1)
    assert [hit.truth for hit in outcome.hits] == [0]
    assert [false.onset_s for false in outcome.false] == [2.0]


def test_half_an_overlap_is_enough_and_less_is_not() -> None:
    assert match_take(result(TRUTH[:1], (spotted(1.0, 1.1, 1.2),))).counts.tp == 1
    assert match_take(result(TRUTH[:1], (spotted(1.0, 1.1, 1.19),))).counts.tp == 0


def test_another_persons_event_is_false() -> None:
    outcome = match_take(result(TRUTH[:1], (spotted(1.0, 1.2, 1.4, face=1),)))
    assert outcome.counts == Counts(tp=0, fp=1, fn=1)


def test_what_was_rejected_is_not_reported() -> None:
    assert match_take(result(TRUTH[:1], (spotted(1.0, 1.2, 1.4, reasons=("blink",)),))).counts == Counts(fn=1)


def test_errors_stand_beside_the_trivial_baselines() -> None:
    row = row_of([result(TRUTH, (spotted(1.02, 1.24, 1.4), spotted(2.96, 3.18, 3.5)))])
    assert row["apex_error_median_ms"] == pytest.approx(30.0)
    assert row["apex_error_median_frames"] == pytest.approx(0.75)  # of 40 ms
    assert row["onset_error_median_ms"] == pytest.approx(30.0)
    assert row["apex_midpoint_median_ms"] == pytest.approx(25.0)  # 0 and 50
    assert row["apex_onset_plus_constant_median_ms"] == pytest.approx(0.0)  # both rise for 0.2 s
    assert row["apex_told_after_median_ms"] == pytest.approx(110.0)
    assert row["event_told_after_median_ms"] == pytest.approx((300 + 400) / 2)


def test_nothing_found_has_no_errors_and_no_latency() -> None:
    row = row_of([result(TRUTH, ())])
    assert (row["f1"], row["fn"], row["apex_error_median_ms"]) == (0.0, 2, None)
    assert row["apex_told_after_median_ms"] is None


def test_false_events_a_minute_and_blinks() -> None:
    blinks = ((1.0, 1.1), (4.0, 4.1), (8.0, 8.2))
    row = untouched_row([
        result((), (spotted(0.9, 1.0, 1.2), spotted(6.0, 6.1, 6.2)), amplitude=0.0, blinks=blinks),
        result((), (spotted(3.9, 4.0, 4.2, reasons=("blink",)),), amplitude=0.0, watched_s=90.0),
    ])  # fmt: skip
    assert (row["watched_s"], row["false_events"], row["false_events_per_min"]) == (120.0, 2, 1.0)
    assert (row["blinks"], row["blinks_rejected"]) == (3, pytest.approx(2 / 3, abs=1e-4))


def test_the_curve_moves_along_the_confidence_and_past_the_gates_own_point() -> None:
    injected = [result(TRUTH, (
        spotted(1.0, 1.2, 1.4, confidence=0.9),
        spotted(3.0, 3.2, 3.5, confidence=0.4, reasons=("low_confidence", "blink")),
    ))]  # fmt: skip
    untouched = [result((), (
        spotted(5.0, 5.1, 5.3, confidence=0.5),
        spotted(6.0, 6.1, 6.3, confidence=0.99, reasons=("no_return",)),
    ), amplitude=0.0)]  # fmt: skip
    low, middle, high = threshold_sweep(injected, untouched, (0.3, 0.6, 0.95))
    assert (low["detection_rate"], low["false_events_per_min"], low["f1"]) == (1.0, 2.0, 1.0)
    assert (middle["detection_rate"], middle["false_events_per_min"]) == (0.5, 0.0)
    assert (high["detection_rate"], high["false_events_per_min"]) == (0.0, 0.0)


def test_rows_are_held_to_their_bars_and_misses_say_by_how_much() -> None:
    rows = rows_of([result(TRUTH, (spotted(1.0, 1.2, 1.4),)), result((), (), amplitude=0.0, blinks=((1.0, 1.1),))])
    at_three = next(row for row in rows if row["condition"] == "3%" and "f1" in row)
    assert at_three["bars"]["f1"] == {"bar": ">=0.9", "met": False, "by": round(2 / 3 - 0.9, 4)}
    assert at_three["bars"]["apex_error_median_ms"] == {"bar": "<=17", "met": True, "by": 17.0}
    untouched = next(row for row in rows if row["kind"] == "quiet" and row["condition"] == "untouched")
    assert untouched["bars"]["false_events_per_min"]["met"]
    blinks = next(row for row in rows if row["kind"] == "all")
    assert blinks["bars"]["blinks_rejected"]["met"]
    assert {row["method"] for row in rows} == {"live"}
    json.dumps(rows, allow_nan=False)


def test_a_figure_that_could_not_be_measured_misses_its_bar() -> None:
    rows = rows_of([result(TRUTH, ())])
    assert rows[0]["bars"]["apex_error_median_ms"] == {"bar": "<=17", "met": False, "by": None}


def test_plots_are_drawn_from_rows(tmp_path: Any) -> None:
    results = [result(TRUTH, (spotted(1.0, 1.2, 1.4),), amplitude=a) for a in (1.0, 3.0)]
    rows = rows_of([*results, result((), (), amplitude=0.0)])
    assert detection_by_amplitude(rows, "quiet") == [(1.0, 0.5), (3.0, 0.5)]
    paths = draw(rows, tmp_path / "plots")
    assert {path.name for path in paths} == {"detection.png", "apex_error.png", "det.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_nobody_is_on_both_sides_of_the_split() -> None:
    people = {side: {clip.person for clip in read_split(side)} for side in Side}
    assert people[Side.TRAIN] and people[Side.TEST]
    assert not people[Side.TRAIN] & people[Side.TEST]
    files: dict[str, set[Side]] = {}
    for each in read_split():
        if each.file:
            files.setdefault(each.file, set()).add(each.side)
    assert all(len(sides) == 1 for sides in files.values())


def test_both_sides_have_every_kind_that_has_bars() -> None:
    for side in Side:
        assert {Kind.STILL, Kind.QUIET, Kind.EXPRESSIVE} <= {clip.kind for clip in read_split(side)}


def test_takes_of_a_clip_share_their_events_across_conditions() -> None:
    takes = takes_of(clip(takes=3, nuisances=True))
    names = [take.condition.name for take in takes]
    assert (names.count("untouched"), names.count("1%"), names.count("2%"), names.count("3%")) == (1, 1, 3, 3)
    assert {"3% noise4", "3% jpeg40", "3% flicker0.03"} <= set(names)
    seeds = {take.number: take.seed for take in takes}
    assert all(take.seed == seeds[take.number] for take in takes)
    assert len(set(seeds.values())) == 3
