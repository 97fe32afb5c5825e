"""Percentiles that say how sure they are, and are left blank where too little was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student  # type: ignore[import-untyped, unused-ignore]

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
_MIN_BEYOND = 10
"""Values that must lie beyond a percentile before it is told."""
_Z_95 = 1.96
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
    t, v = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    centred = t - t.mean()
    spread = float(centred @ centred)
    gradient = float(centred @ (v - v.mean())) / spread
    residuals = v - v.mean() - gradient * centred
    energy = float(residuals @ residuals)
    correlation = float(residuals[1:] @ residuals[:-1]) / energy if energy > 0 else 0.0
    correlation = min(max(correlation, 0.0), 0.99)
    independent = max(len(t) * (1 - correlation) / (1 + correlation), 3.0)
    error = math.sqrt(energy / (independent - 2) / spread) * float(student.ppf(0.975, independent - 2))
    return gradient, gradient - error, gradient + error


def _at(ordered: np.ndarray[Any, np.dtype[np.float64]], rank: float) -> float:
    """Nearest rank, 1 to n."""
    return _rounded(float(ordered[min(max(math.ceil(rank - 1e-6), 1), len(ordered)) - 1]))


def _rounded(value: float) -> float:
    return round(float(value), 3)
