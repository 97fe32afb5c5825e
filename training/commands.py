"""The ``tsf-train`` command."""

from __future__ import annotations

import enum
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tsfmicro.bundle import Bundle, SourceNote, read_bundle, update_metrics
from tsfmicro.errors import UsageError
from tsfmicro.models.card import AnyConfig
from tsfmicro.models.config import family
from tsfmicro.models.fdp.config import fdp_family
from tsfmicro.synthetic.pairs import HARD, USUAL
from tsfmicro.synthetic.portrait import Portrait
from tsfmicro.training import crop_commands, dataset_commands, fit_commands, loso_commands, report_commands
from tsfmicro.training.choice import (
    Fusion,
    FusionOption,
    JudgementOption,
    Model,
    ModelOption,
    Size,
    SizeOption,
    network_config,
    words_of,
)
from tsfmicro.training.demonstration import DEFAULT_MODEL, PORTRAIT_NOTE, Request, train_demonstration
from tsfmicro.training.evaluate import HeldOutResult, evaluate_held_out, load_examinee
from tsfmicro.training.explain import MIN_SAMPLES
from tsfmicro.training.faces import astronaut, load_people
from tsfmicro.training.fit import FitSpec
from tsfmicro.training.fit import Progress as FitProgress
from tsfmicro.training.illustrate import illustrate
from tsfmicro.training.summary import model_table, summarise, time_family

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Train and evaluate recognisers. Example: tsf-train demonstration --out mine.tsf",
)

dataset_commands.attach(app)
crop_commands.attach(app)
loso_commands.attach(app)
fit_commands.attach(app)
report_commands.attach(app)

_AMPLITUDES = (3.0, 2.0)
_LATENCY_ROUNDS = 10


class Difficulty(enum.StrEnum):
    """How hard the training pairs are to see."""

    USUAL = "usual"
    HARD = "hard"


_PAIRS = {Difficulty.USUAL: USUAL, Difficulty.HARD: HARD}


