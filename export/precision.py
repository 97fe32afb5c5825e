"""What precision the matrix layers of a graph compute in. Read off the graph itself, never off what was asked for."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import TensorProto

from tsfmicro.errors import BackendError
from tsfmicro.runners.precision import Precision, may_be_float32

MATRIX_OPS = frozenset({"Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"})
"""Where the arithmetic of a network is: convolutions and matrix products."""

_ELEMENT_TYPES = {Precision.FLOAT32: TensorProto.FLOAT, Precision.FLOAT16: TensorProto.FLOAT16}


@dataclass(frozen=True, slots=True)
class MatrixLayer:
    """One convolution or matrix product of a graph or of an engine's network."""

    name: str
    """Of the module its weights belong to, or as the exporter called it."""
    precision: str
    """``"float16"``, ``"float32"``, or what else the runtime calls it."""


def matrix_layers(model: onnx.ModelProto) -> tuple[MatrixLayer, ...]:
    """The matrix layers of an ONNX graph with the type of their first input.

    Raises:
        onnx.shape_inference.InferenceError: if the graph contradicts itself.
    """
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*inferred.value_info, *inferred.input, *inferred.output)}
    types |= {tensor.name: tensor.data_type for tensor in inferred.initializer}
    return tuple(
        MatrixLayer(node.name, _name_of(types.get(node.input[0], TensorProto.UNDEFINED)))
        for node in inferred.node
        if node.op_type in MATRIX_OPS
    )


def _name_of(element_type: int) -> str:
    for precision, number in _ELEMENT_TYPES.items():
        if number == element_type:
            return precision.value
    return str(onnx.helper.tensor_dtype_to_string(element_type))


def require_precision(layers: tuple[MatrixLayer, ...], wanted: Precision, where: str) -> Precision:
    """Check that every matrix layer computes in the precision that was asked for.

    Args:
        layers: of a graph or of an engine's network.
        wanted: float16 allows float32 where ``may_be_float32``, and nowhere else.
        where: what they are of, for the message.

    Returns:
        The actual precision, which is ``wanted``.

    Raises:
        BackendError: naming layers that are not of that precision, or when there are none at all.
    """
    wrong = [layer for layer in layers if layer.precision != wanted and not _is_left(layer, wanted)]
    if wrong or not any(layer.precision == wanted for layer in layers):
        named = ", ".join(f"{layer.name} ({layer.precision})" for layer in wrong[:3]) or "it has none"
        raise BackendError(
            f"{where} is not {wanted.value}: {len(wrong)} of {len(layers)} matrix layers are not ({named}). "
            "Nothing was written"
        )
    return wanted


def _is_left(layer: MatrixLayer, wanted: Precision) -> bool:
    return wanted is Precision.FLOAT16 and layer.precision == "float32" and may_be_float32(layer.name)
