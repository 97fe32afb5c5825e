"""Fitting the confidence: against known answers, and blind to the people it is checked on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.factories import make_finished, make_samples
from tsfmicro.benchmarks.spotting.clips import Clip, Kind, Side
from tsfmicro.benchmarks.spotting.fitting import (
    calibration_of,
    expression_patterns,
    fit_scorer,
    left_out,
    logistic_weights,
    record_of,
    shares_of,
    told,
)
from tsfmicro.benchmarks.spotting.movements import Movement
from tsfmicro.benchmarks.spotting.takes import Condition, Take
from tsfmicro.errors import UsageError
from tsfmicro.motion import REGIONS, Displacement
from tsfmicro.realtime.confidence import FEATURES, scorer_of
from tsfmicro.realtime.gates import GateSpec, examine
from tsfmicro.realtime.shape import Shape

SAMPLES = make_samples(50.0, 1.0)
STILL = Displacement(np.zeros(len(REGIONS)), np.eye(2, 3), 0.1)


def movement(rng: np.random.Generator, *, true: bool, person: str = "a", kind: Kind = Kind.STILL) -> Movement:
    """True ones move the brows up; false ones anything."""
    moves = rng.normal(0, 0.2, (len(REGIONS), 2))
    if true:
        moves[:2, 1] -= 3.0
    else:
        moves += rng.normal(0, 2.0, moves.shape)
    together = np.zeros((moves.size, moves.size))
    shape = Shape(
        moves, np.full(len(REGIONS), 0.2), together, 3.0, 2.0, float(rng.uniform(0, 1)), float(rng.uniform(0, 1))
    )
    finished = replace(make_finished(SAMPLES), shape=shape, region="left_brow")
    clip = Clip("c", "", person, Side.TRAIN, kind, 0, 0, 9, 1, nuisances=False, rates=False)
    evidence = dict(examine(finished, STILL, GateSpec()).evidence)
    take, event, units = Take(clip, Condition(3.0)), 0 if true else None, (1, 2) if true else ()
    return Movement(take, finished, evidence, (), True, event, units)


def some(count: int = 40, **what: Any) -> list[Movement]:
    rng = np.random.default_rng(1)
    return [movement(rng, true=i % 2 == 0, **what) for i in range(count)]


def test_logistic_weights_are_where_the_slope_of_the_likelihood_is_zero() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 3))
    labels = (features @ [2.0, -1.0, 0.0] + rng.logistic(size=200) > 0.3).astype(np.float64)
    shares = rng.uniform(0.2, 1, 200)
    weights = logistic_weights(features, labels, shares, ridge=0.5)
    design = np.column_stack([features, np.ones(200)])
    slope = design.T @ (shares * (1 / (1 + np.exp(-design @ weights)) - labels)) + 0.5 * np.append(weights[:3], 0)
    np.testing.assert_allclose(slope, 0, atol=1e-8)
    assert weights[0] > 1 > 0 > weights[1]


def test_a_row_that_counts_half_twice_is_one_row() -> None:
    rng = np.random.default_rng(5)
    features, labels = rng.normal(size=(60, 2)), (rng.random(60) < 0.5).astype(np.float64)
    once = logistic_weights(features, labels, np.ones(60))
    twice = logistic_weights(np.repeat(features, 2, axis=0), np.repeat(labels, 2), np.full(120, 0.5))
    np.testing.assert_allclose(twice, once)


def test_what_several_patterns_tell_of_counts_once() -> None:
    rng = np.random.default_rng(2)
    one, other = movement(rng, true=True), movement(rng, true=False)
    elsewhere = replace(one, take=replace(one.take, number=1))
    np.testing.assert_allclose(shares_of([one, one, other, elsewhere, replace(one, face=1)]), [0.5, 0.5, 1, 1, 1])


def test_a_stronger_ridge_shrinks_the_weights_and_leaves_the_bias_free() -> None:
    features = np.zeros((100, 2))
    labels = np.array([1.0] * 80 + [0.0] * 20)
    weights = logistic_weights(features, labels, np.ones(100), ridge=1e6)
    np.testing.assert_allclose(weights[:2], 0)
    assert weights[2] == pytest.approx(np.log(4))


def test_patterns_are_those_of_the_true_movements_on_stills() -> None:
    (pattern,) = expression_patterns(some())
    assert np.linalg.norm(pattern) == pytest.approx(1.0)
    assert (pattern[:2, 1] < -0.6).all()
    assert expression_patterns(some(kind=Kind.QUIET)).shape == (0, len(REGIONS), 2)


def test_true_movements_get_the_higher_confidence() -> None:
    train, rng = some(), np.random.default_rng(9)
    scorer = fit_scorer(train)
    fresh = [movement(rng, true=i < 20) for i in range(40)]
    from tsfmicro.realtime.confidence import features_of

    given = [scorer.confidence(features_of(m.finished, m.evidence, scorer.patterns)) for m in fresh]
    assert min(given[:20]) > 0.5 > np.mean(given[20:])


def test_who_is_checked_has_no_say() -> None:
    """Turning the labels of one person round does not move that person's own confidences."""
    people = [*some(person="a"), *some(person="b"), *some(person="c")]
    turned = [replace(m, event=None if m.event == 0 else 0) if m.take.clip.person == "c" else m for m in people]
    (_, before), (_, after) = left_out(people), left_out(turned)
    mine = np.array([m.take.clip.person == "c" for m in people])
    np.testing.assert_array_equal(before[mine], after[mine])
    assert not np.allclose(before[~mine], after[~mine])