@app.command(epilog="Examples:\n\n    tsf-train models --json\n\n    tsf-train models --latency")
def models(
    classes: Annotated[int, typer.Option(help="Classes of the last layer.", min=2)] = 5,
    latency: Annotated[bool, typer.Option("--latency", help="Time one pair on one CPU thread, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the networks with their parameters and multiply-adds, and what the paper reports for them."""
    if latency:
        torch.set_num_threads(1)
    family_of: list[AnyConfig] = [replace(config, classes=classes) for config in family()]
    family_of += [replace(config, classes=classes) for config in fdp_family()]
    rows = time_family(family_of, _LATENCY_ROUNDS) if latency else [summarise(config) for config in family_of]
    if as_json:
        typer.echo(json.dumps([row.to_dict() for row in rows], indent=2))
        return
    Console().print(model_table(rows))


@app.command(
    epilog=(
        "Examples:\n\n    tsf-train demonstration --out mine.tsf\n\n"
        "    tsf-train demonstration --out parent.tsf --model mmnet\n\n"
        "    tsf-train demonstration --out mine.tsf --faces bert.jpg --faces carla.mp4 --calibrate anna.mp4\n\n"
        "Then: tsf-export mine.tsf, and tsf-train evaluate mine.tsf --faces SOMEBODY.mp4"
    )
)
def demonstration(
    out: Annotated[Path, typer.Option(help="Bundle to write (NAME.tsf).")],
    faces: Annotated[
        list[Path] | None, typer.Option(help="Pictures or clips of people to learn from, beside the portrait.")
    ] = None,
    calibrate: Annotated[
        list[Path] | None, typer.Option(help="Pictures or clips of other people, to calibrate on.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of those pictures, for the manifest.")] = "not stated",
    model: ModelOption = Model.TSFMICRO,
    fusion: FusionOption = Fusion.LATE,
    size: SizeOption = Size.SMALL,
    option: JudgementOption = None,
    pairs: Annotated[Difficulty, typer.Option(help="How hard the pairs are to see.")] = Difficulty.USUAL,
    init: Annotated[Path | None, typer.Option(help="Bundle to begin from instead of random weights.")] = None,
    steps: Annotated[int, typer.Option(help="Batches to learn from.", min=1)] = FitSpec().steps,
    batch: Annotated[int, typer.Option(help="Pairs a batch.", min=2)] = FitSpec().batch,
    au_weight: Annotated[
        float, typer.Option(help="Of the auxiliary action-unit task; 0 leaves it out.", min=0)
    ] = FitSpec().au_weight,
    seed: Annotated[int, typer.Option(help="Same seed, same weights.", min=0)] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads of the network; pairs are drawn in one more.", min=1)] = 1,
) -> None:
    """Train the demonstration recogniser on synthetic micro-expressions; the progress bar shows the time left."""
    console = Console(stderr=True)
    torch.set_num_threads(threads)
    network = network_config(model, fusion, size, option or [], DEFAULT_MODEL.classes)
    portrait = astronaut()
    people = {portrait.name: (portrait,)} | load_people(faces or [])
    others = load_people(calibrate or [])
    start = None if init is None else read_bundle(init)
    request = Request(
        train=people,
        calibrate=others,
        notes=(
            PORTRAIT_NOTE,
            *(SourceNote(path.name, licence, "training identities") for path in faces or []),
            *(SourceNote(path.name, licence, "calibration identities") for path in calibrate or []),
        ),
        command=_command(
            out,
            faces or [],
            calibrate or [],
            network,
            pairs,
            start,
            FitSpec(steps=steps, batch=batch, au_weight=au_weight),
            seed,
        ),
        model=network,
        fit=FitSpec(steps=steps, batch=batch, au_weight=au_weight),
        pairs=_PAIRS[pairs],
        start=start,
        seed=seed,
    )
    console.print(f"learning from {len(people)} people, calibrating on {len(others) or len(people)}")
    with Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=steps, state="")

        def on_step(now: FitProgress) -> None:
            state = f"loss {now.loss:.3f}  accuracy {now.accuracy:.2f}"
            progress.update(task, completed=now.step, state=state)
            if not console.is_terminal and now.step % 50 == 0:
                console.print(f"step {now.step}/{now.steps}  {state}")

        bundle = train_demonstration(request, out, on_step)
    console.print(f"wrote {bundle.path}; next: tsf-export {bundle.path}")


@app.command(epilog="Example:\n\n    tsf-train evaluate mine.tsf --faces somebody.mp4 --record")
def evaluate(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="NAME.tsf")],
    faces: Annotated[list[Path], typer.Option(help="Pictures or clips of people who were not in training.")],
    pairs: Annotated[int, typer.Option(help="Pairs (of FDP: windows) a person and amplitude.", min=5)] = 60,
    seed: Annotated[int, typer.Option(min=0)] = 1000,
    backend: Annotated[str, typer.Option(help="Runner to evaluate.")] = "auto",
    record: Annotated[bool, typer.Option("--record", help="Write the result into the manifest.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Measure a bundle on synthetic movements of held-out people: true onset and apex, or for FDP onset to offset."""
    sealed = read_bundle(bundle)
    seen = {note.name for note in sealed.manifest.provenance.sources}
    leaked = sorted(path.name for path in faces if path.name in seen)
    if leaked:
        raise UsageError(f"{', '.join(leaked)} made this bundle, so it cannot judge it; name other people")
    people = load_people(faces)
    with load_examinee(sealed, backend) as examinee:
        results = [
            evaluate_held_out(
                examinee,
                people,
                amplitude_percent_iod=amplitude,
                min_probability=sealed.manifest.calibration.min_probability,
                pairs_per_person=pairs,
                seed=seed,
            )
            for amplitude in _AMPLITUDES
        ]
    held_out = {"held_out": [result.to_dict() for result in results]}
    if record:
        update_metrics(sealed, held_out)
    if as_json:
        made = sealed.manifest.provenance
        bundle_note = {"digest": sealed.digest, "data": made.data, "command": made.command, "commit": made.commit}
        typer.echo(json.dumps({"bundle": bundle_note, **held_out}, indent=2))
    else:
        Console().print(_table(results))


@app.command(epilog="Example:\n\n    tsf-train explain mine.tsf --faces somebody.mp4 --out pictures")
def explain(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="NAME.tsf")],
    out: Annotated[Path, typer.Option(help="Folder for heat_maps.png and features.png.")],
    faces: Annotated[
        list[Path] | None, typer.Option(help="Pictures or clips of people; by default the portrait of demo:.")
    ] = None,
    pairs: Annotated[int, typer.Option(help="Synthetic pairs to draw.", min=MIN_SAMPLES)] = 150,
    seed: Annotated[int, typer.Option(min=0)] = 1000,
) -> None:
    """Picture where a bundle looks (Grad-CAM) and how it arranges what it sees (t-SNE)."""
    portrait = astronaut()
    people: dict[str, tuple[Portrait, ...]] = load_people(faces) if faces else {portrait.name: (portrait,)}
    for path in illustrate(read_bundle(bundle), people, pairs=pairs, seed=seed, folder=out):
        typer.echo(f"wrote {path}")


def _table(results: list[HeldOutResult]) -> Table:
    table = Table("amplitude %IOD", "people", "pairs", "accuracy", "UAR", "answered", "accuracy of answered", "ECE")
    for r in results:
        answered = "-" if r.accuracy_of_answered is None else f"{r.accuracy_of_answered:.3f}"
        table.add_row(
            f"{r.amplitude_percent_iod:g}", str(r.people), str(r.pairs), f"{r.accuracy:.3f}", f"{r.uar:.3f}",
            f"{r.answered:.2f}", answered, f"{r.calibration_error:.3f}",
        )  # fmt: skip
    return table


def _command(
    out: Path,
    faces: list[Path],
    calibrate: list[Path],
    network: AnyConfig,
    pairs: Difficulty,
    start: Bundle | None,
    fit: FitSpec,
    seed: int,
) -> str:
    """The command line with file names only (folders are nobody else's business), after the one it begins from."""
    words = ["tsf-train", "demonstration", "--out", out.name]
    words += [word for path in faces for word in ("--faces", path.name)]
    words += [word for path in calibrate for word in ("--calibrate", path.name)]
    words += [*words_of(network), "--pairs", pairs.value]
    if start is not None:
        words = [start.manifest.provenance.command, "&&", *words, "--init", start.path.name]
    words += ["--steps", str(fit.steps), "--batch", str(fit.batch), "--au-weight", f"{fit.au_weight:g}"]
    return " ".join([*words, "--seed", str(seed)])
