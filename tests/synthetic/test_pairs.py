"""Training pairs: reproducible, of every class, and never twice the same person."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.factories import astronaut
from tsfmicro.align import AlignSpec
from tsfmicro.preprocess import Preprocessor, PreprocessSpec
from tsfmicro.synthetic.action_units import EMOTIONS
from tsfmicro.synthetic.pairs import LabelledPair, PairSpec, draw_pair
from tsfmicro.synthetic.portrait import Portrait
from tsfmicro.values import Float64Array, UInt8Array

SIDE = 128
PREPROCESSOR = Preprocessor(PreprocessSpec(align=AlignSpec(size_px=SIDE, iod_px=57.0, eye_row_px=43.0)))
ALL = PairSpec(iod_px=(55.0, 70.0))
CLEAN = replace(
    ALL,
    amplitude_percent_iod=(4.0, 4.0),
    one_sided=0.0,
    identity_strength=0.0,
    crop_jitter=(0.0, 0.0, 0.0),
    misalignment_px=0.0,
    turn_deg=0.0,
    noise_sigma=(0.0, 0.0),
    jpeg_share=0.0,
)


def draw(spec: PairSpec, seed: int, portraits: tuple[Portrait, ...] | None = None) -> LabelledPair:
    return draw_pair(portraits or (astronaut(),), spec, PREPROCESSOR, np.random.default_rng(seed))


@functools.cache
def some() -> tuple[LabelledPair, ...]:
    rng = np.random.default_rng(0)
    return tuple(draw_pair((astronaut(),), ALL, PREPROCESSOR, rng) for _ in range(40))


def distance(first: LabelledPair, second: LabelledPair) -> float:
    return float(np.abs(first.crops.onset.astype(int) - second.crops.onset).mean())


def change(pair: LabelledPair) -> Float64Array:
    """(S, S) grey-level change from onset to apex, without what the light did to the whole picture."""
    difference = (pair.crops.apex.astype(float) - pair.crops.onset).mean(axis=2)
    changed: Float64Array = np.abs(difference - np.median(difference))
    return changed


def test_the_same_state_draws_the_same_pair() -> None:
    first, second = draw(ALL, 5), draw(ALL, 5)
    assert (first.emotion, first.person) == (second.emotion, second.person)
    assert first.crops.onset.tobytes() == second.crops.onset.tobytes()
    assert first.crops.apex.tobytes() == second.crops.apex.tobytes()


def test_the_next_pair_is_another_one() -> None:
    rng = np.random.default_rng(5)
    first, second = (draw_pair((astronaut(),), ALL, PREPROCESSOR, rng) for _ in range(2))
    assert first.crops.onset.tobytes() != second.crops.onset.tobytes()


def test_every_class_is_drawn() -> None:
    assert {pair.emotion for pair in some()} == set(EMOTIONS)


def test_pairs_are_crops_of_the_preprocessors_size() -> None:
    assert {pair.crops.onset.shape for pair in some()} == {(SIDE, SIDE, 3)}
    assert {pair.crops.apex.shape for pair in some()} == {(SIDE, SIDE, 3)}
    assert {pair.person for pair in some()} == {"astronaut"}


def test_only_the_classes_asked_for_are_drawn() -> None:
    only = replace(ALL, classes=("disgust", "surprise"))
    assert {draw(only, seed).emotion for seed in range(12)} == {"disgust", "surprise"}


def test_every_portrait_is_drawn() -> None:
    twins = (astronaut(), replace(astronaut(), name="twin"))
    assert {draw(ALL, seed, twins).person for seed in range(12)} == {"astronaut", "twin"}


def test_identity_strength_makes_other_people() -> None:
    """The one spec changed is the strength: it alone must spread the people further."""

    def spread(strength: float) -> float:
        pairs = [draw(replace(CLEAN, identity_strength=strength), seed) for seed in range(8)]
        onsets = [np.minimum(p.crops.onset.astype(float), p.crops.onset[:, ::-1]).mean(axis=2) for p in pairs]
        evened = [(onset - onset.mean()) / onset.std() for onset in onsets]  # gain is no identity
        return float(np.mean([np.abs(a - b).mean() for i, a in enumerate(evened) for b in evened[i + 1 :]]))

    assert spread(1.0) > 1.3 * spread(0.0)


@pytest.mark.parametrize(("emotion", "upper"), [("repression", False), ("happiness", False)])
def test_the_expression_is_where_the_emotion_puts_it(emotion: str, upper: bool) -> None:
    eyes, mouth = slice(10, 50), slice(65, 125)
    for seed in range(4):
        changed = change(draw(replace(CLEAN, classes=(emotion,)), seed))[:, 25:-25]
        assert (changed[eyes].mean() > changed[mouth].mean()) == upper


def test_amplitude_is_what_moves() -> None:
    for seed in range(3):
        small, large = (draw(replace(CLEAN, amplitude_percent_iod=(a, a)), seed) for a in (1.0, 6.0))
        assert small.emotion == large.emotion
        assert change(large).mean() > 1.5 * change(small).mean()


def test_both_mirror_images_are_drawn() -> None:
    still = replace(CLEAN, classes=("surprise",))
    first = draw(still, 0).crops.onset
    others = [draw(still, seed).crops.onset for seed in range(1, 9)]

    def alike(a: UInt8Array, b: UInt8Array) -> float:
        return float(np.corrcoef(a.mean(axis=2).ravel(), b.mean(axis=2).ravel())[0, 1])

    mirrored = [alike(first[:, ::-1], other) > alike(first, other) for other in others]
    assert set(mirrored) == {True, False}


@pytest.mark.parametrize(
    "nuisance",
    [
        {"crop_jitter": (8.0, 0.2, 15.0)},
        {"noise_sigma": (8.0, 8.0)},
        {"jpeg_share": 1.0},
        {"turn_deg": 6.0},
        {"misalignment_px": 3.0},
    ],
    ids=lambda nuisance: next(iter(nuisance)),
)
def test_every_nuisance_changes_the_pair(nuisance: dict[str, Any]) -> None:
    changed = 0
    for seed in range(3):
        plain, disturbed = draw(CLEAN, seed), draw(replace(CLEAN, **nuisance), seed)
        assert plain.emotion == disturbed.emotion
        changed += plain.crops.apex.tobytes() != disturbed.crops.apex.tobytes()
    assert changed == 3


def test_the_onset_knows_nothing_of_turn_and_misalignment() -> None:
    """Both describe the apex frame alone."""
    for seed in range(3):
        plain = draw(CLEAN, seed)
        disturbed = draw(replace(CLEAN, turn_deg=6.0, misalignment_px=3.0), seed)
        assert distance(plain, disturbed) == 0
