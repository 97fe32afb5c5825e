"""Calibration: known temperatures come back, thresholds and errors are those one counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsfmicro.errors import ContractError
from tsfmicro.training.calibrate import abstention_threshold, expected_calibration_error, fit_temperature
from tsfmicro.values import AnyArray, Float64Array


def softmax(logits: Float64Array) -> Float64Array:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    normal: Float64Array = weights / weights.sum(axis=1, keepdims=True)
    return normal


def sampled(temperature: float, seed: int, count: int = 6000) -> tuple[Float64Array, AnyArray]:
    """Logits that are too sharp or too blunt by a factor, and truths drawn from what they should have said."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 1.5, (count, 5))
    truth = (softmax(honest).cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)
    return honest * temperature, truth


def confident(*tops: float) -> Float64Array:
    """Two-class probabilities whose first class has the given values."""
    return np.array([[top, 1 - top] for top in tops])


@settings(max_examples=15, deadline=None)
@given(st.floats(0.2, 8.0), st.integers(0, 2**16))
def test_a_known_temperature_is_found(temperature: float, seed: int) -> None:
    assert fit_temperature(*sampled(temperature, seed)) == pytest.approx(temperature, rel=0.12)


def test_many_samples_find_it_closely() -> None:
    assert fit_temperature(*sampled(2.5, 0, 60_000)) == pytest.approx(2.5, rel=0.03)


def test_calibrating_makes_probabilities_honest() -> None:
    logits, truth = sampled(4.0, 3)
    before = expected_calibration_error(softmax(logits), truth)
    after = expected_calibration_error(softmax(logits / fit_temperature(logits, truth)), truth)
    assert before > 0.15
    assert after < 0.03


def test_logits_that_are_always_right_end_at_the_sharpest_temperature() -> None:
    assert fit_temperature(np.eye(5) * 0.1, np.arange(5)) == pytest.approx(0.05, rel=0.05)


def test_logits_that_are_always_wrong_end_at_the_bluntest() -> None:
    assert fit_temperature(np.eye(5) * 3.0, (np.arange(5) + 1) % 5) == pytest.approx(20.0, rel=0.05)


@pytest.mark.parametrize(("rows", "labels"), [(0, 0), (3, 2), (0, 1)])
def test_nothing_to_fit_is_refused(rows: int, labels: int) -> None:
    with pytest.raises(ContractError, match=f"{rows} logits and {labels} labels"):
        fit_temperature(np.zeros((rows, 5)), np.zeros(labels, int))


def test_all_right_needs_no_threshold() -> None:
    assert abstention_threshold(confident(0.6, 0.9, 0.7), np.zeros(3, int), 0.9) == 0.0


def test_just_accurate_enough_needs_no_threshold() -> None:
    assert abstention_threshold(confident(0.6, 0.9, 0.7, 0.8), np.array([1, 0, 0, 0]), 0.75) == 0.0


def test_separable_cases_are_separated() -> None:
    probabilities = confident(0.55, 0.95, 0.6, 0.9, 0.8)
    truth = np.array([1, 0, 1, 0, 0])  # right from 0.8 upwards
    assert abstention_threshold(probabilities, truth, 1.0) == 0.8
    assert abstention_threshold(probabilities, truth, 0.75) == 0.6  # 3 of 4, and no more may be given


def test_the_smallest_threshold_counts_and_not_the_first() -> None:
    probabilities = confident(0.9, 0.85, 0.8, 0.75, 0.7, 0.6)
    truth = np.array([0, 1, 0, 0, 1, 1])  # accuracy 1, 1/2, 2/3, 3/4, 3/5, 1/2 going down
    assert abstention_threshold(probabilities, truth, 0.75) == 0.75


def test_an_accuracy_out_of_reach_gives_the_best_there_is() -> None:
    probabilities = confident(0.9, 0.85, 0.8, 0.75, 0.7, 0.6)
    truth = np.array([1, 0, 0, 1, 1, 1])  # accuracy 0, 1/2, 2/3, 1/2, 2/5, 1/3 going down
    assert abstention_threshold(probabilities, truth, 0.95) == 0.8


def test_a_threshold_answers_at_least_a_tenth() -> None:
    probabilities = confident(*np.linspace(0.99, 0.6, 40))
    truth = np.ones(40, int)
    truth[0] = 0  # only the surest one is right
    threshold = abstention_threshold(probabilities, truth, 0.9)
    assert (probabilities.max(axis=1) >= threshold).sum() == 4


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(501, 999), st.booleans()), min_size=1, max_size=30, unique_by=lambda c: c[0]))
def test_answers_above_the_threshold_reach_the_accuracy_where_any_do(cases: list[tuple[int, bool]]) -> None:
    tops = np.array([top / 1000 for top, _ in cases])
    right = np.array([is_right for _, is_right in cases])
    threshold = abstention_threshold(confident(*tops), (~right).astype(int), 0.8)
    least = max(len(cases) // 10, 1)

    def accuracy(at: float) -> float:
        given_ = tops >= at
        return float(right[given_].mean()) if given_.sum() >= least else -1.0

    reachable = [at for at in (0.0, *tops) if accuracy(at) >= 0.8]
    if reachable:
        assert accuracy(threshold) >= 0.8
        assert (tops >= threshold).sum() == max((tops >= at).sum() for at in reachable)
    else:
        assert accuracy(threshold) == max(accuracy(at) for at in (0.0, *tops))


def test_equal_probabilities_stand_or_fall_together() -> None:
    probabilities, truth = confident(0.9, 0.9, 0.8, 0.7), np.array([0, 1, 0, 0])
    answered = probabilities.max(axis=1) >= abstention_threshold(probabilities, truth, 0.8)
    # Thresholds 0.9, 0.8 and 0.7 give 1/2, 2/3 and 3/4: none reaches 0.8, and the last is the best there is.
    assert (truth == 0)[answered].mean() == 0.75


def test_calibration_error_by_hand() -> None:
    # Bin 0.5-0.6: two at 0.55, one right: gap 0.05. Bin 0.9-1: three at 0.95, all right: gap 0.05. Bin 0.7: 1 wrong.
    probabilities = confident(0.55, 0.55, 0.95, 0.95, 0.95, 0.75)
    truth = np.array([0, 1, 0, 0, 0, 1])
    assert expected_calibration_error(probabilities, truth) == pytest.approx((2 * 0.05 + 3 * 0.05 + 0.75) / 6)


def test_certainty_belongs_to_the_last_bin() -> None:
    assert expected_calibration_error(confident(1.0, 1.0), np.array([0, 0])) == 0.0
    assert expected_calibration_error(confident(1.0, 0.95), np.array([0, 1])) == pytest.approx(0.475)


def test_bins_are_what_gaps_average_over() -> None:
    """One too sure and one too unsure cancel inside one bin, not across two."""
    probabilities, truth = confident(0.8, 0.6), np.array([1, 0])
    assert expected_calibration_error(probabilities, truth, bins=1) == pytest.approx(0.2)
    assert expected_calibration_error(probabilities, truth, bins=10) == pytest.approx(0.6)
