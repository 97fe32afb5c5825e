"""Making probabilities mean what they say: temperature, and the probability below which to say nothing."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from tsfmicro.errors import ContractError
from tsfmicro.values import AnyArray, Float64Array

_TEMPERATURES = (0.05, 20.0)


def fit_temperature(logits: Float64Array, truth: AnyArray) -> float:
    """Temperature that minimises the negative log-likelihood (Guo et al., 2017).

    Args:
        logits: (N, C), of people the network was not trained on.
        truth: (N,) class indices.

    Raises:
        ContractError: if there is nothing to fit.
    """
    if len(logits) == 0 or len(logits) != len(truth):
        raise ContractError(f"{len(logits)} logits and {len(truth)} labels cannot be calibrated")

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-scaled[np.arange(len(truth)), truth].mean())

    low, high = np.log(_TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def abstention_threshold(probabilities: Float64Array, truth: AnyArray, accuracy: float) -> float:
    """Smallest top probability above which the answers given reach an accuracy; 0 where all of them do.

    Where no threshold reaches it, the one with the best accuracy that still answers a tenth of the cases.

    Args:
        probabilities: (N, C), calibrated.
        truth: (N,) class indices.
        accuracy: wanted among the answers that are given.
    """
    if len(probabilities) == 0:
        raise ContractError("nothing to choose a threshold on; expected at least one case")
    top = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    if right.mean() >= accuracy:
        return 0.0
    order = np.argsort(-top, kind="stable")
    reached = right[order].cumsum() / np.arange(1, len(order) + 1)
    reached[: max(len(order) // 10, 1) - 1] = 0.0
    # Equal probabilities are answered together or not at all.
    ends_a_tie = np.append(top[order][1:] < top[order][:-1], True)
    reached[~ends_a_tie] = 0.0
    good = np.flatnonzero(reached >= accuracy)
    last = int(good[-1]) if good.size else int(reached.argmax())
    return float(top[order[last]])


def expected_calibration_error(probabilities: Float64Array, truth: AnyArray, bins: int = 10) -> float:
    """Mean gap between confidence and accuracy over equal-width bins, weighted by how full they are."""
    top = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    bin_of = np.minimum((top * bins).astype(int), bins - 1)
    gaps = [
        abs(right[bin_of == b].mean() - top[bin_of == b].mean()) * (bin_of == b).mean()
        for b in range(bins)
        if (bin_of == b).any()
    ]
    return float(sum(gaps))
