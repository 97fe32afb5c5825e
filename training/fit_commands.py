"""``tsf-train fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from tsfmicro.bundle import read_bundle
from tsfmicro.errors import UsageError
from tsfmicro.training.crops.cache import CropCache, open_cache
from tsfmicro.training.loso.compiled import require_compiler
from tsfmicro.training.loso.deploy import deploy, read_run, require_deployable
from tsfmicro.training.loso.networks import device_of, model_config, network_maker, pretraining_note, require_views
from tsfmicro.training.loso.run import Plan
from tsfmicro.training.loso.samples import load_samples
from tsfmicro.training.loso.spec import LosoSpec


def attach(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example:\n\n    tsf-train fit runs/casme2 --out casme2.tsf\n\nThen: tsf-export casme2.tsf")(fit)


def fit(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished honest tsf-train loso.")],
    out: Annotated[Path, typer.Option(help="Bundle to write (NAME.tsf).")],
    cache: Annotated[Path | None, typer.Option(help="Crops of the run, where they are not in its folder.")] = None,
    init: Annotated[Path | None, typer.Option(help="Bundle the run was fine-tuned from.")] = None,
    licence: Annotated[
        str, typer.Option(help="Of the weights, for the manifest.")
    ] = "bound by the agreement of the data set; ask its owners before passing the weights on",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the network.")] = 1,
) -> None:
    """Train on everybody, calibrate on the run's out-of-fold predictions, and write the bundle to deploy."""
    torch.set_num_threads(threads)
    target = device_of(device)
    result = read_run(run)
    require_deployable(run, result)
    crops = open_cache(cache or run / "crops", writable=False)
    start = None if init is None else read_bundle(init)
    plan = _plan(run, result, crops, pretraining_note(start))
    require_compiler(plan.spec, target)
    samples = load_samples(crops)
    config = model_config(plan.spec, len(samples.classes))
    require_views(config, crops.index)
    words = ["tsf-train", "fit", run.name, "--out", out.name, *(["--init", start.path.name] if start else [])]
    done = deploy(
        run,
        plan,
        samples,
        network_maker(config, samples.classes, start),
        out,
        name=out.name.removesuffix(".tsf"),
        licence=licence,
        command=" ".join(words),
        device=target,
    )
    typer.echo(
        f"wrote {out}: {done.epochs} epochs on {len(samples)} clips, calibration error "
        f"{done.calibration_error:.3f} out of fold; next: tsf-export {out}"
    )


def _plan(run: Path, result: dict[str, Any], crops: CropCache, note: dict[str, Any] | None) -> Plan:
    """The plan of a run, with the crops and initial weights it was made with and no others."""
    if result["crops_digest"] != crops.index.digest:
        raise UsageError(f"{crops.folder} is not the crops {run} was made with; name them with --cache")
    if result["pretraining"] != note:
        had = result["pretraining"]
        hint = f"name {had['bundle']} with --init" if had else "leave --init out"
        raise UsageError(f"{run} began from other weights: {hint}")
    return Plan(LosoSpec.from_dict(result["spec"]), crops.index, note)
