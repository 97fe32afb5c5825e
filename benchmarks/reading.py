"""What can be done with results once they are there: put two beside each other, show one as a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tsfmicro.benchmarks.compare import Difference, compare
from tsfmicro.benchmarks.figures import read_result

_CIRCUMSTANCES = (
    "cpu",
    "cpus_usable",
    "cpu_limit",
    "cpu_governor",
    "memory_limit_mib",
    "kernel",
    "threads",
    "gpus",
    "python",
    "packages",
    "inputs",
)
"""Of a provenance: what changes a figure without a change of the code."""


def attach(app: typer.Typer) -> None:
    """Add the options of the command itself."""
    app.callback(
        invoke_without_command=True,
        epilog="Examples:\n\n    tsf-bench event --json results.json\n\n    tsf-bench --compare before.json after.json",
    )(read)


def read(
    context: typer.Context,
    two: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--compare", metavar="BEFORE AFTER", help="Two results of one scenario: what changed, if anything."
        ),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="RESULT", help="Print a result as a Markdown table.")
    ] = None,
) -> None:
    """Measure, and keep the record."""
    if two is not None:
        before, after = read_result(two[0]), read_result(two[1])
        differences = compare(before, after)
        Console().print(_table(differences))
        Console(stderr=True).print(_note(differences), soft_wrap=True)
        unlike = circumstances(before["provenance"], after["provenance"])
        if unlike:
            Console(stderr=True).print(f"they were measured with a different {', '.join(unlike)}", soft_wrap=True)
    if markdown is not None:
        typer.echo(as_markdown(read_result(markdown)))
    if context.invoked_subcommand is None and two is None and markdown is None:
        typer.echo(context.get_help())


def circumstances(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What of the circumstances differs between two provenances; what either does not tell is left out."""
    return [key for key in _CIRCUMSTANCES if key in before and key in after and before[key] != after[key]]


def as_markdown(record: dict[str, Any]) -> str:
    """A Markdown table of a result: a row for each of its rows, a column for each plain figure; blanks stay blank."""
    rows = [{key: value for key, value in row.items() if not isinstance(value, dict | list)} for row in record["rows"]]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| {' | '.join(_cell(row.get(column)) for column in columns)} |" for row in rows]
    made = record["provenance"]
    lines += ["", f"`tsf-bench {record['scenario']}`, {made['commit']}, {made['time_utc']}, {made['cpu']}."]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return "" if value is None else str(value).replace("|", "\\|")


def _table(differences: list[Difference]) -> Table:
    table = Table("row", "figure", "before", "after", "after / before", "95 %", "p", "verdict", title_justify="left")
    for one in differences:
        interval = f"{one.interval[0]:.3f} to {one.interval[1]:.3f}"
        numbers = (f"{one.before:.4g}", f"{one.after:.4g}", f"{one.ratio:.3f}", interval, f"{one.p:.3g}")
        table.add_row(one.row, one.figure, *numbers, one.verdict)
    return table


def _note(differences: list[Difference]) -> str:
    changed = [one for one in differences if one.verdict in ("lower", "higher")]
    found = f"{len(changed)} of {len(differences)} figures changed" if changed else "the two are not distinguishable"
    return (
        f"{found} (rank test, 5 % for all of them together). Rounds of one run share what the machine was doing then: "
        f"believe ratios taken side by side before milliseconds."
    )
