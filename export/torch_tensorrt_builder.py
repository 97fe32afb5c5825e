"""Engines by Torch-TensorRT, the second builder behind the same interface, for those who have it.

It compiles the torch network instead of the ONNX graph. In half precision, norms and the head stay float32 modules, as
in ``half.py``; softmax is what Torch-TensorRT makes of ``scaled_dot_product_attention``. Needs a card to build.
"""

from __future__ import annotations

import copy
import time
from typing import Any

import torch
from torch import Tensor, nn

from tsfmicro.errors import BackendError
from tsfmicro.export.onnx_graph import INPUT_NAMES
from tsfmicro.export.precision import MatrixLayer, require_precision
from tsfmicro.export.tensorrt_builder import BuiltEngine, EngineOrder
from tsfmicro.models.config import INPUT_PX
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.runners.cuda import card_here
from tsfmicro.runners.precision import Precision
from tsfmicro.runners.tensorrt_engine import runtime_module

_MATRIX_CALLS = ("conv2d", "conv_transpose2d", "convolution", "linear", "matmul", "scaled_dot_product_attention")


def build_with_torch(fused: FusedRecognizer, order: EngineOrder) -> BuiltEngine:
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
    shapes = [(batch, INPUT_PX, INPUT_PX, 3) for batch in order.batch_profile]
    wanted = [
        torch_tensorrt.Input(min_shape=shapes[0], opt_shape=shapes[1], max_shape=shapes[2], dtype=torch.uint8)
        for _ in INPUT_NAMES
    ]
    convert: Any = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine
    plan = convert(program, arg_inputs=wanted)
    version = str(runtime_module("torch-tensorrt").__version__)
    return BuiltEngine(bytes(plan), layers, version, (card.capability,), card.name, time.monotonic() - began_s)


def exported_program(fused: FusedRecognizer, precision: Precision, device: str) -> torch.export.ExportedProgram:
    """The network as a program with a free batch, in the precision that is asked for."""
    module = copy.deepcopy(fused)
    if precision is Precision.FLOAT16:
        in_half(module)
    example = tuple(torch.zeros(2, INPUT_PX, INPUT_PX, 3, dtype=torch.uint8, device=device) for _ in INPUT_NAMES)
    batch = torch.export.Dim("batch", min=1)
    shapes = {name: {0: batch} for name in INPUT_NAMES}
    with torch.inference_mode():
        return torch.export.export(module.to(device), example, dynamic_shapes=shapes)


def in_half(fused: FusedRecognizer) -> None:
    """Turn the network to float16 in place, but for norms and the head; the crops are prepared in float32."""
    fused.network.half()
    for name, module in fused.network.named_modules():
        if isinstance(module, nn.LayerNorm):
            module.float()
            module.register_forward_pre_hook(lambda _, args: tuple(x.float() for x in args))
            module.register_forward_hook(lambda _, args, out: out.half())
        if name == "head":
            module.float()
            module.register_forward_pre_hook(lambda _, args: tuple(x.float() for x in args))
    widen = getattr(fused.network.head, "widen", None)
    if widen is not None:  # a product over all tokens, unlike the classifier
        widen.half()
        widen.register_forward_pre_hook(lambda _, args: tuple(x.half() for x in args))
        widen.register_forward_hook(lambda _, args, out: out.float())
    fused.network.register_forward_pre_hook(lambda _, args: tuple(x.half() for x in args))


def program_layers(program: torch.export.ExportedProgram) -> tuple[MatrixLayer, ...]:
    """Matrix layers of an exported program with the type of their first input."""
    found = []
    for node in program.graph.nodes:
        call = str(node.target).removeprefix("aten.").partition(".")[0]
        if node.op != "call_function" or call not in _MATRIX_CALLS:
            continue
        value = node.args[0].meta["val"]
        kind = str(value.dtype).removeprefix("torch.") if isinstance(value, Tensor) else "unknown"
        stack = node.meta.get("nn_module_stack") or {}
        path = [where for where, _ in stack.values()][-1] if stack else node.name
        found.append(MatrixLayer(str(path).removeprefix("network."), kind))
    return tuple(found)
