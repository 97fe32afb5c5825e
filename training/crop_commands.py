"""``tsf-train prepare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.training.crops.cache import CropCache
from tsfmicro.training.crops.faces import Faces
from tsfmicro.training.crops.neighbours import RANGE
from tsfmicro.training.crops.prepare import faces_for, index_of
from tsfmicro.training.crops.prepare import prepare as cut
from tsfmicro.training.dataset_commands import (
    DatasetOption,
    ExcludeOption,
    LayoutOption,
    ProtocolOption,
    RootOption,
)
from tsfmicro.training.datasets.audit import Audit
from tsfmicro.training.datasets.audit import audit as look_up
from tsfmicro.training.datasets.load import load

FacesOption = Annotated[
    Faces | None,
    typer.Option(
        "--faces",
        help="Who finds the face: the data set's own crops as they are, landmarks as in the live loop, or MTCNN as in "
        "the paper. Not named: dataset where the frames are cropped, landmarks where they are raw.",
    ),
]
RangeOption = Annotated[
    float,
    typer.Option(
        "--key-frame-range",
        help="How far training may move onset and apex towards each other, share of the frames between them: the "
        "frames in range are cut too. 0 cuts none.",
        min=0,
        max=0.49,
    ),
]
WorkersOption = Annotated[int, typer.Option("--workers", help="Processes that cut crops.", min=1)]


def attach(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=(
            "Example:\n\n    tsf-train prepare --dataset casme2 --root ~/CASME2 --protocol casme2_5c_tsf "
            "--out crops/casme2\n\nThen look at crops/casme2/contact.png."
        )
    )(prepare)


def prepare(
    dataset: DatasetOption,
    root: RootOption,
    protocol: ProtocolOption,
    out: Annotated[Path, typer.Option(help="Folder of the crops; begun before, it is gone on with.")],
    exclude_list: ExcludeOption = None,
    layout: LayoutOption = None,
    faces: FacesOption = None,
    workers: WorkersOption = 1,
    key_frame_range: RangeOption = RANGE,
    window: Annotated[
        int | None,
        typer.Option(
            help="Frames spread over each clip, for FDP, instead of onset and apex; it takes 8.", min=2, max=64
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Find and align the faces of a data set once, and keep the crops."""
    _, cache = prepared(
        dataset, root, protocol, out, exclude_list, layout, faces, workers, window, key_frame_range=key_frame_range
    )
    missing = sum(entry.neighbours.missing for entry in cache.index.entries)
    unreadable = sum(cache.unreadable_neighbours.values())
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "crops": len(cache.usable),
                    "faces": cache.index.faces.value,
                    "preprocess_digest": cache.index.preprocess.digest,
                    "audit_digest": cache.index.audit_digest,
                    "failures": cache.failures,
                    "neighbours": {
                        "cut": len(cache.neighbours) - unreadable,
                        "missing": missing,
                        "unreadable": unreadable,
                    },
                },
                indent=2,
                ensure_ascii=False,
            )
        )
    else:
        what = "pairs" if window is None else f"windows of {window} frames"
        typer.echo(f"{len(cache.usable)} {what} in {out}; look at {out / 'contact.png'}")


def prepared(
    dataset: str,
    root: Path,
    protocol: str,
    out: Path,
    exclude_list: Path | None,
    layout: str | None,
    faces: Faces | None,
    workers: int,
    window: int | None = None,
    *,
    key_frame_range: float,
) -> tuple[Audit, CropCache]:
    """Audit and cut, with a progress bar; what cannot be cut is said on stderr."""
    kind = "raw" if faces in {Faces.LANDMARKS, Faces.MTCNN} else "cropped"
    data = load(dataset, root, protocol, exclude_list=exclude_list, layout=layout, kind=kind)
    found = look_up(data)
    console = Console(stderr=True)
    index = index_of(found, faces_for(data, faces), PreprocessSpec(), window, key_frame_range=key_frame_range)
    with Progress(
        TextColumn(f"crops ({index.faces.value})"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=len(index.entries))

        def on_done(done: int, _: int) -> None:
            progress.update(task, completed=done)

        cache = cut(index, root if root.is_dir() else root.parent, out, workers=workers, on_done=on_done)
    for key in found.clips_without_frames:
        console.print(f"no frames: {key}", markup=False, highlight=False)
    for key, reason in cache.failures.items():
        console.print(f"no crop: {key}: {reason}", markup=False, highlight=False)
    missing = sum(entry.neighbours.missing for entry in index.entries)
    unreadable = sum(cache.unreadable_neighbours.values())
    if missing or unreadable:
        console.print(
            f"beside the key frames {missing} frames are missing and {unreadable} cannot be cut: training takes the "
            "others",
            markup=False,
            highlight=False,
        )
    return found, cache
