"""``tsf-train audit``, ``fixture`` and ``synthetic``: a laboratory's first contact."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tsfmicro.errors import UsageError
from tsfmicro.labels import protocol as protocol_of
from tsfmicro.synthetic.pairs import USUAL
from tsfmicro.training.datasets.audit import Audit, explain
from tsfmicro.training.datasets.audit import audit as look_up
from tsfmicro.training.datasets.load import DATASETS, load
from tsfmicro.training.faces import astronaut, load_people
from tsfmicro.training.fixtures.synthetic import write_synthetic
from tsfmicro.training.fixtures.trees import write_tree

SYNTHETIC_PROTOCOL = "casme2_5c_tsf"
"""The generator knows these five emotions."""
_SHOWN = 12
"""Lines of each list a person is shown; --json has all."""

DatasetOption = Annotated[str, typer.Option("--dataset", help=f"One of {', '.join(DATASETS)}.")]
RootOption = Annotated[Path, typer.Option("--root", help="Folder that holds the annotation and the frames.")]
ProtocolOption = Annotated[str, typer.Option("--protocol", help="Class protocol, such as casme2_5c_tsf.")]
ExcludeOption = Annotated[
    Path | None, typer.Option("--exclude-list", help="CSV of clips to leave out: subject, clip, onset.")
]
LayoutOption = Annotated[
    str | None, typer.Option("--layout", help="Folder to take frames from, where the root holds several releases.")
]


def attach(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=(
            "Examples:\n\n    tsf-train audit --dataset casme2 --root ~/CASME2 --protocol casme2_5c_tsf\n\n"
            "    tsf-train audit --dataset casme3a --root ~/CASME3 --protocol casme3a_7c_tsf "
            "--exclude-list five.csv --json"
        )
    )(audit)
    app.command(epilog="Example:\n\n    tsf-train fixture casme2 --out invented")(fixture)
    app.command(epilog="Example:\n\n    tsf-train synthetic --out synthetic --people 12 --clips 8")(synthetic)


def audit(
    dataset: DatasetOption,
    root: RootOption,
    protocol: ProtocolOption,
    exclude_list: ExcludeOption = None,
    layout: LayoutOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Compare a copy of a data set with the published counts, and say what was dropped, repaired and missing."""
    found = look_up(load(dataset, root, protocol, exclude_list=exclude_list, layout=layout))
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        _show(found, Console())


def fixture(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=f"One of {', '.join(DATASETS)}.")],
    out: Annotated[Path, typer.Option(help="New folder.")],
    layout: Annotated[str | None, typer.Option(help="Which release; the usual one where not named.")] = None,
) -> None:
    """Write a tiny invented data set with the files, folders and oddities of the real one, to try commands on."""
    write_tree(dataset, layout, out)
    typer.echo(f"wrote {out}; next: tsf-train audit --dataset {dataset} --root {out} --protocol …")


def synthetic(
    out: Annotated[Path, typer.Option(help="New folder.")],
    people: Annotated[
        int, typer.Option(help="Persons, each one face; morphs once the real ones are used up.", min=2)
    ] = 12,
    clips: Annotated[int, typer.Option(help="Clips for each person and class.", min=1)] = 8,
    faces: Annotated[
        list[Path] | None, typer.Option(help="Pictures or clips of people to make them from, instead of the portrait.")
    ] = None,
    amplitude: Annotated[
        tuple[float, float],
        typer.Option(metavar="LOW HIGH", help="Of the movements, percent of the inter-ocular distance."),
    ] = USUAL.amplitude_percent_iod,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Write every frame from onset to offset at this rate, for FDP, not just two.", min=10, max=1000
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same corpus.", min=0)] = 0,
) -> None:
    """Write a corpus of synthetic micro-expressions that loso reads as a CSV of clips."""
    if not 0 < amplitude[0] <= amplitude[1]:
        raise UsageError(f"--amplitude is {amplitude[0]:g} {amplitude[1]:g}; expected two rising numbers above 0")
    photographed = list(load_people(faces).values()) if faces else [(astronaut(),)]
    write_synthetic(
        out,
        photographed,
        people=people,
        clips=clips,
        classes=protocol_of(SYNTHETIC_PROTOCOL).classes,
        seed=seed,
        spec=replace(USUAL, amplitude_percent_iod=amplitude),
        fps=fps,
    )
    real = min(people, len(photographed))
    typer.echo(
        f"wrote {out}: {real} photographed people as they are and {people - real} morphs of them; next: tsf-train loso "
        f"--dataset csv --root {out} --protocol {SYNTHETIC_PROTOCOL} --faces dataset --out …"
    )


def _show(found: Audit, console: Console) -> None:
    data, expected = found.data, found.data.protocol
    say = partial(console.print, markup=False, highlight=False)
    say(f"{data.adapter.title}, {expected.id}: {expected.note}")
    say(f"annotation: {data.annotations.source}, {data.annotations.rows_in_sheet} rows")
    frames = ", ".join(f"{layout.name} ({layout.kind})" for layout in data.layouts) or "none found"
    say(f"frames: {frames}; {len(found.missing)} key frames missing")
    table = Table("class", "clips", "expected")
    for name, number in found.classes.items():
        table.add_row(name, str(number), str(expected.expected_counts[name]) if found.has_expectation else "-")
    people = expected.expected_subjects if found.has_expectation else None
    table.add_row("all", str(len(data.clips)), str(expected.expected_samples) if found.has_expectation else "-")
    table.add_row("subjects", str(len(data.subjects)), "-" if people is None else str(people))
    console.print(table)
    if found.has_expectation:
        say("matches the published counts" if found.matches else "DIFFERS from the published counts")
    for sentence in explain(found):
        say(f"why: {sentence}")
    _list(
        console, "repaired", _grouped([(r.reason, f"{r.key} {r.field} {r.before} -> {r.after}") for r in data.repaired])
    )
    _list(console, "dropped", _grouped([(drop.reason, drop.key) for drop in data.dropped]))
    _list(console, "odd", [f"{note.key}: {note.text}" for note in data.notes])
    lost = [f"{m.key} {m.field} {m.frame}: {'no frame' if m.used is None else f'took {m.used}'}" for m in found.missing]
    _list(console, "missing", lost)


def _grouped(lines: list[tuple[str, str]]) -> list[str]:
    """One line a reason, with the first of what it is about."""
    reasons: dict[str, list[str]] = {}
    for reason, about in lines:
        reasons.setdefault(reason, []).append(about)
    return [
        f"{about[0]}{f' and {len(about) - 1} more' if len(about) > 1 else ''}: {reason}"
        for reason, about in reasons.items()
    ]


def _list(console: Console, title: str, lines: list[str]) -> None:
    for line in lines[:_SHOWN]:
        console.print(f"{title}: {line}", markup=False, highlight=False)
    if len(lines) > _SHOWN:
        console.print(f"{title}: and {len(lines) - _SHOWN} more; --json lists all")
