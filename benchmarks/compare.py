"""Two results of one scenario, figure by figure: did anything change, or does it only look so?

A figure can be compared where its result holds it several times over (``samples`` of a row). How sure that is depends
on how the two were measured:

- in turns (``tsf-bench alternate``): the values of one turn are a pair, each of a process of its own;
- one after the other, each value of the same stretch of media (``block_s`` of a row): such values are pairs, too, but
  share what the machine was doing in that run;
- one after the other, in rounds: no pairs.

Values that follow their neighbours are averaged two by two until they do not (batch means; Law and Carson, 1979,
doi:10.1287/opre.27.5.1011), since a test takes them as independent. Pairs are then tested by signed ranks, rounds by
ranks. With many figures some always differ by chance, so the tests are held to a common level (Holm, 1979). And what a
run shares with itself no test of it can see: a figure only counts as changed where the whole interval of its ratio lies
beyond what two runs of the same code differ by (``_ALLOWANCES``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu, wilcoxon  # type: ignore[import-untyped, unused-ignore]

from tsfmicro.errors import UsageError
from tsfmicro.values import Float64Array

_LEVEL = 0.05
_MIN_ROUNDS = 4
"""Fewer on either side cannot reach the level whatever they show."""
_MIN_PAIRS = 6
"""The same of pairs."""
_CORRELATED = 0.2
"""Of neighbours: above it the tests would find too much. (Of 400 series of 96 whose neighbours correlate by one half,
30 in a hundred had ``p < 0.05`` without averaging, 7 with it.)"""
_DRAWS = 2000
_ALLOWANCES = {"in turns": 0.02, "ratio": 0.05, "apart": 0.10}
"""Share by which two runs of the same code may differ: measured in turns; as a ratio to something that ran beside it in
the same process; as a time of its own, with whatever else the machine was doing then."""

NAMING = (
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
    "duration_s",
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
    """Of the test, before it is held to the common level."""
    values: int
    """Pairs, or rounds of the side with fewer, that the test was left with."""
    allowance: float
    """Share by which two runs of the same code may differ."""
    verdict: str
    """``lower``, ``higher``, ``within drift``, ``no difference found`` or ``too few rounds``."""

    @property
    def changed(self) -> bool:
        """Whether the figure is another one than before."""
        return self.verdict in ("lower", "higher")


@dataclass(frozen=True, slots=True, eq=False)
class _Sides:
    """Logarithms of one figure on both sides, fit for a test."""

    row: str
    figure: str
    before: Float64Array
    after: Float64Array
    medians: tuple[float, float]
    paired: bool
    allowance: float


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
    in_turns = "turns" in before["settings"]
    others = {row_name(row): row for row in after["rows"]}
    found = [
        _sides(row, others[row_name(row)], figure, in_turns)
        for row in before["rows"]
        if row_name(row) in others
        for figure in samples_of(row)
        if figure in samples_of(others[row_name(row)])
    ]
    if not found:
        raise UsageError(f"no row of these {before['scenario']} results holds a figure measured several times")
    tests = [_p(sides) for sides in found]
    told = _holm(tests)
    return [_difference(sides, p, stands) for sides, p, stands in zip(found, tests, told, strict=True)]


def _sides(before: Mapping[str, Any], after: Mapping[str, Any], figure: str, in_turns: bool) -> _Sides:
    """The values of both rows; pairs of which one side is blank are left out."""
    a, b = (np.array(samples_of(row)[figure], dtype=np.float64) for row in (before, after))
    blocks = before.get("block_s")
    paired = len(a) == len(b) and (in_turns or (blocks is not None and blocks == after.get("block_s")))
    allowance = _ALLOWANCES["in turns" if in_turns else "ratio" if "ratio" in figure else "apart"]
    if paired:
        there = np.isfinite(a) & np.isfinite(b)
        a, b = a[there], b[there]
        difference = _independent(np.log(b) - np.log(a))
        log_a, log_b = np.zeros(len(difference)), difference
    else:
        a, b = a[np.isfinite(a)], b[np.isfinite(b)]
        log_a, log_b = _independent(np.log(a)), _independent(np.log(b))
    medians = tuple(float(np.median(side)) if len(side) else math.nan for side in (a, b))
    return _Sides(row_name(before), figure, log_a, log_b, (medians[0], medians[1]), paired, allowance)


def _independent(values: Float64Array) -> Float64Array:
    """Averaged two by two until neighbours are not correlated any more; the last one of an odd number is left out."""
    while len(values) >= 2 * _MIN_PAIRS and _correlation(values) > _CORRELATED:
        even = values[: len(values) // 2 * 2]
        values = (even[::2] + even[1::2]) / 2
    return values


def _correlation(values: Float64Array) -> float:
    """Of neighbours."""
    centred = values - values.mean()
    energy = float(centred @ centred)
    return float(centred[1:] @ centred[:-1]) / energy if energy > 0 else 0.0


def _difference(sides: _Sides, p: float, stands: bool) -> Difference:
    values = min(len(sides.before), len(sides.after))
    ratio, low, high = _ratio(sides)
    limit = 1 + sides.allowance
    if values < (_MIN_PAIRS if sides.paired else _MIN_ROUNDS):
        verdict = "too few rounds"
    elif not stands:
        verdict = "no difference found"
    elif low > limit or high < 1 / limit:
        verdict = "higher" if ratio > 1 else "lower"
    else:
        verdict = "within drift"
    before, after = sides.medians
    return Difference(sides.row, sides.figure, before, after, ratio, (low, high), p, values, sides.allowance, verdict)


def _ratio(sides: _Sides) -> tuple[float, float, float]:
    """Ratio of medians, or median of the ratios of pairs, with 95 % by bootstrap."""
    a, b = sides.before, sides.after
    if not len(a) or not len(b):
        return math.nan, math.nan, math.nan
    rng = np.random.default_rng(0)
    draws = np.median(rng.choice(b, (_DRAWS, len(b))), axis=1)
    if not sides.paired:
        draws = draws - np.median(rng.choice(a, (_DRAWS, len(a))), axis=1)
    low, high = np.exp(np.percentile(draws, (2.5, 97.5)))
    return math.exp(float(np.median(b) - np.median(a))), float(low), float(high)


def _p(sides: _Sides) -> float:
    if min(len(sides.before), len(sides.after)) < 2:
        return 1.0
    if not sides.paired:
        return float(mannwhitneyu(sides.before, sides.after, alternative="two-sided").pvalue)
    return float(wilcoxon(sides.after).pvalue) if sides.after.any() else 1.0


def _holm(tests: Sequence[float]) -> list[bool]:
    """Which of them stand at the common level: the smallest is held to level / n, the next to level / (n - 1), ..."""
    told = [False] * len(tests)
    for rank, place in enumerate(sorted(range(len(tests)), key=lambda i: tests[i])):
        if tests[place] > _LEVEL / (len(tests) - rank):
            break
        told[place] = True
    return told


def samples_of(row: Mapping[str, Any]) -> Mapping[str, Sequence[float | None]]:
    """Figures that a row holds several times, where all are positive; ``soak`` calls its number of looks the same."""
    samples = row.get("samples")
    if not isinstance(samples, Mapping):
        return {}
    return {figure: values for figure, values in samples.items() if all(one is None or one > 0 for one in values)}


def row_name(row: Mapping[str, Any]) -> str:
    """What a row is about: its words, and the numbers that were set and not measured."""
    told = [key for key in NAMING if key in row]
    return " ".join(f"{key}={row[key]}" if key != "what" else str(row[key]) for key in told)
