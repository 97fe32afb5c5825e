"""Two results of one scenario, figure by figure: did anything change, or does it only look so?

A figure can be compared where its result holds it several times over (``samples`` of a row). The two sides are then
ratios of medians with a bootstrap interval, and a rank test says whether chance alone would do. With many figures some
always differ by chance, so the tests are held to a common level (Holm, 1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu  # type: ignore[import-untyped, unused-ignore]

from tsfmicro.errors import UsageError

_LEVEL = 0.05
_MIN_ROUNDS = 4
"""Fewer on either side cannot reach the level whatever they show."""
_DRAWS = 2000

_NAMING = (
    "what",
    "axis",
    "clip",
    "backend",
    "model",
    "size",
    "fusion",
    "precision",
    "batch",
    "sources",
    "faces_shown",
    "picture",
    "fps",
    "paced",
)
"""Figures of a row that were set and not measured."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of one row on both sides."""

    row: str
    figure: str
    before: float
    after: float
    """Medians."""
    ratio: float
    """After over before."""
    interval: tuple[float, float]
    """95 % of the ratio, by bootstrap."""
    p: float
    """Of the rank test, before it is held to the common level."""
    verdict: str
    """``lower``, ``higher``, ``no difference found`` or ``too few rounds``."""


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Compare every figure that both results hold several times over.

    Args:
        before, after: records of schema ``tsf.bench/1``.

    Raises:
        UsageError: they are of different scenarios or settings, or hold nothing that can be compared.
    """
    for key in ("scenario", "settings"):
        if before[key] != after[key]:
            raise UsageError(f"the results differ in {key}: {before[key]} and {after[key]}; compare like with like")
    others = {_name(row): row for row in after["rows"]}
    pairs = [
        (
            f"{name}",
            figure,
            np.array(values, dtype=np.float64),
            np.array(_samples(others[name])[figure], dtype=np.float64),
        )
        for row in before["rows"]
        if (name := _name(row)) in others
        for figure, values in _samples(row).items()
        if figure in _samples(others[name])
    ]
    if not pairs:
        raise UsageError(f"no row of these {before['scenario']} results holds a figure measured several times")
    tests = [_p(a, b) for _, _, a, b in pairs]
    told = _holm(tests)
    return [
        _difference(row, figure, a, b, p, significant)
        for (row, figure, a, b), p, significant in zip(pairs, tests, told, strict=True)
    ]


def _difference(
    row: str, figure: str, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], p: float, significant: bool
) -> Difference:
    before, after = float(np.median(a)), float(np.median(b))
    rng = np.random.default_rng(0)
    draws = np.median(rng.choice(b, (_DRAWS, len(b))), axis=1) / np.median(rng.choice(a, (_DRAWS, len(a))), axis=1)
    low, high = np.percentile(draws, (2.5, 97.5))
    if min(len(a), len(b)) < _MIN_ROUNDS:
        verdict = "too few rounds"
    elif significant:
        verdict = "higher" if after > before else "lower"
    else:
        verdict = "no difference found"
    return Difference(row, figure, before, after, after / before, (float(low), float(high)), p, verdict)


def _p(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    return float(mannwhitneyu(a, b, alternative="two-sided").pvalue)


def _holm(tests: Sequence[float]) -> list[bool]:
    """Which of them stand at the common level: the smallest is held to level / n, the next to level / (n - 1), ..."""
    told = [False] * len(tests)
    for rank, place in enumerate(sorted(range(len(tests)), key=lambda i: tests[i])):
        if tests[place] > _LEVEL / (len(tests) - rank):
            break
        told[place] = True
    return told


def _samples(row: Mapping[str, Any]) -> Mapping[str, Sequence[float]]:
    """Figures that a row holds several times; ``soak`` calls the number of its looks by the same name."""
    samples = row.get("samples")
    return samples if isinstance(samples, Mapping) else {}


def _name(row: Mapping[str, Any]) -> str:
    """What a row is about: its words, and the numbers that were set and not measured."""
    told = [key for key in _NAMING if key in row]
    return " ".join(f"{key}={row[key]}" if key != "what" else str(row[key]) for key in told)
