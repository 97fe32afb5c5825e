"""``tsf-train loso`` and ``cross``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tsfmicro.bundle import read_bundle
from tsfmicro.errors import TsfError
from tsfmicro.labels import protocol as protocol_of
from tsfmicro.training.crop_commands import FacesOption, RangeOption, WorkersOption, prepared
from tsfmicro.training.crops.cache import open_cache
from tsfmicro.training.crops.neighbours import RANGE
from tsfmicro.training.dataset_commands import (
    DatasetOption,
    ExcludeOption,
    LayoutOption,
    ProtocolOption,
    RootOption,
)
from tsfmicro.training.loso.compiled import require_compiler
from tsfmicro.training.loso.cross import cross_plan, run_cross
from tsfmicro.training.loso.networks import (
    device_of,
    model_config,
    network_maker,
    pretraining_note,
    require_views,
    window_of,
)
from tsfmicro.training.loso.result import write_result
from tsfmicro.training.loso.run import Plan, begin
from tsfmicro.training.loso.run import run as run_all
from tsfmicro.training.loso.samples import load_samples
from tsfmicro.training.loso.spec import Mode
from tsfmicro.training.training_options import TrainingOptions, with_training_options


def attach(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=(
            "Example:\n\n    tsf-train cross --train crops/casme2 --test crops/samm --out runs/casme2-to-samm\n\n"
            "Both were cut with tsf-train prepare, under protocols with the same classes, such as casme2_3c_tsf and "
            "samm_3c_tsf."
        )
    )(with_training_options(cross))
    app.command(
        epilog=(
            "Examples:\n\n    tsf-train loso --dataset casme2 --root ~/CASME2 --protocol casme2_5c_tsf "
            "--out runs/casme2\n\n"
            "    tsf-train loso … --mode paper --seeds 1 --out runs/as-published\n\n"
            "The same command again goes on with a run that was interrupted."
        )
    )(with_training_options(loso))


def loso(
    dataset: DatasetOption,
    root: RootOption,
    protocol: ProtocolOption,
    out: Annotated[Path, typer.Option(help="Folder of the run; the same command goes on with it.")],
    exclude_list: ExcludeOption = None,
    layout: LayoutOption = None,
    faces: FacesOption = None,
    cache: Annotated[
        Path | None, typer.Option(help="Crops of tsf-train prepare; cut into the run's own folder where not named.")
    ] = None,
    workers: WorkersOption = 1,
    key_frame_range: RangeOption = RANGE,
    mode: Annotated[Mode, typer.Option(help="paper chooses the epoch on the person it tests: an upper bound.")] = (
        Mode.HONEST
    ),
    *,
    training: TrainingOptions,
) -> None:
    """Leave one subject out: RUN/result.json and RUN/predictions.csv with intervals and controls."""
    torch.set_num_threads(training.threads)
    target = device_of(training.device)
    classes = protocol_of(protocol).classes
    spec = training.spec(len(classes), mode)
    require_compiler(spec, target)
    start = None if training.init is None else read_bundle(training.init)
    config = model_config(spec, len(classes))
    make_network = network_maker(config, classes, start)
    console = Console(stderr=True)
    audited, crops = prepared(
        dataset, root, protocol, cache or out / "crops", exclude_list, layout, faces, workers, window_of(config),
        key_frame_range=key_frame_range,
    )  # fmt: skip
    samples = load_samples(crops)
    plan = Plan(spec, crops.index, pretraining_note(start))
    begin(out, plan)
    with _counted("fold", console) as on_fold:
        finished = run_all(out, plan, samples, make_network, device=target, on_fold=on_fold)
    found = write_result(out, plan, samples, finished, audited.to_dict())
    _say(found, training)
    if finished.failures:
        first = finished.failures[0]
        raise TsfError(
            f"{len(finished.failures)} folds failed, the first without {first.subject}: {first.error}; the rest is in "
            f"{out}, and the same command tries them again"
        )


def cross(
    train: Annotated[Path, typer.Option(help="Crops of tsf-train prepare to learn from.")],
    test: Annotated[Path, typer.Option(help="Crops of another data set to test on.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; the same command goes on with it.")],
    *,
    training: TrainingOptions,
) -> None:
    """Train on one data set and test on another: RUN/result.json and RUN/predictions.csv."""
    torch.set_num_threads(training.threads)
    target = device_of(training.device)
    start = None if training.init is None else read_bundle(training.init)
    learn_from, try_on = (open_cache(folder, writable=False) for folder in (train, test))
    spec = training.spec(len(protocol_of(learn_from.index.protocol_id).classes))
    require_compiler(spec, target)
    plan = cross_plan(spec, learn_from.index, try_on.index, pretraining_note(start))
    seen, unseen = load_samples(learn_from), load_samples(try_on)
    config = model_config(spec, len(seen.classes))
    require_views(config, learn_from.index)
    require_views(config, try_on.index)
    make_network = network_maker(config, seen.classes, start)
    with _counted("seed", Console(stderr=True)) as on_seed:
        found = run_cross(out, plan, seen, unseen, make_network, device=target, on_seed=on_seed)
    _say(found, training)


def _say(found: dict[str, Any], training: TrainingOptions) -> None:
    if training.json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _show(found, Console())


@contextmanager
def _counted(unit: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar with the time left on a terminal, a line each elsewhere."""
    with Progress(
        TextColumn(f"{unit}s"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("")

        def count(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)
            if not console.is_terminal:
                console.print(f"{unit} {done}/{total}")

        yield count


def _show(found: dict[str, Any], console: Console) -> None:
    if found["stamp"]:
        console.print(f"*** {found['stamp']} ***", style="bold red", highlight=False)
    console.print(
        f"{found['protocol']}, {found['mode']}: {found['samples']} clips, {found['folds']} folds, "
        f"{len(found['seeds'])} seeds, data {found['audit_digest'][:12]}",
        highlight=False,
    )
    if "trained_on" in found:
        console.print(
            f"trained on {found['trained_on']['dataset']}, {found['trained_on']['protocol']}", highlight=False
        )
    if found["pretraining"]:
        console.print(f"fine-tuned from {found['pretraining']['bundle']}: {found['pretraining']['data']}")
    if found["audit"] and not found["audit"]["matches"]:
        console.print("this copy differs from the published counts: tsf-train audit says how", highlight=False)
    table = Table("", "ACC", "UF1", "UAR")
    for title, rows in (("this run", found), ("shuffled labels", found["controls"]["shuffled"])):
        if rows is not None:
            table.add_row(title, *(_cell(rows[name]) for name in ("acc", "uf1", "uar")))
    table.add_row("majority", *(f"{found['controls']['majority'][name]:.4f}" for name in ("acc", "uf1", "uar")))
    console.print(table)


def _cell(values: dict[str, Any]) -> str:
    if values["mean"] is None:
        return "-"
    spread = "" if values["sd"] is None else f" ± {values['sd']:.4f}"
    interval = "" if values["ci95"] is None else f" [{values['ci95'][0]:.3f}, {values['ci95'][1]:.3f}]"
    return f"{values['mean']:.4f}{spread}{interval}"
