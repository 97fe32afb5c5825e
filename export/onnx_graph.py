"""The fused recogniser as one ONNX file that holds nothing but the network."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import onnxscript.optimizer
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes import common as passes

from tsfmicro.errors import ContractError
from tsfmicro.export.half import to_half
from tsfmicro.export.lean import lean
from tsfmicro.export.precision import MATRIX_OPS
from tsfmicro.models.config import INPUT_PX
from tsfmicro.models.fdp.fused import FusedWindow
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.models.interface import Recognizer
from tsfmicro.runners.precision import Precision

INPUT_NAMES = ("onset", "apex")
"""(batch, 224, 224, 3) uint8 RGB each."""
OUTPUT_NAMES = ("probabilities", "logits")
"""(batch, classes) float32 each."""

_FOLD_LIMIT = 256
"""Tensors up to this many elements are folded: shapes and scalars, not weights, rotary tables or decay masks."""
_HALF_SUFFIX = ".float16"
_OF_THE_EXPORTER = (r"`isinstance\(treespec, LeafSpec\)` is deprecated", "# The axis name: batch will not be used")
"""What torch's exporter says of itself, and nobody who exports a bundle can do anything about."""


OPSET = 20
"""Read by ONNX Runtime, OpenVINO, TensorRT from 10 and TensorRT-RTX alike. TensorRT refuses some norms from 21 on."""


def export_onnx(fused: Recognizer, path: Path, *, opset: int = OPSET) -> None:
    """Write the module as a single float32 ONNX file with a dynamic batch.

    Weights that float16 holds exactly are stored as float16, see :func:`compact`.

    Args:
        fused: in evaluation mode, float32, on the CPU.
        path: file to write; its folder exists.
        opset: ONNX operator set.

    Raises:
        ContractError: when the module is in training mode.
        onnx.checker.ValidationError: when the result is not valid ONNX.
    """
    path.write_bytes(in_precision(trace(fused, opset), Precision.FLOAT32))


def in_precision(traced: onnx.ModelProto, precision: Precision, delicate: Collection[str] = ()) -> bytes:
    """The file of a traced graph in float32 (see :func:`compact`) or float16 (see :func:`to_half`), checked.

    Args:
        traced: of :func:`trace`.
        precision: of its matrix layers.
        delicate: names of nodes that are float32 either way.

    Raises:
        ContractError: naming a weight that float16 cannot hold.
        onnx.checker.ValidationError: when the result is not valid ONNX.
    """
    model = compact(traced) if precision is Precision.FLOAT32 else to_half(traced, delicate)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def trace(fused: Recognizer, opset: int) -> onnx.ModelProto:
    """The graph in float32, with shape arithmetic folded and without any trace of where it was made.

    Networks of pairs are traced in their lean form, see :mod:`tsfmicro.export.lean`.
    The exporter's own optimiser is left off: it folds batch norm into convolutions, whose weights then are no longer
    exact in float16, and it stores every decay mask.

    Raises:
        ContractError: when the module is in training mode.
    """
    if any(module.training for module in fused.modules()):
        raise ContractError("the recogniser is in training mode; call eval() before exporting it")
    return trace_as_it_is(lean(fused) if isinstance(fused, FusedRecognizer) else fused, opset)


def trace_as_it_is(fused: Recognizer, opset: int) -> onnx.ModelProto:
    """The same of a module in evaluation mode that is in its final form."""
    inputs, outputs = signature(fused)
    # Two events: a batch of one would be taken for a constant.
    example = tuple(torch.zeros(2, *shape, dtype=torch.uint8) for shape in inputs.values())
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        for said in _OF_THE_EXPORTER:
            warnings.filterwarnings("ignore", message=said)
        program = torch.onnx.export(
            fused,
            example,
            dynamo=True,
            opset_version=opset,
            input_names=tuple(inputs),
            output_names=outputs,
            dynamic_shapes={name: {0: batch} for name in inputs},
            external_data=False,
            optimize=False,
            verbose=False,
        )
    if program is None:
        raise ContractError("the exporter returned no program")
    graph = program.model
    onnxscript.optimizer.fold_constants(
        graph, input_size_limit=_FOLD_LIMIT, output_size_limit=_FOLD_LIMIT, should_fold=_may_fold
    )
    passes.CommonSubexpressionEliminationPass()(graph)
    passes.RemoveUnusedNodesPass()(graph)
    model = strip(program.model_proto)
    _name_products(model.graph)
    return model


def _name_products(graph: onnx.GraphProto) -> None:
    """Call products after the module that owns their weights, as in ``head.classify``, for messages."""
    weights = {tensor.name: tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Transpose", "Reshape") and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]]
        owner = next((weights[name] for name in node.input if weights.get(name, "").endswith(".weight")), None)
        if node.op_type in MATRIX_OPS and owner is not None:
            node.name = owner.removeprefix("network.").removesuffix(".weight")


def signature(fused: Recognizer) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
    """Name and shape of each input, without the batch, and the names of the outputs."""
    crop = (INPUT_PX, INPUT_PX, 3)
    if not isinstance(fused, FusedWindow):
        return dict.fromkeys(INPUT_NAMES, crop), OUTPUT_NAMES
    config = fused.network.config
    image = ("dynamic_image",) if config.dynamic_image == "constructed" else ()
    return {"frames": (config.frames, *crop)}, (*OUTPUT_NAMES, *image)


def _may_fold(node: onnx_ir.Node) -> bool | None:
    """No for transposed weights, which would lose their names; everything else as usual."""
    return False if node.op_type == "Transpose" else None


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without source paths, stack traces, documentation and inferred shapes."""
    stripped = onnx.ModelProto()
    stripped.CopyFrom(model)
    graph = stripped.graph
    del graph.value_info[:]
    described: Iterable[onnx.ModelProto | onnx.GraphProto | onnx.NodeProto | onnx.TensorProto | onnx.ValueInfoProto]
    described = [stripped, graph, *graph.node, *graph.initializer, *graph.input, *graph.output]
    for part in described:
        del part.metadata_props[:]
        part.doc_string = ""
    return stripped


def compact(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store matrices and kernels as float16 wherever that is exact, each with a cast back to float32 behind it.

    Lossless: runtimes fold the casts when they load the graph and then compute what they computed before. A bundle's
    weights are rounded to float16 when it is made, so that its graph halves.
    """
    compacted = onnx.ModelProto()
    compacted.CopyFrom(model)
    graph = compacted.graph
    casts: list[onnx.NodeProto] = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        exact = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):  # too large for float16: comes out as infinity, and so is not equal
            half = exact.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), exact):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, name + _HALF_SUFFIX))
        casts.append(
            helper.make_node("Cast", [name + _HALF_SUFFIX], [name], name=f"restore.{name}", to=TensorProto.FLOAT)
        )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return compacted
