"""The float16 form of a graph: convolutions and products in half precision, what is delicate in float32.

Which operator computes in what is written into the graph as casts, so that every runtime does the same: TensorRT 11 and
TensorRT-RTX take their precision from nowhere else. Left in float32 are the preparation of the crops, everything
computed from constants alone (decay, rotary tables), norms, softmax with the decay added to its scores, means, and
from the last product but one onwards the whole head: its norm, activation, pooling, classifier, temperature, softmax.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tsfmicro.errors import ContractError
from tsfmicro.export.precision import MATRIX_OPS
from tsfmicro.values import Float64Array

_FLOAT32_OPS = frozenset({
    "BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "RMSNormalization",
    "Softmax", "LogSoftmax", "ReduceMean", "ReduceSum", "Pow", "Sqrt", "Exp", "Log", "Reciprocal",
})  # fmt: skip
_HALF_MAX = float(np.finfo(np.float16).max)


def to_half(model: onnx.ModelProto, delicate: Collection[str] = ()) -> onnx.ModelProto:
    """A copy that computes in float16 where that is sound. Inputs and outputs keep their types.

    Args:
        model: float32 graph with its constants as initializers, as ``onnx_graph.trace`` makes it.
        delicate: names of further nodes that stay float32.

    Raises:
        ContractError: naming a weight that float16 cannot hold.
        onnx.checker.ValidationError: if the result is not valid, which would be a mistake here.
    """
    half = fold_batch_norms(model)
    _turn_weights(half.graph)
    _Conversion(half, frozenset(delicate)).run()
    onnx.checker.check_model(half, full_check=True)
    return half


class _Conversion:
    """Goes once through the nodes, which ONNX keeps in topological order, and casts where precision changes."""

    def __init__(self, model: onnx.ModelProto, delicate: frozenset[str]) -> None:
        self.delicate = delicate
        self.graph = model.graph
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        values = (*inferred.value_info, *inferred.input, *inferred.output)
        self.is_float = {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT}
        self.constants = {t.name: t for t in self.graph.initializer if t.data_type == TensorProto.FLOAT}
        self.half_values: set[str] = set()
        self.nodes: list[onnx.NodeProto] = []
        self.casts: set[str] = set()
        self.new_constants: dict[str, onnx.TensorProto] = {}

    def run(self) -> None:
        """Rewrite the graph in place."""
        chosen = self._chosen()
        for node, in_half in zip(self.graph.node, chosen, strict=True):
            for position, name in enumerate(node.input):
                node.input[position] = self._as_half(name) if in_half else self._as_float(name)
            if in_half:
                self.half_values.update(node.output)
            self.nodes.append(node)
        used = {name for node in self.nodes for name in node.input}
        constants = [t for t in (*self.graph.initializer, *self.new_constants.values()) if t.name in used]
        del self.graph.node[:], self.graph.initializer[:]
        self.graph.node.extend(self.nodes)
        self.graph.initializer.extend(constants)

    def _chosen(self) -> list[bool]:
        """Whether each node computes in float16."""
        products_after = self._products_after()
        feeds_softmax = {name for node in self.graph.node if node.op_type == "Softmax" for name in node.input}
        depends: set[str] = set()  # values that some product had a part in
        chosen = []
        for node in self.graph.node:
            is_product = node.op_type in MATRIX_OPS
            has_product = is_product or any(name in depends for name in node.input)
            if has_product:
                depends.update(node.output)
            delicate = node.op_type in _FLOAT32_OPS or (node.op_type == "Add" and node.output[0] in feeds_softmax)
            delicate = delicate or node.name in self.delicate
            in_head = products_after[node.output[0]] + is_product <= 1
            is_float = any(name in self.is_float for name in node.output)
            chosen.append(has_product and is_float and not delicate and not in_head)
        return chosen

    def _products_after(self) -> dict[str, int]:
        """How many products may still follow a value on its way to an output; the classifier is one."""
        after: dict[str, int] = defaultdict(int)
        for node in reversed(self.graph.node):
            here = max(after[name] for name in node.output) + (node.op_type in MATRIX_OPS)
            for name in node.input:
                after[name] = max(after[name], here)
        return after

    def _as_half(self, name: str) -> str:
        if name in self.constants:
            return self._half_constant(name)
        if name in self.half_values or name not in self.is_float:
            return name
        return self._cast(name, f"{name}.half", TensorProto.FLOAT16)

    def _as_float(self, name: str) -> str:
        return self._cast(name, f"{name}.float", TensorProto.FLOAT) if name in self.half_values else name

    def _cast(self, name: str, to_name: str, to_type: int) -> str:
        """The name under which a value exists in the other type; cast once, however often it is used."""
        if to_name not in self.casts:
            self.casts.add(to_name)
            self.nodes.append(helper.make_node("Cast", [name], [to_name], name=to_name, to=to_type))
        return to_name

    def _half_constant(self, name: str) -> str:
        to_name = f"{name}.half"
        if to_name not in self.new_constants:
            exact = numpy_helper.to_array(self.constants[name])
            if not np.all(np.abs(exact) <= _HALF_MAX):
                raise ContractError(f"{name} has values that float16 cannot hold; export without --fp16")
            self.new_constants[to_name] = numpy_helper.from_array(exact.astype(np.float16), to_name)
        return to_name


def fold_batch_norms(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which a batch norm behind a convolution is part of its weights, computed in float64.

    Between a product in float16 and a norm in float32 there would be two casts and a pass over the map for nothing.
    """
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    graph = folded.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    norms = []
    for node in graph.node:
        followers = readers[node.output[0]]
        if node.op_type != "Conv" or len(followers) != 1 or followers[0].op_type != "BatchNormalization":
            continue
        norm = followers[0]
        kernel, bias = _folded(node, norm, constants)
        names = [f"{node.input[1]}.folded", f"{node.input[1]}.folded_bias"]
        for name, values in zip(names, (kernel, bias), strict=True):
            graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
        del node.input[1:]
        node.input.extend(names)
        node.output[0] = norm.output[0]
        norms.append(norm)
    for norm in norms:
        graph.node.remove(norm)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return folded


def _turn_weights(graph: onnx.GraphProto) -> None:
    """Store the weights that a product reads through a Transpose as the product reads them."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    turned = [node for node in graph.node if node.op_type == "Transpose" and node.input[0] in constants]
    for node in turned:
        values = numpy_helper.to_array(constants[node.input[0]])
        order = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values.transpose(order)), node.output[0]))
        graph.node.remove(node)


def _folded(
    convolution: onnx.NodeProto, norm: onnx.NodeProto, constants: dict[str, onnx.TensorProto]
) -> tuple[Float64Array, Float64Array]:
    """Kernel and bias of a convolution that does what both did: gain * (conv(x) - mean) / std + shift."""
    kernel, *biases = (numpy_helper.to_array(constants[name]).astype(np.float64) for name in convolution.input[1:])
    gain, shift, mean, variance = (numpy_helper.to_array(constants[n]).astype(np.float64) for n in norm.input[1:5])
    epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
    factor = gain / np.sqrt(variance + epsilon)
    bias = biases[0] if biases else np.zeros_like(mean)
    return kernel * factor[:, None, None, None], (bias - mean) * factor + shift
