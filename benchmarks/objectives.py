"""Objectives a run is held to: ``f1>=0.98``, ``median_ms_per_frame<=33``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tsfmicro.errors import ObjectiveError, UsageError

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(r"\s*([A-Za-z][\w.]*)\s*(<=|>=|<|>)\s*([-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)\s*")


@dataclass(frozen=True, slots=True)
class Objective:
    """A limit on one figure of a result."""

    figure: str
    """Name of the figure in a row; ``stages.spot.p99_ms`` reaches into nested ones."""
    sign: str
    limit: float

    def met_by(self, value: float) -> bool:
        """Whether this value is within the limit."""
        return _COMPARE[self.sign](value, self.limit)

    def __str__(self) -> str:
        return f"{self.figure}{self.sign}{self.limit:g}"


def parse_objective(text: str) -> Objective:
    """Read an objective as typed.

    Raises:
        UsageError: it is not NAME, one of <= >= < >, and a number.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise UsageError(f"the objective {text!r} cannot be read; expected a figure and a limit, as in 'f1>=0.98'")
    return Objective(form[1], form[2], float(form[3]))


def require_met(objectives: Sequence[Objective], rows: Sequence[Mapping[str, Any]]) -> None:
    """Hold every row that has the figure to every objective.

    A figure that could not be measured (null) is a miss: nothing shows that the objective was met. ``p99_frame_ms`` and
    the like are other names of ``p99_ms``, where a row has no figure of that name.

    Raises:
        UsageError: no row has a figure of that name.
        ObjectiveError: at least one was missed; the message names all of them with what was measured.
    """
    missed: list[str] = []
    figures = [dict(_figures(row)) for row in rows]
    for objective in objectives:
        wanted = (objective.figure, objective.figure.replace("_frame_ms", "_ms"))
        values = [row[name] for row in figures if (name := next((n for n in wanted if n in row), None)) is not None]
        if not values:
            known = sorted({name for row in figures for name in row})
            raise UsageError(f"no figure is called {objective.figure}; this result has {', '.join(known)}")
        failing = [value for value in values if value is None or not objective.met_by(value)]
        if failing:
            measured = ", ".join("nothing" if value is None else f"{value:g}" for value in failing)
            missed.append(f"{objective} (measured {measured})")
    if missed:
        raise ObjectiveError(f"objective missed: {'; '.join(missed)}")


def _figures(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | None]]:
    """Every number of a row under its dotted name; null counts as a number that is missing."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _figures(value, f"{prefix}{name}.")
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            yield f"{prefix}{name}", value
