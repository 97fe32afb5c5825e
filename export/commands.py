"""The ``tsf-export`` command."""

from __future__ import annotations

import enum
import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import torch
import typer
from rich.console import Console

from tsfmicro.bundle import ONNX_FILE, Bundle, add_file, default_bundle_path, read_bundle
from tsfmicro.errors import ParityError, UsageError
from tsfmicro.export.onnx_graph import INPUT_NAMES, export_onnx
from tsfmicro.export.parity import Parity, compare, probe_pairs
from tsfmicro.export.windows import export_window_bundle
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.runners.torch_runner import load_fused
from tsfmicro.values import Float32Array, UInt8Array

PARITY_TOLERANCE = 1e-4
"""Largest difference of any probability between the network and its graph, both in float32."""
_PROBE_PAIRS, _PROBE_SEED = 16, 7

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class Target(enum.StrEnum):
    """What can be exported to."""

    ONNX = "onnx"


@dataclass(frozen=True, slots=True)
class Exported:
    """A graph that computes what the network computes."""

    graph: bytes
    parity: Parity


@app.command(epilog="Examples:\n\n    tsf-export mine.tsf\n\n    tsf-export mine.tsf --out graphs/ --json")
def export(
    bundle: Annotated[
        Path | None, typer.Argument(metavar="BUNDLE", help="NAME.tsf; by default the demonstration bundle.")
    ] = None,
    target: Annotated[Target, typer.Option(help="What to export to.")] = Target.ONNX,
    out: Annotated[Path | None, typer.Option(help="Folder for the graph; by default into the bundle.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Export a bundle's network as one fused graph: two uint8 crops in, probabilities out.

    The graph is compared with the network on realistic crops first; where they differ nothing is written (exit 7).
    """
    sealed = read_bundle(bundle or default_bundle_path())
    exported = export_bundle(sealed)
    path = _place(exported.graph, sealed, out)
    report = _report(path, exported, target)
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    console = Console(stderr=True)
    console.print(f"wrote {path} ({len(exported.graph) / 1e6:.2f} MB)", highlight=False)
    console.print(f"parity over {exported.parity.pairs} pairs: largest difference {exported.parity.max_abs:.1e}")


def export_bundle(bundle: Bundle) -> Exported:
    """Export the bundle's network and prove the graph.

    Raises:
        BundleError: if the manifest does not describe a network of this version.
        ParityError: if graph and network disagree.
    """
    if bundle.manifest.model.reads_windows:
        return Exported(*export_window_bundle(bundle, PARITY_TOLERANCE))
    fused = load_fused(bundle)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ONNX_FILE
        export_onnx(fused, path)
        graph = path.read_bytes()
    onset, apex = probe_pairs(_PROBE_PAIRS, _PROBE_SEED)
    parity = compare(_network_logits(fused, onset, apex), _graph_logits(graph, onset, apex))
    if not parity.passed(PARITY_TOLERANCE):
        raise ParityError(
            f"the exported graph differs from the network: largest difference {parity.max_abs:.2e}, "
            f"{parity.label_flips} of {parity.pairs} labels changed; expected at most {PARITY_TOLERANCE:.0e}. "
            "Nothing was written"
        )
    return Exported(graph, parity)


def _network_logits(fused: FusedRecognizer, onset: UInt8Array, apex: UInt8Array) -> Float32Array:
    with torch.inference_mode():
        logits: Float32Array = fused(torch.from_numpy(onset), torch.from_numpy(apex))[1].numpy()
    return logits


def _graph_logits(graph: bytes, onset: UInt8Array, apex: UInt8Array) -> Float32Array:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], dict(zip(INPUT_NAMES, (onset, apex), strict=True)))
    return np.asarray(logits, dtype=np.float32)


def _place(graph: bytes, bundle: Bundle, out: Path | None) -> Path:
    if out is None:
        return add_file(bundle, ONNX_FILE, graph).file(ONNX_FILE)
    path = out / ONNX_FILE
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_bytes(graph)
    except OSError as error:
        raise UsageError(f"the graph cannot be written to {path}: {error.strerror}") from error
    return path


def _report(path: Path, exported: Exported, target: Target) -> dict[str, Any]:
    return {
        "files": [
            {
                "path": str(path),
                "sha256": hashlib.sha256(exported.graph).hexdigest(),
                "kind": target.value,
                "precision_requested": "float32",
                "precision_actual": "float32",
            }
        ],
        "parity": asdict(exported.parity) | {"tolerance": PARITY_TOLERANCE},
        "passed": exported.parity.passed(PARITY_TOLERANCE),
    }
