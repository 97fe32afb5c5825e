"""How every scenario ends: shown, recorded, and only then held to its objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tsfmicro.benchmarks.objectives import Objective, require_met
from tsfmicro.benchmarks.provenance import write_result

Slo = Annotated[
    list[str] | None,
    typer.Option(
        "--slo", metavar="FIGURE<=LIMIT", help="Exit 8 if the result misses this, e.g. 'f1>=0.98'; repeatable."
    ),
]


def finish(
    path: Path | None,
    scenario: str,
    rows: Sequence[dict[str, Any]],
    settings: dict[str, Any],
    objectives: Sequence[Objective],
    inputs: Mapping[str, Any] | None = None,
) -> None:
    """Show, record, and only then hold the result to its objectives: a miss loses nothing.

    Args:
        inputs: see :func:`~tsfmicro.benchmarks.provenance.provenance`.
    """
    table = Table("what", "value", title=scenario, title_justify="left")
    for row in rows:
        for name, value in row.items():
            if not isinstance(value, dict):
                table.add_row(name, str(value))
        table.add_section()
    Console().print(table)
    if path is not None:
        write_result(path, scenario, rows, settings, inputs)
    require_met(objectives, rows)
