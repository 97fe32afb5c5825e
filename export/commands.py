"""The ``tsf-export`` command."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tsfmicro.bundle import Bundle, add_files, default_bundle_path, read_bundle
from tsfmicro.errors import BackendError, UsageError
from tsfmicro.export.products import PASSED, Exported, Product, export_bundle, stages_of
from tsfmicro.export.tensorrt_builder import EngineOrder
from tsfmicro.runners.cuda import card_here
from tsfmicro.runners.parity import Tolerance
from tsfmicro.runners.precision import Precision

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_EPILOG = """
Examples:

    tsf-export mine.tsf

    tsf-export mine.tsf --fp16

    tsf-export mine.tsf --fp16 --target tensorrt-rtx --compute-capability 8.9

    tsf-export mine.tsf --fp16 --target onnx --out graphs/ --json

Exit codes: 5 the bundle is not what its manifest says, 6 no builder, no card or not the precision that was asked for,
7 something does not compute what the network computes. Nothing is written in any of these cases.
"""


class Target(enum.StrEnum):
    """What can be exported to."""

    ONNX = "onnx"
    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt-rtx"
    TORCH_TENSORRT = "torch-tensorrt"


@app.command(epilog=_EPILOG)
def export(
    bundle: Annotated[
        Path | None, typer.Argument(metavar="BUNDLE", help="NAME.tsf; by default the demonstration bundle.")
    ] = None,
    fp16: Annotated[
        bool,
        typer.Option("--fp16", help="Half precision: an ONNX graph and, without --target, an engine by what is here."),
    ] = False,
    target: Annotated[
        Target | None, typer.Option(help="What to export to: the graph alone (the default), or an engine as well.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the files; by default into the bundle.")] = None,
    max_batch: Annotated[int, typer.Option(help="Most pairs an engine takes at once.", min=1)] = 8,
    compute_capability: Annotated[
        list[str] | None,
        typer.Option(help="Card to build for, as in 8.9; repeatable. TensorRT-RTX only, by default all it supports."),
    ] = None,
    timing_cache: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep TensorRT's measurements, so that later builds are quick.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Export a bundle's network as one fused graph: two uint8 crops in, probabilities out. Or build an engine of it.

    Everything is compared with the network in float64 on crops of a face first, and the precision is read off what was
    made. Where anything is not as it should be, nothing is written.
    """
    sealed = read_bundle(bundle or default_bundle_path())
    kind = _kind(target, fp16)
    precision = Precision.FLOAT16 if fp16 else Precision.FLOAT32
    order = None
    if kind is not Target.ONNX:
        capabilities = tuple(compute_capability or ())
        order = EngineOrder(kind.value, precision, (1, 1, max_batch), capabilities, timing_cache)
    elif compute_capability or timing_cache is not None:
        raise UsageError("--compute-capability and --timing-cache are for engines; name one with --target")
    precisions = (Precision.FLOAT32, Precision.FLOAT16) if fp16 else (Precision.FLOAT32,)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with _progress(console) as progress:
        task = progress.add_task("", total=len(stages_of(sealed, precisions, order)))

        def on_stage(stage: str) -> None:
            progress.update(task, description=f"{stage} ...", completed=next(done))

        done = count()
        exported = export_bundle(sealed, precisions, order, on_stage)
    paths = _place(exported.products, sealed, out)
    if as_json:
        typer.echo(json.dumps(_report(exported, paths), indent=2))
        return
    for product, path in zip(exported.products, paths, strict=True):
        console.print(f"wrote {path} ({len(product.data) / 1e6:.2f} MB, {product.actual.value})")
    for link in exported.links:
        console.print(f"{link.what}, {link.precision.value}: {link.parity}")
    if exported.engine is not None and exported.engine.parity != PASSED:
        console.print(
            f"parity of the engine {exported.engine.parity}. It will be compared with the graph whenever it is loaded "
            "on a card, until it is exported on that machine"
        )


def _progress(console: Console) -> Progress:
    """A bar with the stage it is at; shows nothing where standard error is not a terminal."""
    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _kind(target: Target | None, fp16: bool) -> Target:
    """What to export to; without a word from the user, ``--fp16`` wants an engine by a builder that works here."""
    if target is not None:
        return target
    if not fp16:
        return Target.ONNX
    if find_spec("tensorrt") is not None and card_here() is not None:
        return Target.TENSORRT
    if find_spec("tensorrt_rtx") is not None:
        return Target.TENSORRT_RTX
    raise BackendError(
        "--fp16 builds an engine, and there is no builder here; type `pip install 'tsfmicro[rtx]'` (needs no card), "
        "install TensorRT on a machine with one, or add --target onnx for the graph alone"
    )


def _place(products: tuple[Product, ...], bundle: Bundle, out: Path | None) -> list[Path]:
    if out is None:
        contents = {product.name: product.data for product in products}
        sealed = add_files(bundle, contents)
        return [sealed.file(name) for name in contents]
    paths = [out / product.name for product in products]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, product in zip(paths, products, strict=True):
            partial = path.with_name(f".{path.name}.partial")
            partial.write_bytes(product.data)
            partial.replace(path)
    except OSError as error:
        raise UsageError(f"the files cannot be written to {out}: {error.strerror}") from error
    return paths


def _report(exported: Exported, paths: list[Path]) -> dict[str, Any]:
    last = exported.links[-1]
    engine = exported.engine
    return {
        "files": [
            {
                "path": str(path),
                "sha256": product.sha256,
                "kind": product.kind,
                "precision_requested": product.requested.value,
                "precision_actual": product.actual.value,
                "bytes": len(product.data),
            }
            for path, product in zip(paths, exported.products, strict=True)
        ],
        "parity": {
            **asdict(last.parity),
            "of": f"{last.what}, {last.precision.value}",
            "tolerance": Tolerance.of(last.precision).max_abs,
            "reference": last.reference,
            "links": [link.to_dict() for link in exported.links],
            "engine": None if engine is None else engine.parity,
        },
        "passed": True,  # what is not within its tolerance raises before this
    }
