"""The confidence of a movement: what it looks at, that it is one, and what it decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.factories import make_finished, make_samples
from tsfmicro.errors import ContractError
from tsfmicro.motion import REGIONS, Displacement
from tsfmicro.realtime.confidence import FEATURES, Scorer, features_of, scorer_of, shipped_scorer
from tsfmicro.realtime.gates import (
    LEFT_TO_CONFIDENCE,
    LOW_CONFIDENCE,
    GateSpec,
    Verdict,
    examine,
    judge,
    merit_of,
    overshadowed,
)
from tsfmicro.realtime.shape import Shape, UsualMoves
from tsfmicro.realtime.spot import Finished

BROW, TWIN = REGIONS.index("left_brow"), REGIONS.index("right_brow")
SPEC = GateSpec(min_confidence=0.5)
STILL = Displacement(np.zeros(len(REGIONS)), np.eye(2, 3), 0.1)


def shape(**changes: Any) -> Shape:
    moves = np.zeros((len(REGIONS), 2))
    moves[BROW], moves[TWIN] = (0.5, -3.0), (-0.5, -3.0)
    spread = np.full(len(REGIONS), 0.1)
    together = np.zeros((moves.size, moves.size))
    usual: dict[str, Any] = {
        "moves": moves,
        "spread": spread,
        "together": together,
        "rise": 3.0,
        "fall": 2.7,
        "before": 0.1,
        "after": 0.1,
    }
    return Shape(**(usual | changes))


def finished(**changes: Any) -> Finished:
    return replace(make_finished(make_samples(50.0, 1.0)), shape=shape(**changes), region="left_brow")


def features(movement: Finished, patterns: Any = None) -> dict[str, float]:
    known = np.zeros((0, len(REGIONS), 2)) if patterns is None else patterns
    values = features_of(movement, examine(movement, STILL, SPEC).evidence, known)
    return dict(zip(FEATURES, values.tolist(), strict=True))


def fixed(logit: float) -> Scorer:
    zeros, ones = np.zeros(len(FEATURES)), np.ones(len(FEATURES))
    return Scorer(np.zeros((0, len(REGIONS), 2)), zeros, ones, zeros, logit)


def test_features_are_what_they_are_called() -> None:
    seen = features(finished())
    assert seen["size"] == pytest.approx(np.log(np.hypot(0.5, 3.0)))
    assert seen["balance"] == pytest.approx(0.9)
    assert seen["rise_s"] == pytest.approx(0.2)
    assert seen["fall_s"] == pytest.approx(0.2)
    assert seen["twin"] == pytest.approx(1.0)  # both up, both outwards
    assert seen["pattern"] == 0.0
    assert all(np.isfinite(value) for value in seen.values())


def test_a_known_pattern_is_recognised_whatever_its_size() -> None:
    pattern = shape().moves / np.linalg.norm(shape().moves)
    assert features(finished(), pattern[None])["pattern"] == pytest.approx(1.0)
    assert features(finished(moves=0.3 * shape().moves), pattern[None])["pattern"] == pytest.approx(1.0)
    assert features(finished(moves=-shape().moves), pattern[None])["pattern"] == pytest.approx(-1.0)


def test_one_brow_alone_has_no_twin() -> None:
    moves = shape().moves.copy()
    moves[TWIN] = 0.0
    assert features(finished(moves=moves))["twin"] == 0.0


def test_what_moves_besides_the_pattern_is_told() -> None:
    pattern = (shape().moves / np.linalg.norm(shape().moves))[None]
    chewing = shape().moves.copy()
    chewing[REGIONS.index("chin")] = (0.0, 4.0)
    alone, both = features(finished(), pattern), features(finished(moves=chewing), pattern)
    assert alone["besides_pattern"] == pytest.approx(np.log(0.2))
    assert both["besides_pattern"] == pytest.approx(np.log(4.2))
    assert (alone["pattern_over_usual"], alone["unusual_pattern"]) == pytest.approx((1.0, 1.0))
    restless = np.where(np.arange(len(REGIONS)) == REGIONS.index("chin"), 8.0, 0.1)
    forgiven = features(finished(moves=chewing, spread=restless), pattern)
    assert forgiven["pattern"] == both["pattern"] < both["pattern_over_usual"] + 0.2
    assert forgiven["pattern_over_usual"] > 0.99 > both["pattern_over_usual"]


def test_a_movement_that_the_face_usually_makes_is_not_unusual() -> None:
    raised = shape().moves
    pattern = (raised / np.linalg.norm(raised))[None]
    jaw = np.zeros_like(raised)
    jaw[REGIONS.index("chin")] = jaw[REGIONS.index("lower_lip")] = (0.0, 3.0)
    as_usual = {"moves": raised + jaw, "together": np.outer(jaw, jaw)}
    usual, never = features(finished(**as_usual), pattern), features(finished(moves=raised + jaw), pattern)
    assert usual["unusual_pattern"] > 0.95 > 0.8 > never["unusual_pattern"]
    assert usual["unusual_besides_pattern"] < 0.5 < 1.5 < never["unusual_besides_pattern"]
    same = features(finished(together=np.outer(raised, raised)), pattern)
    assert same["unusual_along_pattern"] < 0.5 < features(finished(), pattern)["unusual_along_pattern"]


def test_usual_moves_are_those_of_two_seconds_before_the_movement() -> None:
    usual = UsualMoves(lookback_s=1.5)
    assert not usual.together(0.5, 0.6).any()
    for i in range(600):
        out = np.zeros((len(REGIONS), 2))
        out[0, 1] = 1.0 if i < 200 else 2.0 if i < 400 else 9.0
        usual.add(i / 100, out)
    assert usual.together(4.0, 4.0)[1, 1] == pytest.approx(4.0)  # the first two seconds are forgotten, the last to come
    assert usual.together(5.0, 5.0)[1, 1] == pytest.approx((100 * 4 + 100 * 81) / 200)
    assert np.count_nonzero(usual.together(5.0, 5.0)) == 1


@pytest.mark.parametrize(
    ("reasons", "confidence", "merit"),
    [
        ((), 0.8, 0.8),
        (("low_confidence", "blink"), 0.3, 0.3),
        (("slow_onset",), 0.9, -1.0),
        (("no_return", "speech"), 0.9, -1.0),
        ((), None, -1.0),
    ],
)
def test_merit_is_the_confidence_of_what_no_limit_rejects_alone(
    reasons: tuple[str, ...], confidence: float | None, merit: float
) -> None:
    verdict = Verdict(reasons, {}, confidence)
    assert merit_of(verdict) == merit
    hidden = overshadowed(verdict)
    assert hidden.reasons == ("same_movement", *(r for r in reasons if r != LOW_CONFIDENCE))
    assert hidden.confidence == confidence


def test_confidence_is_a_probability_and_follows_the_logit() -> None:
    values = np.zeros(len(FEATURES))
    confidences = [fixed(logit).confidence(values) for logit in (-1000.0, -2.0, 0.0, 2.0, 1000.0)]
    assert confidences == sorted(confidences)
    assert 0 < confidences[0] < 1e-9
    assert confidences[2] == 0.5
    assert confidences[3] == pytest.approx(1 / (1 + np.exp(-2)))
    assert 1 - 1e-9 < confidences[4] <= 1


@pytest.mark.parametrize(("logit", "reasons"), [(0.1, ()), (-0.1, (LOW_CONFIDENCE,))])
def test_the_operating_point_decides(logit: float, reasons: tuple[str, ...]) -> None:
    verdict = judge(finished(), STILL, SPEC, fixed(logit))
    assert verdict.reasons == reasons
    assert verdict.confidence == verdict.evidence["confidence"] == fixed(logit).confidence(np.zeros(len(FEATURES)))
    strict = replace(SPEC, min_confidence=0.9)
    assert judge(finished(), STILL, strict, fixed(logit)).reasons == (LOW_CONFIDENCE,)


def test_a_blink_is_a_reason_only_where_the_confidence_is_low() -> None:
    samples = make_samples(50.0, 1.0)
    blinking = make_samples(50.0, 1.0, opening=0.1)
    samples[20:24] = blinking[20:24]
    movement = replace(make_finished(samples), shape=shape(), region="left_brow")
    assert "blink" in LEFT_TO_CONFIDENCE
    assert judge(movement, STILL, SPEC, fixed(2.0)).reasons == ()
    assert judge(movement, STILL, SPEC, fixed(-2.0)).reasons == (LOW_CONFIDENCE, "blink")
    assert judge(replace(movement, shape=None), STILL, SPEC).reasons == ("blink",)


@pytest.mark.parametrize(
    ("changes", "reason"), [({"returned": False}, "no_return"), ({"overshadowed": True}, "same_movement")]
)
def test_no_confidence_excuses_what_decides_alone(changes: dict[str, Any], reason: str) -> None:
    assert judge(replace(finished(), **changes), STILL, SPEC, fixed(9.0)).reasons == (reason,)


def test_the_shipped_model_is_of_these_features_and_prefers_a_clear_movement() -> None:
    scorer = shipped_scorer()
    assert len(scorer.patterns) >= 8
    np.testing.assert_allclose(np.linalg.norm(scorer.patterns.reshape(len(scorer.patterns), -1), axis=1), 1, atol=1e-3)
    raised = 3.0 * scorer.patterns[0] / np.abs(scorer.patterns[0]).max()
    region = REGIONS[int(np.hypot(*raised.T).argmax())]
    clear = replace(finished(moves=raised), region=region)
    rng = np.random.default_rng(0)
    erratic = replace(clear, shape=shape(moves=rng.normal(0, 3, raised.shape), before=1.5, after=1.5, fall=1.6))
    sure, unsure = (judge(m, STILL, SPEC, scorer).confidence for m in (clear, erratic))
    assert sure is not None and unsure is not None
    assert sure > 0.8 > 0.2 > unsure


def test_a_model_of_other_features_is_refused() -> None:
    with pytest.raises(ContractError, match="other features"):
        scorer_of({"features": ["size"]})
    with pytest.raises(ContractError, match="expected"):
        Scorer(np.zeros((0, len(REGIONS), 2)), np.zeros(1), np.ones(1), np.zeros(1), 0.0)


def test_a_movement_without_a_shape_cannot_be_scored() -> None:
    with pytest.raises(ContractError, match="shape"):
        features_of(replace(finished(), shape=None), {}, np.zeros((0, len(REGIONS), 2)))
