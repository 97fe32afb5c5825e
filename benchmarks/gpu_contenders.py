"""What ``gpu_check`` compares: each is made by a function of its own, which may fail without harm to the others."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsfmicro.benchmarks.gpu_check import Step, crops_on_card
from tsfmicro.models.config import INPUT_PX
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.runners.cuda import Cuda
from tsfmicro.runners.precision import Precision
from tsfmicro.runners.tensorrt_engine import Engine, pair_layout
from tsfmicro.values import Float32Array, UInt8Array

Infer = Callable[[UInt8Array, UInt8Array], Float32Array]
Made = tuple[Infer, Callable[[int], Step] | None]
Network = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def makers(fused: FusedRecognizer, max_batch: int) -> Iterator[tuple[str, Precision, Callable[[], Made]]]:
    """Name, precision and maker of every contender; torch eager in float16 first, the one bars are relative to."""
    full, half = Precision.FLOAT32, Precision.FLOAT16
    graphs: dict[Precision, bytes] = {}

    def graph(precision: Precision) -> bytes:
        if precision not in graphs:
            from tsfmicro.export.onnx_graph import OPSET, in_precision, trace

            graphs[precision] = in_precision(trace(fused, OPSET), precision)
        return graphs[precision]

    yield "torch eager float16", half, lambda: _eager(_in_half(fused))
    yield "torch eager float32", full, lambda: _eager(copy.deepcopy(fused).cuda())
    yield "torch float16, CUDA graph", half, lambda: _graphed(_in_half(fused))
    yield "torch float16 compiled, CUDA graph", half, lambda: _graphed(_compiled(_in_half(fused)))
    yield "runner cuda", half, lambda: _runner(fused)
    yield "onnxruntime CUDA, float32 graph", full, lambda: _onnxruntime(graph(full))
    yield "onnxruntime CUDA, float16 graph", half, lambda: _onnxruntime(graph(half))
    for kind in ("tensorrt", "tensorrt-rtx"):
        yield f"{kind} float16", half, lambda kind=kind: _engine(graph(half), kind, max_batch, fused)  # type: ignore[misc]
    yield "torch-tensorrt float16", half, lambda: _torch_engine(fused, max_batch)


def _in_half(fused: FusedRecognizer) -> FusedRecognizer:
    from tsfmicro.export.torch_half import in_half

    network = copy.deepcopy(fused)
    in_half(network)
    return network.cuda()


def _compiled(network: FusedRecognizer) -> Network:
    compiled: Network = torch.compile(network, mode="max-autotune-no-cudagraphs", dynamic=False)
    return compiled


def _eager(network: Network) -> Made:
    def infer(onset: UInt8Array, apex: UInt8Array) -> Float32Array:
        with torch.inference_mode():
            logits: Float32Array = network(torch.tensor(onset).cuda(), torch.tensor(apex).cuda())[1].cpu().numpy()
        return logits

    def on_card(batch: int) -> Step:
        crops = crops_on_card(batch)

        def step() -> None:
            with torch.inference_mode():
                network(*crops)

        return step

    return infer, on_card


def _graphed(network: Network) -> Made:
    """A CUDA graph per batch size, inputs and outputs at fixed places."""
    captured: dict[int, tuple[torch.cuda.CUDAGraph, tuple[Tensor, Tensor], Tensor]] = {}

    def capture(batch: int) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, Tensor], Tensor]:
        if batch not in captured:
            crops, stream, graph = crops_on_card(batch), torch.cuda.Stream(), torch.cuda.CUDAGraph()  # type: ignore[no-untyped-call]
            with torch.inference_mode():
                with torch.cuda.stream(stream):
                    for _ in range(3):
                        network(*crops)
                torch.cuda.synchronize()
                with torch.cuda.graph(graph):
                    logits = network(*crops)[1]
            captured[batch] = graph, crops, logits
        return captured[batch]

    def infer(onset: UInt8Array, apex: UInt8Array) -> Float32Array:
        graph, crops, logits = capture(len(onset))
        for on_card, values in zip(crops, (onset, apex), strict=True):
            on_card.copy_(torch.tensor(values))
        graph.replay()
        found: Float32Array = logits.cpu().numpy()
        return found

    return infer, lambda batch: capture(batch)[0].replay


def _runner(fused: FusedRecognizer) -> Made:
    from tsfmicro.runners.torch_forward import CudaForward

    forward = CudaForward(copy.deepcopy(fused), Precision.FLOAT16)
    return lambda onset, apex: forward(onset, apex)[1], None


def _onnxruntime(graph: bytes) -> Made:
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise RuntimeError("this onnxruntime has no CUDA provider")
    session: Any = onnxruntime.InferenceSession(graph, providers=["CUDAExecutionProvider"])
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise RuntimeError("onnxruntime fell back to the CPU")

    def infer(onset: UInt8Array, apex: UInt8Array) -> Float32Array:
        return np.asarray(session.run(["logits"], {"onset": onset, "apex": apex})[0], dtype=np.float32)

    return infer, None


def _engine(graph: bytes, kind: str, max_batch: int, fused: FusedRecognizer) -> Made:
    from tsfmicro.export.tensorrt_builder import EngineOrder, build_engine

    built = build_engine(graph, EngineOrder(kind, Precision.FLOAT16, (1, 1, max_batch)))
    return _loaded(built.plan, kind, max_batch, fused)


def _torch_engine(fused: FusedRecognizer, max_batch: int) -> Made:
    from tsfmicro.export.tensorrt_builder import EngineOrder
    from tsfmicro.export.torch_tensorrt_builder import build_with_torch

    built = build_with_torch(fused, EngineOrder("torch-tensorrt", Precision.FLOAT16, (1, 1, max_batch)))
    return _loaded(built.plan, "torch-tensorrt", max_batch, fused)


def _loaded(plan: bytes, kind: str, max_batch: int, fused: FusedRecognizer) -> Made:
    engine = Engine(plan, kind, pair_layout(INPUT_PX, fused.network.config.classes), max_batch, Cuda())
    return lambda onset, apex: engine.run(onset, apex)[1], None
