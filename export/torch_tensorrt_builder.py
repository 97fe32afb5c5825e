"""Engines by Torch-TensorRT, the second builder behind the same interface, for those who have it.

It compiles the torch network instead of the ONNX graph, in half precision that of ``torch_half``, with the types that
are written into it and without TensorFloat-32, as ``tensorrt_builder`` does. Needs a card to build.
"""

from __future__ import annotations

import copy
import time
from typing import Any

import torch
from torch import Tensor

from tsfmicro.errors import BackendError
from tsfmicro.export.onnx_graph import signature
from tsfmicro.export.precision import MatrixLayer, require_precision
from tsfmicro.export.tensorrt_builder import BuiltEngine, EngineOrder
from tsfmicro.export.torch_half import Fused, in_half
from tsfmicro.runners.cuda import card_here
from tsfmicro.runners.precision import Precision
from tsfmicro.runners.tensorrt_engine import runtime_module

_LAYER_CALLS = ("conv2d", "conv_transpose2d", "convolution", "linear")
_PRODUCT_CALLS = ("matmul", "scaled_dot_product_attention")


def build_with_torch(fused: Fused, order: EngineOrder) -> BuiltEngine:
    """Build an engine from the network itself.

    Raises:
        BackendError: if Torch-TensorRT or a card is missing, or matrix layers are not all of the ordered precision.
    """
    try:
        import torch_tensorrt
    except (ImportError, OSError, RuntimeError, AssertionError) as error:  # without CUDA its import fails in many ways
        raise BackendError(
            f"torch-tensorrt cannot be used here ({error}); type `pip install 'tsfmicro[tensorrt]'`"
        ) from error
    card = card_here()
    if card is None:
        raise BackendError("Torch-TensorRT builds an engine on the card it is for, and there is none here")
    began_s = time.monotonic()
    program = exported_program(fused, order.precision, "cuda")
    layers = program_layers(program)
    require_precision(layers, order.precision, "the exported program")
    least, usual, most = order.batch_profile
    wanted = [
        torch_tensorrt.Input(
            min_shape=(least, *shape), opt_shape=(usual, *shape), max_shape=(most, *shape), dtype=torch.uint8
        )
        for shape in signature(fused)[0].values()
    ]
    convert: Any = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine
    plan = convert(program, arg_inputs=wanted, disable_tf32=True)
    version = str(runtime_module("torch-tensorrt").__version__)
    return BuiltEngine(bytes(plan), layers, version, (card.capability,), card.name, time.monotonic() - began_s)


def exported_program(fused: Fused, precision: Precision, device: str) -> torch.export.ExportedProgram:
    """The network as a program with a free batch, in the precision that is asked for."""
    module = copy.deepcopy(fused)
    if precision is Precision.FLOAT16:
        in_half(module)
    inputs, _ = signature(fused)
    example = tuple(torch.zeros(2, *shape, dtype=torch.uint8, device=device) for shape in inputs.values())
    batch = torch.export.Dim("batch", min=1)
    with torch.inference_mode():
        return torch.export.export(module.to(device), example, dynamic_shapes={name: {0: batch} for name in inputs})


def program_layers(program: torch.export.ExportedProgram) -> tuple[MatrixLayer, ...]:
    """Matrix layers of an exported program with the type of their first input.

    Layers are called after their module. Products without weights are numbered within theirs, those outside the network
    within ``prepare``, since nothing else there multiplies matrices.
    """
    found = []
    for node in program.graph.nodes:
        call = str(node.target).removeprefix("aten.").partition(".")[0]
        if node.op != "call_function" or call not in (*_LAYER_CALLS, *_PRODUCT_CALLS):
            continue
        value = node.args[0].meta["val"]
        kind = str(value.dtype).removeprefix("torch.") if isinstance(value, Tensor) else "unknown"
        stack = node.meta.get("nn_module_stack") or {}
        path = next((str(where) for where, _ in reversed(stack.values())), "").removeprefix("network.")
        found.append(MatrixLayer(path if call in _LAYER_CALLS else f"{path or 'prepare'}.{node.name}", kind))
    return tuple(found)
