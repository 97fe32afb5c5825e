"""How much of a figure chance may be: few events in little footage say little."""

from __future__ import annotations

import math
from typing import Any

from scipy.stats import chi2  # type: ignore[import-untyped, unused-ignore]

from tsfmicro.intervals import Counts

_Z = 1.959964
"""Of the normal distribution: 95 % lie within so many standard deviations."""
_TAIL = 0.025


def per_minute(count: int, watched_s: float) -> dict[str, Any]:
    """``watched_s``, events a minute, and its exact 95 % Poisson interval (Garwood 1936); None without footage."""
    if watched_s <= 0:
        return {"watched_s": 0.0, "false_events_per_min": None, "false_events_per_min_interval": None}
    minutes = watched_s / 60
    low, high = poisson_interval(count)
    return {
        "watched_s": round(watched_s, 1),
        "false_events_per_min": round(count / minutes, 2),
        "false_events_per_min_interval": [round(low / minutes, 2), round(high / minutes, 2)],
    }


def poisson_interval(count: int) -> tuple[float, float]:
    """Means under which so many events or more, and so many or fewer, are seen in 2.5 % of all cases each."""
    low = float(chi2.ppf(_TAIL, 2 * count)) / 2 if count else 0.0
    return low, float(chi2.ppf(1 - _TAIL, 2 * count + 2)) / 2


def f1_interval(counts: Counts) -> list[float] | None:
    """95 % of F1; None where nothing was hidden or found.

    F1 = 2J / (1 + J), where J is the share of true positives among all that was hidden or found: so this is Wilson's
    interval (1927) of that share. It takes events for independent, which those of one person are not.
    """
    total = counts.tp + counts.fp + counts.fn
    if not total:
        return None
    share, weight = counts.tp / total, _Z**2 / total
    middle = (share + weight / 2) / (1 + weight)
    reach = _Z / (1 + weight) * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    low, high = max(middle - reach, 0.0), min(middle + reach, 1.0)
    return [round(2 * j / (1 + j), 4) for j in (low, high)]
