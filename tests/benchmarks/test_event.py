"""Scenario ``event``: counts, errors and labels of hand-made events are those one counts by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tsfmicro.benchmarks import commands
from tsfmicro.benchmarks.event import ClipResult, row_of, score_clip
from tsfmicro.intervals import Counts
from tsfmicro.realtime.events import Event, MeApex, MeEnd, MeRejected
from tsfmicro.realtime.recognise import Recogniser
from tsfmicro.synthetic.timecourse import TimeCourse, TrueEvent
from tsfmicro.values import Interval, Moment, Recognition


def moment(t_s: float) -> Moment:
    return Moment(round(t_s * 60), t_s)


def hidden(onset_s: float, apex_s: float, offset_s: float, emotion: str = "happiness") -> TrueEvent:
    return TrueEvent(TimeCourse(onset_s, apex_s, offset_s), emotion, (12,), 3.0)


def named(label: str, *abstain: str) -> Recognition:
    other = "others" if label != "others" else "happiness"
    return Recognition({label: 0.8, other: 0.2}, abstain)


def end(onset_s: float, apex_s: float, offset_s: float, recognition: Recognition | None = None) -> MeEnd:
    return MeEnd(
        source="demo:",
        face_id=1,
        event_id="f001-00001",
        interval=Interval(moment(onset_s), moment(apex_s), moment(offset_s)),
        region="chin",
        magnitude=3.0,
        score=9.0,
        recognition=recognition,
        calibrated=recognition is not None,
        lookahead_s=0.2,
    )


def apex(lookahead_s: float) -> MeApex:
    return MeApex("demo:", 1, "f001-00001", moment(1.0), moment(1.2), lookahead_s)


def rejected(onset_s: float, apex_s: float, offset_s: float) -> MeRejected:
    interval = Interval(moment(onset_s), moment(apex_s), moment(offset_s))
    return MeRejected("demo:", 1, "f001-00002", interval, "chin", 3.0, 9.0, ("blink",), {})


TRUTH = (hidden(1.0, 1.2, 1.4), hidden(3.0, 3.2, 3.5, "disgust"), hidden(5.0, 5.2, 5.4, "surprise"))


def test_an_exact_match() -> None:
    result = score_clip(7, TRUTH[:1], [apex(0.1), end(1.0, 1.2, 1.4, named("happiness"))])
    assert (result.seed, result.counts) == (7, Counts(tp=1))
    assert result.apex_errors_ms == result.onset_errors_ms == [0.0]
    assert (result.named_right, result.answered) == (1, 1)
    assert result.lookaheads_s == (0.1,)


def test_misses_and_false_alarms() -> None:
    result = score_clip(0, TRUTH, [end(1.0, 1.2, 1.4), end(2.0, 2.2, 2.4), end(5.3, 5.5, 5.9)])
    assert result.counts == Counts(tp=1, fp=2, fn=2)
    assert [(m.truth, m.found) for m in result.matches] == [(0, 0)]
    assert result.named_right == result.answered == 0


def test_what_was_rejected_is_not_found() -> None:
    assert score_clip(0, TRUTH[:1], [rejected(1.0, 1.2, 1.4)]).counts == Counts(fn=1)


def test_errors_are_absolute_and_in_milliseconds() -> None:
    found: list[Event] = [end(0.98, 1.25, 1.4), end(3.05, 3.19, 3.5)]
    result = score_clip(0, TRUTH, found)
    assert result.onset_errors_ms == pytest.approx([20.0, 50.0])
    assert result.apex_errors_ms == pytest.approx([50.0, 10.0])


def test_errors_follow_the_matches_and_not_the_order() -> None:
    late_first: list[Event] = [end(3.0, 3.23, 3.5, named("disgust")), end(1.0, 1.2, 1.4, named("others"))]
    result = score_clip(0, TRUTH, late_first)
    assert result.apex_errors_ms == pytest.approx([0.0, 30.0])
    assert (result.named_right, result.answered) == (1, 2)


@pytest.mark.parametrize(
    ("recognition", "right", "answered"),
    [
        (named("happiness"), 1, 1),
        (named("disgust"), 0, 1),
        (named("happiness", "low_probability"), 0, 0),
        (named("disgust", "low_magnitude"), 0, 0),
        (None, 0, 0),
    ],
)
def test_labels_right_wrong_and_withheld(recognition: Recognition | None, right: int, answered: int) -> None:
    result = score_clip(0, TRUTH[:1], [end(1.0, 1.2, 1.4, recognition)])
    assert (result.named_right, result.answered) == (right, answered)


def test_a_label_of_a_false_alarm_counts_for_nothing() -> None:
    result = score_clip(0, TRUTH[:1], [end(2.0, 2.2, 2.4, named("happiness"))])
    assert (result.named_right, result.answered) == (0, 0)


def test_a_row_pools_the_clips() -> None:
    first = score_clip(1, TRUTH, [apex(0.1), end(1.0, 1.21, 1.4, named("happiness")), apex(0.3), end(2.0, 2.1, 2.2)])
    second = score_clip(2, TRUTH[:2], [apex(0.15), end(1.0, 1.24, 1.4), end(3.02, 3.2, 3.5, named("happiness"))])
    assert row_of([first, second]) == {
        "clips": 2,
        "hidden": 5,
        "tp": 3,
        "fp": 1,
        "fn": 2,
        "f1": round(6 / 9, 4),
        "apex_error_median_ms": 10.0,
        "onset_error_median_ms": 0.0,
        "apex_lookahead_median_ms": 150.0,
        "apex_lookahead_max_ms": 300.0,
        "named_right": 1,
        "answered": 2,
    }


def test_a_row_of_nothing_found_has_no_errors() -> None:
    row = row_of([score_clip(0, TRUTH, [])])
    assert (row["tp"], row["fp"], row["fn"], row["f1"]) == (0, 0, 3, 0.0)
    for name in ("apex_error_median_ms", "onset_error_median_ms", "apex_lookahead_median_ms", "apex_lookahead_max_ms"):
        assert row[name] is None


def test_event_command_runs_its_seeds_and_keeps_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[int], Recogniser | None]] = []

    def stub(seeds: list[int], recogniser: Recogniser | None) -> Iterator[ClipResult]:
        asked.append((seeds, recogniser))
        for seed in seeds:
            yield score_clip(seed, TRUTH[:1], [end(1.0, 1.2, 1.4)])

    monkeypatch.setattr(commands, "run_clips", stub)
    words = ["event", "--spot-only", "--clips", "2", "--first-seed", "40", "--json", str(tmp_path / "r.json")]
    commands.app(words, standalone_mode=False)
    assert asked == [([40, 41], None)]
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["scenario"] == "event"
    assert record["settings"]["seeds"] == [40, 41]
    assert record["settings"]["bundle"] is None
    assert record["rows"][0]["tp"] == 2
