"""The ``tsf-doctor`` command."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tsfmicro.doctor.examine import all_checks, examine
from tsfmicro.doctor.findings import exit_code
from tsfmicro.doctor.report import print_table, to_json, to_lines

SHIPPED = Path(__file__).resolve().parents[1] / "bundles" / "demonstration.tsf"
"""As ``tsfmicro.bundle.default_bundle_path``, which needs numpy to be imported."""
_EPILOG = """
Examples:

    tsf-doctor

    tsf-doctor --model mine.tsf --out runs/

    tsf-doctor --json | jq -r '.[] | select(.status != "ok") | .fix'

Exit codes: 0 nothing failed (warnings are no failure), 5 a bundle failed and nothing else, 6 something else failed.
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog=_EPILOG)
def doctor(
    model: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Bundle to verify beside the one that ships; repeatable.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder that results will be written to.")] = Path(),
    as_json: Annotated[
        bool, typer.Option("--json", help='List of {"check", "status", "detail", "fix"} on standard output.')
    ] = False,
) -> None:
    """Say whether tsf-live will run here, what is missing, and the command that mends it.

    ok: in order, or optional and absent. warn: something that people use does not work, or is not what was tested.
    fail: tsf-live would not run, or not leave its results. Nothing is changed and nothing is downloaded.
    """
    console = Console(stderr=True, highlight=False)
    checks = all_checks(model or [], SHIPPED, out)
    with console.status("looking ...") as line:
        findings = list(examine(checks, lambda name: line.update(f"looking at {name} ...")))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the console may be what is wrong
    screen = Console(highlight=False)
    if as_json:
        typer.echo(to_json(findings))
    elif screen.is_terminal:
        print_table(screen, findings)
    else:
        for text in to_lines(findings):
            typer.echo(text)
    raise typer.Exit(exit_code(findings))
