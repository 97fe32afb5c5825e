"""``tsf-train report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tsfmicro.bundle import read_bundle
from tsfmicro.errors import UsageError
from tsfmicro.training.crops.cache import open_cache
from tsfmicro.training.loso.deploy import read_run
from tsfmicro.training.loso.samples import load_samples
from tsfmicro.training.report.write import write_report


def attach(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Examples:\n\n    tsf-train report runs/casme2\n\n    tsf-train report runs/casme2 --bundle casme2.tsf"
    )(report)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a tsf-train loso.")],
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle of tsf-train fit, for pooled features and Grad-CAM.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Crops of the run, where they are not in its folder.")] = None,
) -> None:
    """Write RUN/report.html: scores, controls, confusion matrices, people, curves, published figures."""
    result = read_run(run)
    crops = open_cache(cache or run / "crops", writable=False)
    if result["crops_digest"] != crops.index.digest:
        raise UsageError(f"{crops.folder} is not the crops {run} was made with; name them with --cache")
    path = write_report(run, load_samples(crops), None if bundle is None else read_bundle(bundle))
    typer.echo(f"wrote {path}")
