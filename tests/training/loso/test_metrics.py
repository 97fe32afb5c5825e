"""Pooled scores against hands, formulas and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, recall_score

from tsfmicro.errors import ContractError
from tsfmicro.labels import PROTOCOLS
from tsfmicro.training.loso.metrics import bootstrap, by_part, confusion, majority, scores
from tsfmicro.values import AnyArray


def test_a_case_by_hand() -> None:
    truth, predicted = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2]
    counts = confusion(truth, predicted, 3)
    assert counts.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    found = scores(counts)
    # F1: 2*2/(2*2+0+1), 2*1/(2*1+1+1), 2*1/(2*1+1+0); recall: 2/3, 1/2, 1
    assert found.acc == pytest.approx(4 / 6)
    assert found.uf1 == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert found.uar == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


@settings(deadline=None)  # no test measures time
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_scikit_learn_agrees(extra: list[tuple[int, int]]) -> None:
    truth = [*range(4), *(pair[0] for pair in extra)]
    predicted = [0, 0, 0, 0, *(pair[1] for pair in extra)]
    found = scores(confusion(truth, predicted, 4))
    assert found.acc == pytest.approx(accuracy_score(truth, predicted))
    assert found.uf1 == pytest.approx(f1_score(truth, predicted, average="macro", labels=range(4), zero_division=0))
    assert found.uar == pytest.approx(recall_score(truth, predicted, average="macro", labels=range(4)))


@pytest.mark.parametrize(
    ("protocol", "acc", "uf1", "uar"),
    [
        ("casme2_5c_tsf", 0.399, 0.114, 0.200), ("casme2_3c_tsf", 0.613, 0.253, 0.333),
        ("megc2019_casme2", 0.607, 0.252, 0.333), ("samm_5c_tsf", 0.419, 0.118, 0.200),
        ("samm_3c_tsf", 0.692, 0.273, 0.333), ("casme3a_7c_official", 0.291, 0.064, 0.143),
        ("casme3a_4c_official", 0.531, 0.174, 0.250), ("megc2019_full", 0.566, 0.241, 0.333),
        ("megc2019_smic", 0.427, 0.199, 0.333),
    ],
)  # fmt: skip
def test_majority_scores_of_the_published_counts(protocol: str, acc: float, uf1: float, uar: float) -> None:
    """Against the majority column of the protocol table, which was computed from the sheets themselves."""
    counts = PROTOCOLS[protocol].expected_counts
    truth = [index for index, number in enumerate(counts.values()) for _ in range(number)]
    subjects = [str(index % 26) for index in range(len(truth))]
    found = scores(confusion(truth, majority(truth, subjects), len(counts)))
    assert (found.acc, found.uf1, found.uar) == pytest.approx((acc, uf1, uar), abs=6e-4)


def test_the_majority_of_a_fold_ignores_its_own_subject() -> None:
    assert majority([0, 0, 0, 1, 1], ["a", "a", "a", "b", "c"]) == [1, 1, 1, 0, 0]


def test_a_class_without_samples_is_an_error_not_a_skip() -> None:
    with pytest.raises(ContractError, match="no sample of fear"):
        scores(confusion([0, 0], [0, 1], 2), ("anger", "fear"))


def test_mismatches_are_refused() -> None:
    with pytest.raises(ContractError, match="2 truths and 1 predictions"):
        confusion([0, 1], [0], 2)
    with pytest.raises(ContractError, match="expected 0 to 1"):
        confusion([0, 2], [0, 1], 2)


def test_intervals_hold_the_score_and_widen_with_the_cluster() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 240)
    # Right or wrong by person, so that clips of one person agree with one another.
    right = np.repeat(rng.random(24) < 0.6, 10)
    predicted = np.where(right, truth, (truth + 1) % 3)

    def matrices(groups: AnyArray) -> dict[str, list[AnyArray]]:
        return {str(g): [confusion(truth[groups == g], predicted[groups == g], 3)] for g in np.unique(groups)}

    people = bootstrap(matrices(np.repeat(np.arange(24), 10)))
    clips = bootstrap(matrices(np.arange(240)))
    found = scores(confusion(truth, predicted, 3)).to_dict()
    assert people is not None and clips is not None
    for name, value in found.items():
        assert people[name].low < value < people[name].high
        assert people[name].high - people[name].low > 1.5 * (clips[name].high - clips[name].low)
    assert bootstrap(matrices(np.repeat(np.arange(24), 10))) == people


def test_no_interval_where_draws_nearly_always_lack_a_class() -> None:
    one = {str(i): [confusion([i], [i], 8)] for i in range(8)}
    assert bootstrap(one, draws=200) is None


def test_parts_come_from_the_same_predictions() -> None:
    found = by_part([0, 1, 0, 1, 0], [0, 1, 1, 1, 0], ["a", "a", "b", "b", "c"], 2)
    assert found == {
        "a": {"acc": 1.0, "uf1": 1.0, "uar": 1.0},
        "b": {"acc": 0.5, "uf1": 0.3333, "uar": 0.5},
        "c": None,
    }
