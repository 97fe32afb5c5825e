"""Matching and counting, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsfmicro.intervals import MATCH_IOU, Counts, Span, count, iou, match_intervals

spans = st.tuples(st.integers(0, 40), st.integers(1, 10)).map(lambda s: (s[0] / 4, (s[0] + s[1]) / 4))
clips = st.lists(spans, max_size=6)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        ((1.0, 2.0), (1.0, 2.0), 1.0),
        ((0.0, 1.0), (0.5, 1.5), 1 / 3),
        ((0.0, 4.0), (1.0, 2.0), 0.25),
        ((0.0, 1.0), (1.0, 2.0), 0.0),
        ((0.0, 1.0), (5.0, 6.0), 0.0),
        ((1.0, 1.0), (1.0, 1.0), 0.0),
        ((1.0, 1.0), (0.0, 2.0), 0.0),
    ],
)
def test_iou_by_hand(first: Span, second: Span, wanted: float) -> None:
    assert iou(first, second) == pytest.approx(wanted)
    assert iou(second, first) == pytest.approx(wanted)


def test_the_challenges_count_from_one_half() -> None:
    assert MATCH_IOU == 0.5


@pytest.mark.parametrize(("end", "hits"), [(2.0, 1), (2.0625, 0), (1.0, 1), (0.5, 1), (0.4375, 0)])
def test_an_overlap_counts_from_exactly_one_half(end: float, hits: int) -> None:
    assert count([(0.0, 1.0)], [(0.0, end)]) == Counts(tp=hits, fp=1 - hits, fn=1 - hits)


def test_the_threshold_is_taken_as_given() -> None:
    truth, found = [(0.0, 1.0)], [(0.0, 4.0)]
    assert count(truth, found, threshold=0.25).tp == 1
    assert count(truth, found, threshold=0.2501).tp == 0


def test_one_found_cannot_cover_two_truths() -> None:
    matches = match_intervals([(0.0, 1.0), (1.0, 2.0)], [(0.0, 2.0)])
    assert [(m.truth, m.found) for m in matches] == [(0, 0)]
    assert count([(0.0, 1.0), (1.0, 2.0)], [(0.0, 2.0)]) == Counts(tp=1, fp=0, fn=1)


def test_one_truth_is_not_found_twice() -> None:
    assert count([(0.0, 2.0)], [(0.0, 1.0), (1.0, 2.0)]) == Counts(tp=1, fp=1, fn=0)


def test_the_better_overlap_wins() -> None:
    matches = match_intervals([(0.0, 1.0), (0.25, 1.25)], [(0.25, 1.25)])
    assert [(m.truth, m.found, m.iou) for m in matches] == [(1, 0, 1.0)]


def test_ties_go_to_the_earlier_pair_and_matches_come_by_truth() -> None:
    matches = match_intervals([(0.0, 1.0), (4.0, 5.0)], [(4.0, 5.0), (4.0, 5.0), (0.0, 1.0)])
    assert [(m.truth, m.found) for m in matches] == [(0, 2), (1, 0)]
    two = match_intervals([(0.0, 1.0), (1.0, 2.0)], [(0.0, 2.0), (0.0, 2.0)])
    assert [(m.truth, m.found) for m in two] == [(0, 0), (1, 1)]


def test_nothing_against_nothing() -> None:
    empty = count([], [])
    assert empty == Counts(0, 0, 0)
    assert (empty.precision, empty.recall, empty.f1) == (0.0, 0.0, 0.0)
    assert count([(0.0, 1.0)], []) == Counts(fn=1)
    assert count([], [(0.0, 1.0)]) == Counts(fp=1)


def test_scores_by_hand() -> None:
    counts = Counts(tp=3, fp=1, fn=2)
    assert counts.precision == 3 / 4
    assert counts.recall == 3 / 5
    assert counts.f1 == pytest.approx(6 / 9)
    assert counts.f1 == pytest.approx(2 * counts.precision * counts.recall / (counts.precision + counts.recall))


def test_counts_of_clips_add_up() -> None:
    assert sum([Counts(1, 2, 3), Counts(10, 20, 30)], Counts()) == Counts(11, 22, 33)


@settings(max_examples=100, deadline=None)
@given(truth=clips, found=clips)
def test_matches_are_one_to_one_and_leave_no_free_pair(truth: list[Span], found: list[Span]) -> None:
    matches = match_intervals(truth, found)
    truths, founds = {m.truth for m in matches}, {m.found for m in matches}
    assert len(truths) == len(founds) == len(matches)
    assert all(m.iou == iou(truth[m.truth], found[m.found]) >= MATCH_IOU for m in matches)
    free = [(i, j) for i in range(len(truth)) for j in range(len(found)) if i not in truths and j not in founds]
    assert all(iou(truth[i], found[j]) < MATCH_IOU for i, j in free)
    counts = count(truth, found)
    assert (counts.tp + counts.fn, counts.tp + counts.fp) == (len(truth), len(found))