def test_a_feature_can_be_left_out() -> None:
    chosen = [FEATURES.index(name) for name in ("twin", "pattern")]
    usual, without = fit_scorer(some()).weights, fit_scorer(some(), frozenset({"twin", "pattern"})).weights
    np.testing.assert_allclose(without[chosen], 0.0, atol=1e-12)
    assert (np.abs(usual[chosen]) > 0.01).all()
    assert not np.allclose(np.delete(without, chosen), np.delete(usual, chosen))


def test_overlapping_movements_of_a_face_are_told_once() -> None:
    rng = np.random.default_rng(2)
    brow = movement(rng, true=True)
    chin = replace(brow, finished=replace(brow.finished, region="chin", candidate=2))
    elsewhere = replace(chin, take=replace(chin.take, number=1)), replace(chin, face=1)
    merits = np.array([0.6, 0.9, 0.7, 0.3])
    everything = [brow, chin, *elsewhere]
    assert told(everything, merits, 0.5) == [chin, elsewhere[0]]
    assert told(everything, merits, 0.2) == [chin, *elsewhere]
    assert told([brow, chin], np.array([0.6, 0.6]), 0.5) == [brow]


def test_only_movements_the_gates_leave_open_count() -> None:
    train = some()
    settled = [replace(m, admitted=False, event=None if m.event == 0 else 0) for m in some(20)]
    np.testing.assert_allclose(fit_scorer([*train, *settled]).weights, fit_scorer(train).weights, atol=0.2)
    admitted, _ = left_out([*some(person="a"), *some(person="b"), *settled])
    assert all(m.admitted for m in admitted)


def test_one_kind_alone_cannot_be_fitted() -> None:
    with pytest.raises(UsageError, match="true and false"):
        fit_scorer([m for m in some() if m.event is None])


def test_calibration_by_hand() -> None:
    labels = np.array([1.0, 1.0, 0.0, 0.0])
    perfect = calibration_of(labels, labels)
    assert perfect.expected_calibration_error == perfect.log_loss == 0.0
    halves = calibration_of(labels, np.full(4, 0.5))
    assert halves.expected_calibration_error == 0.0
    assert halves.log_loss == pytest.approx(np.log(2))
    wrong = calibration_of(labels, np.array([0.85, 0.85, 0.85, 0.15]))
    assert wrong.expected_calibration_error == pytest.approx((3 * abs(0.85 - 2 / 3) + 0.15) / 4)


def test_the_record_reads_back_as_the_same_model() -> None:
    scorer = fit_scorer(some())
    read = scorer_of(record_of(scorer, {}))
    np.testing.assert_allclose(read.weights, scorer.weights, atol=1e-5)
    np.testing.assert_allclose(read.patterns, scorer.patterns, atol=1e-5)
    assert read.bias == pytest.approx(scorer.bias, abs=1e-5)
