"""Two results beside each other, measured before or in turns; one result as a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tsfmicro.benchmarks.alternate import Arm, alternate
from tsfmicro.benchmarks.compare import Difference, compare
from tsfmicro.benchmarks.figures import read_result
from tsfmicro.benchmarks.objectives import parse_objective, require_met
from tsfmicro.benchmarks.outcome import Slo
from tsfmicro.benchmarks.provenance import write_record
from tsfmicro.errors import UsageError

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
    """Add the options of the command itself, and ``alternate``."""
    app.callback(
        invoke_without_command=True,
        epilog="Examples:\n\n    tsf-bench event --json results.json\n\n    tsf-bench --compare before.json after.json"
        "\n\n    tsf-bench --compare before.json after.json --slo 'higher<=0'",
    )(read)
    app.command(
        "alternate",
        epilog="Examples:\n\n    tsf-bench alternate ../main . --out runs/turns -- stages demo: --rounds 2\n\n"
        "    tsf-bench alternate . . --slowed 20 --out runs/slowed -- stages demo: --rounds 2",
    )(in_turns)


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
    slo: Slo = None,
) -> None:
    """Measure, and keep the record."""
    objectives = [parse_objective(text) for text in slo or []]
    if objectives and two is None:
        raise UsageError("--slo without a scenario needs --compare; after a scenario it holds that scenario's result")
    if markdown is not None:
        typer.echo(as_markdown(read_result(markdown)))
    if two is not None:
        counts = _show(*(read_result(path) for path in two))
        require_met(objectives, [counts])
    if context.invoked_subcommand is None and two is None and markdown is None:
        typer.echo(context.get_help())


def in_turns(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="A checkout.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Another, or the same.")],
    words: Annotated[list[str], typer.Argument(metavar="-- SCENARIO...", help="What to run, with its options.")],
    out: Annotated[Path, typer.Option(help="Folder for before.json and after.json.")],
    turns: Annotated[int, typer.Option(help="Of each; fewer than six show nothing.", min=1)] = 10,
    slowed: Annotated[
        float, typer.Option(help="Slow every frame of AFTER by so many percent, to see whether it is found.", min=0)
    ] = 0.0,
    slo: Slo = None,
) -> None:
    """Compare two checkouts on a machine that drifts: in turns, a process each time."""
    objectives = [parse_objective(text) for text in slo or []]
    arms = (Arm("before", before), Arm("after", after, slowed))
    console = Console(stderr=True)
    records = alternate(arms, words, turns, tell=lambda turn: console.print(f"turn {turn + 1} of {turns}"))
    for arm, record in zip(arms, records, strict=True):
        write_record(out / f"{arm.name}.json", record)
    require_met(objectives, [_show(*records)])


def _show(before: dict[str, Any], after: dict[str, Any]) -> dict[str, int]:
    """Print what changed; how many figures did, for objectives."""
    differences = compare(before, after)
    Console().print(_table(differences))
    stderr = Console(stderr=True)
    stderr.print(note(differences), soft_wrap=True)
    unlike = circumstances(before["provenance"], after["provenance"])
    if unlike:
        stderr.print(f"they were measured with a different {', '.join(unlike)}", soft_wrap=True)
    verdicts = [one.verdict for one in differences]
    higher, lower = verdicts.count("higher"), verdicts.count("lower")
    return {"changed": higher + lower, "higher": higher, "lower": lower}


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
    columns = ("row", "figure", "before", "after", "after / before", "95 %", "p", "values", "verdict")
    table = Table(*columns, title_justify="left")
    for one in differences:
        interval = f"{one.interval[0]:.3f} to {one.interval[1]:.3f}"
        numbers = (f"{one.before:.4g}", f"{one.after:.4g}", f"{one.ratio:.3f}", interval, f"{one.p:.3g}")
        table.add_row(one.row, one.figure, *numbers, str(one.values), one.verdict)
    return table


def note(differences: list[Difference]) -> str:
    """What a comparison found, in words."""
    changed = [one for one in differences if one.changed]
    found = f"{len(changed)} of {len(differences)} figures changed" if changed else "the two are not distinguishable"
    allowed = ", ".join(f"{100 * share:g} %" for share in sorted({one.allowance for one in differences}))
    return (
        f"{found} (rank tests, 5 % for all of them together; two runs of the same code may differ by {allowed}). Runs "
        f"one after the other share what the machine was doing then: believe tsf-bench alternate before them."
    )
