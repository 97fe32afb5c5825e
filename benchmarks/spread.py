"""Percentiles that say how sure they are, and are left blank where too little was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student  # type: ignore[import-untyped, unused-ignore]

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
_MIN_BEYOND = 10
"""Values that must lie beyond a percentile before it is told."""
_Z_95 = 1.96
_BLOCKS = 24
HISTOGRAM_GROWTH = 1.25
"""Upper edge of a bucket over its lower one."""


def percentiles(values: Sequence[float], unit: str) -> dict[str, Any]:
    """``n``, ``max_UNIT``, and every percentile with its 95 % interval ``[low, high]``, or None.

    The interval is that of the order statistics: the ranks n p ± 1.96 sqrt(n p (1 - p)), as the number of values below
    a percentile is binomial (for values independent of each other).
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    result: dict[str, Any] = {"n": len(ordered)}
    for percent in PERCENTILES:
        name, share = f"p{percent:g}_{unit}".replace(".", "_"), percent / 100
        if len(ordered) * (1 - share) < _MIN_BEYOND - 1e-6:
            result[name], result[f"{name}_interval"] = None, None
            continue
        result[name] = _at(ordered, len(ordered) * share)
        spread = _Z_95 * math.sqrt(len(ordered) * share * (1 - share))
        low, high = (len(ordered) * share + sign * spread for sign in (-1, 1))
        result[f"{name}_interval"] = [_at(ordered, low), _at(ordered, high)]
    result[f"max_{unit}"] = _rounded(ordered[-1]) if len(ordered) else None
    return result


def histogram(values: Sequence[float]) -> list[list[float]]:
    """[upper edge, count] of buckets that grow by a quarter, from the first to the last that holds anything."""
    positive = [max(value, 1e-3) for value in values]
    places = [math.ceil(math.log(value, HISTOGRAM_GROWTH)) for value in positive]
    if not places:
        return []
    counts = np.bincount(np.array(places) - min(places))
    return [[_rounded(HISTOGRAM_GROWTH ** (min(places) + i)), int(count)] for i, count in enumerate(counts)]


def slope(times: Sequence[float], values: Sequence[float]) -> tuple[float, float, float]:
    """Least-squares slope, and its 95 % interval: low and high.

    Neighbouring values of memory and the like follow each other, which would make a slope look surer than it is. So
    the values count only as many as are independent, by their residuals' correlation at lag one: n (1 - r) / (1 + r)
    (Santer et al., 2000, doi:10.1029/1999JD901105, equations 4 to 6).
    """
    if len(times) < 4:
        return 0.0, -math.inf, math.inf
    line = _fit(np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64))
    return _interval(line, line.correlation)


def slope_of_blocks(times: Sequence[float], values: Sequence[float]) -> tuple[float, float, float]:
    """The same of a long record, by the means of 24 blocks of it in order (batch means).

    The correlation at lag one sees only what is fastest: of memory that flickers within seconds and drifts within
    minutes it sees the flicker, and the interval comes out several times too narrow. Means of blocks leave the drift.
    Residuals of a fitted line are less correlated than the noise is, by about (2 + 4 r) / n to first order; with few
    blocks that matters, and is put back. The tests hold the share of wrong intervals, by simulation.
    """
    if len(times) < 2 * _BLOCKS:
        return slope(times, values)
    parts = [np.asarray(series, dtype=np.float64) for series in (times, values)]
    t, v = (np.array([block.mean() for block in np.array_split(part, _BLOCKS)]) for part in parts)
    line = _fit(t, v)
    return _interval(line, (_BLOCKS * line.correlation + 2) / (_BLOCKS - 4))


@dataclass(frozen=True, slots=True)
class _Line:
    """A least-squares line."""

    gradient: float
    count: int
    spread: float
    """Sum of squares of the times around their mean."""
    energy: float
    """Sum of squares of the residuals."""
    correlation: float
    """Of neighbouring residuals."""


def _fit(t: np.ndarray[Any, np.dtype[np.float64]], v: np.ndarray[Any, np.dtype[np.float64]]) -> _Line:
    centred = t - t.mean()
    spread = float(centred @ centred)
    gradient = float(centred @ (v - v.mean())) / spread
    residuals = v - v.mean() - gradient * centred
    energy = float(residuals @ residuals)
    return _Line(
        gradient, len(t), spread, energy, float(residuals[1:] @ residuals[:-1]) / energy if energy > 0 else 0.0
    )


def _interval(line: _Line, correlation: float) -> tuple[float, float, float]:
    correlation = min(max(correlation, 0.0), 0.99)
    independent = max(line.count * (1 - correlation) / (1 + correlation), 3.0)
    error = math.sqrt(line.energy / (independent - 2) / line.spread) * float(student.ppf(0.975, independent - 2))
    return line.gradient, line.gradient - error, line.gradient + error


def _at(ordered: np.ndarray[Any, np.dtype[np.float64]], rank: float) -> float:
    """Nearest rank, 1 to n."""
    return _rounded(float(ordered[min(max(math.ceil(rank - 1e-6), 1), len(ordered)) - 1]))


def _rounded(value: float) -> float:
    return round(float(value), 3)
