"""The tables behind the synthetic expressions hold together."""

from __future__ import annotations

import numpy as np
import pytest

from tests.factories import astronaut
from tsfmicro.align import AlignSpec, apply_transform, crop_transform
from tsfmicro.synthetic.action_units import ACTION_UNITS, EMOTIONS, Anchor
from tsfmicro.values import LANDMARK_COUNT

SPEC = AlignSpec(size_px=224, iod_px=100.0, eye_row_px=76.0)
CASME2_FIVE = {"happiness", "disgust", "repression", "surprise", "others"}


def at(anchor: Anchor) -> tuple[float, float]:
    """Position across and down the face, inter-ocular distances from the middle of the eyes."""
    landmarks = astronaut().landmarks_px
    x, y = apply_transform(crop_transform(landmarks, SPEC), landmarks)[anchor.landmark]
    return (float(x) - 112) / 100, (float(y) - 76) / 100


def test_the_five_classes_are_there() -> None:
    assert set(EMOTIONS) == CASME2_FIVE


@pytest.mark.parametrize("emotion", sorted(EMOTIONS))
def test_an_emotion_is_made_of_units_that_exist(emotion: str) -> None:
    combinations = EMOTIONS[emotion]
    assert combinations
    for combination in combinations:
        assert combination.units
        assert set(combination.units) <= set(ACTION_UNITS)
        assert len(combination.weights) == len(combination.units) == len(set(combination.units))
        assert min(combination.weights) > 0


def test_no_combination_stands_for_two_emotions() -> None:
    owners: dict[tuple[int, ...], set[str]] = {}
    for emotion, combinations in EMOTIONS.items():
        for combination in combinations:
            owners.setdefault(combination.units, set()).add(emotion)
    assert {units: names for units, names in owners.items() if len(names) > 1} == {}


@pytest.mark.parametrize("unit", sorted(ACTION_UNITS))
def test_a_unit_moves_both_halves_alike(unit: int) -> None:
    anchors = ACTION_UNITS[unit]
    assert all(0 <= anchor.landmark < LANDMARK_COUNT for anchor in anchors)
    assert any(anchor.right or anchor.down for anchor in anchors)
    for anchor in anchors:
        across, down = at(anchor)
        if abs(across) < 0.08 and anchor.right == 0:
            continue
        twins = [
            other
            for other in anchors
            if other is not anchor
            and (other.right, other.down) == (-anchor.right, anchor.down)
            and np.hypot(at(other)[0] + across, at(other)[1] - down) < 0.12
        ]
        assert twins, f"{anchor} moves one half of the face only"


@pytest.mark.parametrize(
    ("unit", "landmark", "right", "down"),
    [  # landmark, and the sign of its movement, as FACS describes it
        (1, 55, 0, -1),
        (2, 300, 0, -1),
        (4, 55, 1, 1),
        (4, 285, -1, 1),
        (5, 159, 0, -1),
        (12, 61, -1, -1),
        (12, 291, 1, -1),
        (14, 61, -1, 0),
        (15, 291, 1, 1),
        (17, 199, 0, -1),
        (20, 61, -1, 1),
        (24, 0, 0, 1),
        (24, 17, 0, -1),
        (26, 152, 0, 1),
    ],
)
def test_a_unit_moves_where_facs_says(unit: int, landmark: int, right: int, down: int) -> None:
    (anchor,) = [a for a in ACTION_UNITS[unit] if a.landmark == landmark]
    assert (np.sign(anchor.right), np.sign(anchor.down)) == (right, down)
