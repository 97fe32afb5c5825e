"""Scenario ``positions``: rotary tables and decay masks computed once beside computing them anew in every pass.

Eager passes and training steps take turns in one process. The graph is written both ways as well, because there the
choice is the other one: a mask that is a constant is bytes of a file.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped, unused-ignore]
import torch

from tsfmicro.export.lean import lean
from tsfmicro.export.onnx_graph import INPUT_NAMES, OPSET, in_precision, trace_as_it_is
from tsfmicro.models.config import INPUT_PX, ModelConfig
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.models.geometry import Precomputed, StageGeometry
from tsfmicro.models.network import build
from tsfmicro.models.temporal import RetentionStage
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.openvino_import import import_openvino
from tsfmicro.runners.precision import Precision

ANEW, ONCE = "computed in every pass", "precomputed"
_CROP = (INPUT_PX, INPUT_PX, 3)


def run_positions(
    sizes: Sequence[str], batches: Sequence[int], step_batch: int, rounds: int, threads: int
) -> list[dict[str, Any]]:
    """Compare the two, for each size of late fusion.

    Args:
        sizes: of the network.
        batches: pairs of a forward pass, in torch.
        step_batch: pairs of a forward and backward pass.
        rounds: how often the two are alternated, after one round to warm up.
        threads: of the CPU.

    Returns:
        For each size a row a batch, one for the training step, and one for each runtime that reads the graphs; every
        row has both figures and the median ratio, pair by pair, of processor time.
    """
    torch.set_num_threads(threads)
    rows: list[dict[str, Any]] = []
    for size in sizes:
        once = _fused(size)
        anew = with_formulas(once)
        arms = {ANEW: anew, ONCE: once}
        for batch in batches:
            crops = _crops(batch)
            with torch.inference_mode():
                taken = _alternate({name: _forward(fused, crops) for name, fused in arms.items()}, rounds)
            rows.append(_row(size, f"torch eager, batch {batch}", taken))
        crops = _crops(step_batch)
        taken = _alternate({name: _step(copy.deepcopy(fused), crops) for name, fused in arms.items()}, rounds)
        rows.append(_row(size, f"training step, batch {step_batch}", taken))
        rows += _graph_rows(size, once, rounds, threads)
    return rows


def with_formulas(fused: FusedRecognizer) -> FusedRecognizer:
    """A copy that builds its tables in every pass."""
    return _with_geometry(fused, lambda geometry: geometry.formula if isinstance(geometry, Precomputed) else geometry)


def with_tables(fused: FusedRecognizer) -> FusedRecognizer:
    """A copy that holds its tables."""
    return _with_geometry(
        fused, lambda geometry: geometry if isinstance(geometry, Precomputed) else Precomputed(geometry)
    )


def _with_geometry(
    fused: FusedRecognizer, change: Callable[[Precomputed | StageGeometry], Precomputed | StageGeometry]
) -> FusedRecognizer:
    changed = copy.deepcopy(fused)
    for module in changed.modules():
        if isinstance(module, RetentionStage):
            module.geometry = change(module.geometry)
    return changed


def _fused(size: str) -> FusedRecognizer:
    torch.manual_seed(0)
    network = build(ModelConfig(size=size, drop_path=0.0))
    for parameter in network.parameters():
        parameter.data.copy_(parameter.data.half().float())  # as a bundle's, so that the graph is as large
    spec = PreprocessSpec()
    return FusedRecognizer(network, spec.mean, spec.std).eval()


def _crops(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    onset, apex = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, batch, *_CROP), dtype=np.uint8))
    return onset, apex


def _forward(fused: FusedRecognizer, crops: tuple[torch.Tensor, torch.Tensor]) -> Callable[[], None]:
    def run() -> None:
        fused(*crops)

    return run


def _step(fused: FusedRecognizer, crops: tuple[torch.Tensor, torch.Tensor]) -> Callable[[], None]:
    fused.train()
    pairs = torch.stack(crops, dim=1)
    truth = torch.zeros(len(pairs), dtype=torch.int64)

    def run() -> None:
        fused.zero_grad(set_to_none=True)
        loss, _ = fused.loss(pairs, truth)
        torch.autograd.backward(loss)

    return run


def _graph_rows(size: str, fused: FusedRecognizer, rounds: int, threads: int) -> list[dict[str, Any]]:
    slim = lean(fused)
    graphs = {
        name: in_precision(trace_as_it_is(form, OPSET), Precision.FLOAT32)
        for name, form in ((ANEW, slim), (ONCE, with_tables(slim)))
    }
    rows: list[dict[str, Any]] = [
        {"what": f"{size}, ONNX graph", "unit": "MB", **{name: round(len(g) / 1e6, 3) for name, g in graphs.items()}}
    ]
    for runtime, load in (("ONNX Runtime", _onnxruntime), ("OpenVINO", _openvino)):
        loading = _alternate({name: _bound(load, graph, threads) for name, graph in graphs.items()}, rounds)
        rows.append(_row(size, f"{runtime}, loading", loading))
        loaded = {name: load(graph, threads) for name, graph in graphs.items()}
        rows.append(_row(size, f"{runtime}, batch 1", _alternate(loaded, rounds)))
    return rows


def _bound(load: Callable[[bytes, int], Callable[[], None]], graph: bytes, threads: int) -> Callable[[], None]:
    def run() -> None:
        load(graph, threads)

    return run


def _onnxruntime(graph: bytes, threads: int) -> Callable[[], None]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    feed = {name: crop.numpy() for name, crop in zip(INPUT_NAMES, _crops(1), strict=True)}

    def run() -> None:
        session.run(None, feed)

    return run


def _openvino(graph: bytes, threads: int) -> Callable[[], None]:
    core: Any = import_openvino().Core()
    model: Any = core.read_model(graph)
    model.reshape({name: [1, *_CROP] for name in INPUT_NAMES})
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    request: Any = core.compile_model(model, "CPU", settings).create_infer_request()
    feed = {name: crop.numpy() for name, crop in zip(INPUT_NAMES, _crops(1), strict=True)}

    def run() -> None:
        request.infer(feed)

    return run


def _alternate(arms: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Processor milliseconds of each, without those of the first round."""
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds + 1):
        for name, run in arms.items():
            cpu_s = time.process_time()
            run()
            taken[name].append((time.process_time() - cpu_s) * 1e3)
    return {name: times[1:] for name, times in taken.items()}


def _row(size: str, what: str, taken: dict[str, list[float]]) -> dict[str, Any]:
    ratio = median(once / anew for anew, once in zip(taken[ANEW], taken[ONCE], strict=True))
    return {
        "what": f"{size}, {what}",
        "unit": "processor ms",
        **{name: round(median(times), 2) for name, times in taken.items()},
        "ratio": round(ratio, 3),
        "samples": {name: [round(value, 3) for value in times] for name, times in taken.items()},
    }
