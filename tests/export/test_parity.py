"""Comparing logits, and the pictures made for it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tsfmicro.errors import ContractError
from tsfmicro.export.parity import compare, probe_pairs


def test_equal_logits_agree() -> None:
    logits = np.array([[1.0, 2.0, -1.0], [0.0, 0.5, 3.0]], np.float32)
    parity = compare(logits, logits.copy())
    assert (parity.max_abs, parity.max_rel_logits, parity.label_flips, parity.pairs) == (0.0, 0.0, 0, 2)
    assert parity.passed(0.0)


def test_differences_are_of_probabilities() -> None:
    reference = np.array([[0.0, 0.0], [0.0, 0.0]], np.float32)
    candidate = np.array([[0.0, math.log(3.0)], [0.0, 0.0]], np.float32)
    parity = compare(reference, candidate)
    assert parity.max_abs == pytest.approx(0.25)
    assert parity.mean_abs == pytest.approx(0.125)
    assert parity.label_flips == 1
    assert parity.passed(0.26)
    assert not parity.passed(0.24)


def test_relative_to_the_largest_logit() -> None:
    parity = compare(np.array([[4.0, 0.0]], np.float32), np.array([[4.0, 0.2]], np.float32))
    assert parity.max_rel_logits == pytest.approx(0.05)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_never_passes(value: float) -> None:
    parity = compare(np.zeros((2, 3), np.float32), np.array([[0, 0, 0], [0, value, 0]], np.float32))
    assert parity.nan == 1
    assert not parity.passed(math.inf)


@pytest.mark.parametrize(
    ("reference", "candidate"), [((2, 3), (2, 4)), ((2, 3), (1, 3)), ((3,), (3,)), ((0, 3), (0, 3))]
)
def test_shapes_are_checked(reference: tuple[int, ...], candidate: tuple[int, ...]) -> None:
    with pytest.raises(ContractError):
        compare(np.zeros(reference, np.float32), np.zeros(candidate, np.float32))


def test_a_broken_reference_is_refused() -> None:
    with pytest.raises(ContractError):
        compare(np.full((1, 2), np.nan, np.float32), np.zeros((1, 2), np.float32))


def test_probe_pairs_move_a_little_or_not_at_all() -> None:
    onset, apex = probe_pairs(8, seed=0)
    assert onset.shape == apex.shape == (8, 224, 224, 3)
    assert onset.dtype == apex.dtype == np.uint8
    moved = [bool((a != b).any()) for a, b in zip(onset, apex, strict=True)]
    assert moved == [True, True, True, False, True, True, True, False]
    gaps = np.abs(apex.astype(int) - onset).mean(axis=(1, 2, 3))
    assert gaps.max() < 20.0
    contrast = onset.std(axis=(1, 2, 3))
    assert contrast.max() > 2 * contrast.min() > 0


def test_probe_pairs_repeat_with_the_seed() -> None:
    first, again, other = probe_pairs(2, seed=3), probe_pairs(2, seed=3), probe_pairs(2, seed=4)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_no_pairs_are_refused() -> None:
    with pytest.raises(ContractError):
        probe_pairs(0, seed=0)
