"""Two checkouts beside each other: one scenario in turns, each time in a new process.

A machine drifts: other work comes and goes, clocks change. Two runs one after the other differ by that, whatever the
code. In turns both sides get the same of it, a new process each time has its own luck with memory and cores, and what
is compared are pairs of neighbours in time (see ``compare``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tsfmicro.benchmarks.compare import NAMING, row_name, samples_of
from tsfmicro.errors import TsfError, UsageError

Record = dict[str, Any]

_START = "import sys; {plant}from tsfmicro.cli import bench; sys.argv[0] = 'tsf-bench'; bench()"
_PLANT = "from tsfmicro.benchmarks.slowed import slow_down; slow_down({percent}); "


class TurnError(TsfError):
    """A process did not come to its end."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One side."""

    name: str
    checkout: Path
    slowed_percent: float = 0.0
    """A slowdown that is planted, to see whether it is found."""

    def __post_init__(self) -> None:
        if not (self.checkout / "tsfmicro" / "__init__.py").is_file():
            raise UsageError(f"{self.checkout} is no checkout; expected a folder with tsfmicro/ in it")


Measure = Callable[[Arm, Sequence[str]], Record]


def measure(arm: Arm, words: Sequence[str]) -> Record:
    """Run a scenario of a checkout in a process of its own.

    Raises:
        TurnError: it ended with another code than 0.
    """
    plant = _PLANT.format(percent=arm.slowed_percent) if arm.slowed_percent else ""
    environment = {**os.environ, "PYTHONPATH": str(arm.checkout.resolve())}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "turn.json"
        line = [sys.executable, "-c", _START.format(plant=plant), *words, "--json", str(path)]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        if done.returncode or not path.is_file():
            told = done.stderr.strip().splitlines() or ["it says nothing"]
            raise TurnError(f"{' '.join(words)} in {arm.name} ended with {done.returncode}: {told[-1][-300:]}")
        record: Record = json.loads(path.read_text(encoding="utf-8"))
    return record


def alternate(
    arms: tuple[Arm, Arm],
    words: Sequence[str],
    turns: int,
    run: Measure = measure,
    tell: Callable[[int], None] = lambda turn: None,
) -> tuple[Record, Record]:
    """Run a scenario in turns: before, after, after, before, before, ...

    Args:
        arms: the two sides.
        words: scenario and its options.
        turns: of each.
        run: :func:`measure`.
        tell: given the number of every turn that is over.

    Returns:
        A result for each, whose samples are the medians of the turns, in order.

    Raises:
        TurnError: a process failed.
        UsageError: a row of one turn is missing in another, or nothing can be compared.
    """
    found: dict[str, list[Record]] = {arm.name: [] for arm in arms}
    for turn in range(turns):
        for arm in arms if turn % 2 == 0 else arms[::-1]:
            found[arm.name].append(run(arm, words))
        tell(turn)
    return _joined(arms[0], found[arms[0].name]), _joined(arms[1], found[arms[1].name])


def _joined(arm: Arm, records: list[Record]) -> Record:
    first = records[0]
    by_name = [{row_name(row): row for row in record["rows"]} for record in records]
    rows = []
    for name, row in by_name[0].items():
        if not all(name in others for others in by_name):
            raise UsageError(f"a turn lacks the row {name!r} of another; compare what runs the same each time")
        told = {key: row[key] for key in NAMING if key in row}
        samples = {figure: [_middle(others[name], figure) for others in by_name] for figure in samples_of(row)}
        if samples:
            rows.append({**told, "samples": samples})
    made = {
        **first["provenance"],
        "arm": arm.name,
        "slowed_percent": arm.slowed_percent,
        "load_average_1min": round(median(record["provenance"]["load_average_1min"] or 0.0 for record in records), 2),
    }
    return {**first, "settings": {**first["settings"], "turns": len(records)}, "provenance": made, "rows": rows}


def _middle(row: dict[str, Any], figure: str) -> float | None:
    values = [value for value in samples_of(row).get(figure, []) if value is not None]
    return round(median(values), 5) if values else None
