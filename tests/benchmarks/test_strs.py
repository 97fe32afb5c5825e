"""Spot-then-recognise score: counts, names and products of tables one can count by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.running import Prompt
from tsfmicro.benchmarks.spotting.strs import LabelledInterval, analyse_names, read_intervals, strs_row
from tsfmicro.errors import UsageError


def interval(
    onset: int, offset: int, emotion: str = "positive", video: str = "v1", subject: str = "s1"
) -> LabelledInterval:
    return LabelledInterval(subject, video, onset, offset, emotion)


TRUTH = (
    interval(10, 19, "positive"),
    interval(50, 59, "negative"),
    interval(10, 19, "surprise", "v2"),
    interval(10, 19, "negative", "v1", "s2"),
)


def test_everything_right_is_one() -> None:
    row = strs_row(TRUTH, TRUTH)
    assert row["spotting"] == {"tp": 4, "fp": 0, "fn": 0, "precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert row["analysis"] == {"uf1": 1.0, "uar": 1.0, "f1": 1.0}
    assert row["strs"] == 1.0


@pytest.mark.parametrize(
    ("found", "tp"),
    [
        ((10, 19), 1),
        ((10, 14), 1),  # 5 of 10 frames: exactly half
        ((10, 13), 0),  # 4 of 10
        ((15, 24), 0),  # 5 shared of 15
        ((5, 24), 1),  # 10 of 20
        ((4, 24), 0),  # 10 of 21
        ((13, 22), 1),  # 7 of 13
    ],
)
def test_overlap_counts_frames_with_both_ends(found: tuple[int, int], tp: int) -> None:
    assert strs_row([interval(10, 19)], [interval(*found)])["spotting"]["tp"] == tp


def test_an_event_is_matched_once() -> None:
    row = strs_row([interval(10, 19)], [interval(10, 19), interval(11, 20)])
    assert (row["spotting"]["tp"], row["spotting"]["fp"]) == (1, 1)


@pytest.mark.parametrize("other", [{"video": "v2"}, {"subject": "s2"}])
def test_videos_and_people_are_kept_apart(other: dict[str, str]) -> None:
    row = strs_row([interval(10, 19)], [interval(10, 19, **other)])
    assert row["spotting"] == {"tp": 0, "fp": 1, "fn": 1, "precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert row["strs"] == 0.0


def test_pooled_over_videos_and_named_partly_wrong() -> None:
    found = (
        interval(10, 19, "positive"),
        interval(50, 59, "positive"),  # a negative one
        interval(80, 89, "positive"),  # nothing
        interval(11, 20, "surprise", "v2"),
    )
    row = strs_row(TRUTH, found)
    assert row["spotting"] == {"tp": 3, "fp": 1, "fn": 1, "precision": 0.75, "recall": 0.75, "f1": 0.75}
    # precision: positive 1/2, negative 0, surprise 1; recall: 1, 0, 1
    assert row["analysis"]["uar"] == pytest.approx(2 / 3, abs=1e-6)
    assert row["analysis"]["uf1"] == pytest.approx((2 / 3 + 0 + 1) / 3, abs=1e-6)
    f1 = 2 * 0.5 * (2 / 3) / (0.5 + 2 / 3)
    assert row["analysis"]["f1"] == pytest.approx(f1, abs=1e-6)
    assert row["strs"] == pytest.approx(0.75 * f1, abs=1e-6)


def test_compatible_counts_forgive_videos_without_truth_and_call_precision_uar() -> None:
    found = (interval(10, 19, "positive"), interval(50, 59, "positive"), interval(5, 9, "positive", "empty"))
    truth = TRUTH[:2]
    strict, compatible = strs_row(truth, found), strs_row(truth, found, megc_compat=True)
    assert (strict["spotting"]["fp"], compatible["spotting"]["fp"]) == (1, 0)
    assert compatible["spotting"]["f1"] == 1.0
    assert strict["analysis"]["uar"] == 0.5
    assert compatible["analysis"]["uar"] == 0.25  # precision: positive 1/2, negative 0
    assert strict["analysis"]["f1"] == compatible["analysis"]["f1"]


def test_a_class_that_is_only_predicted_costs_f1_and_not_uar() -> None:
    analysis = analyse_names([("a", "a"), ("a", "b")])
    assert analysis.uar == 0.5
    assert analysis.uf1 == pytest.approx((2 / 3 + 0) / 2)


def test_nothing_found_is_zero() -> None:
    assert strs_row(TRUTH, ())["strs"] == 0.0
    assert strs_row((), ())["strs"] == 0.0


def test_tables_are_read_in_any_order_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("Emotion,video,subject,offset,onset\nPositive,v1,s1,19.0,10\n", encoding="utf-8")
    assert read_intervals(path) == (interval(10, 19),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("subject,video,onset,offset\ns,v,1,2\n", "lacks the column emotion"),
        ("subject,video,onset,offset,emotion\ns,v,a,2,x\n", "line 2"),
        ("subject,video,onset,offset,emotion\ns,v,1,2,x\ns,v,9,2,x\n", "line 3"),
        ("subject,video,onset,offset,emotion\ns,v,inf,2,x\n", "not two frame numbers"),
        ("", "lacks the column"),
    ],
)
def test_bad_tables_are_refused_with_the_place(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=says):
        read_intervals(path)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_intervals(tmp_path / "no.csv")


def test_the_command_writes_one_row(tmp_path: Path, prompt: Prompt) -> None:
    truth, found, out = tmp_path / "truth.csv", tmp_path / "found.csv", tmp_path / "out.json"
    truth.write_text("subject,video,onset,offset,emotion\ns1,v1,10,19,positive\n", encoding="utf-8")
    found.write_text("subject,video,onset,offset,emotion\ns1,v1,10,19,positive\ns1,v9,1,5,positive\n", encoding="utf-8")
    words = ["strs", "--truth", str(truth), "--predictions", str(found), "--json", str(out)]
    assert prompt("tsf-bench", *words).code == 0
    record = json.loads(out.read_text(encoding="utf-8"))
    assert (record["schema"], record["scenario"], len(record["rows"])) == ("tsf.bench/1", "strs", 1)
    assert record["rows"][0]["spotting"]["fp"] == 1
    assert prompt("tsf-bench", *words, "--megc-compat").code == 0
    assert json.loads(out.read_text(encoding="utf-8"))["rows"][0]["strs"] == 1.0
    assert prompt("tsf-bench", *words, "--slo", "strs>=0.99").code == 8
