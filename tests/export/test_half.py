"""The float16 graph: what computes in half precision, what does not, and how far it is from the network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

for needed in ("torch", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

import onnx  # noqa: E402
import torch  # noqa: E402
from onnx import TensorProto, numpy_helper  # noqa: E402

from tests.export.traced import VARIANTS, lively, name_of, trace_once  # noqa: E402
from tsfmicro.errors import BackendError, ContractError  # noqa: E402
from tsfmicro.export.half import fold_batch_norms, to_half  # noqa: E402
from tsfmicro.export.lean import lean  # noqa: E402
from tsfmicro.export.onnx_graph import in_precision  # noqa: E402
from tsfmicro.export.parity import graph_logits, network_logits  # noqa: E402
from tsfmicro.export.precision import MatrixLayer, matrix_layers, require_precision  # noqa: E402
from tsfmicro.models.config import ModelConfig  # noqa: E402
from tsfmicro.models.fused import FusedRecognizer  # noqa: E402
from tsfmicro.runners.parity import Tolerance, compare, probe_pairs  # noqa: E402
from tsfmicro.runners.precision import Precision  # noqa: E402


@pytest.fixture(scope="module")
def fused() -> FusedRecognizer:
    torch.set_num_threads(1)
    return lively(ModelConfig(size="small"))


@pytest.fixture(scope="module")
def traced(fused: FusedRecognizer) -> onnx.ModelProto:
    return trace_once(fused)


@pytest.fixture(scope="module")
def half(traced: onnx.ModelProto) -> onnx.ModelProto:
    return to_half(traced)


def input_types(model: onnx.ModelProto, op_type: str) -> list[int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    types = {v.name: v.type.tensor_type.elem_type for v in values}
    return [types[node.input[0]] for node in inferred.node if node.op_type == op_type]


def test_products_are_half_and_what_is_delicate_is_not(half: onnx.ModelProto) -> None:
    layers = matrix_layers(half)
    assert len(layers) == 87
    assert [layer.name for layer in layers if layer.precision != "float16"] == ["head.classify"]
    for op_type, count in (
        ("LayerNormalization", 15),
        ("Softmax", 10),
        ("BatchNormalization", 1),
        ("ReduceMean", 1),
    ):
        types = input_types(half, op_type)
        assert len(types) >= count and set(types) == {TensorProto.FLOAT}, op_type
    outputs = {v.name: v.type.tensor_type.elem_type for v in half.graph.output}
    assert outputs == {"probabilities": TensorProto.FLOAT, "logits": TensorProto.FLOAT}
    assert {v.type.tensor_type.elem_type for v in half.graph.input} == {TensorProto.UINT8}


def test_layers_are_called_after_their_weights(half: onnx.ModelProto, fused: FusedRecognizer) -> None:
    modules = {name for name, _ in lean(fused).network.named_modules()}
    named = [layer.name for layer in matrix_layers(half) if not layer.name.startswith("node_")]
    assert len(named) == len(set(named)) > 45
    assert set(named) <= modules


def test_matrices_are_stored_in_half(half: onnx.ModelProto, traced: onnx.ModelProto) -> None:
    large = [t for t in half.graph.initializer if np.prod(t.dims) > 2000]
    assert len(large) > 30
    assert {t.name for t in large if t.data_type != TensorProto.FLOAT16} <= {"network.head.classify.weight"}
    assert half.ByteSize() < 0.6 * traced.ByteSize()


def test_the_original_is_left_alone(traced: onnx.ModelProto) -> None:
    before = traced.SerializeToString(deterministic=True)
    to_half(traced)
    assert traced.SerializeToString(deterministic=True) == before


def test_the_same_network_gives_the_same_bytes(traced: onnx.ModelProto) -> None:
    assert in_precision(traced, Precision.FLOAT16) == in_precision(traced, Precision.FLOAT16)


def test_folding_changes_nothing(traced: onnx.ModelProto) -> None:
    folded = fold_batch_norms(traced)
    kinds = [node.op_type for node in folded.graph.node]
    assert kinds.count("BatchNormalization") == 1  # the head's, behind a product and not a convolution
    onset, apex = probe_pairs(3, seed=3)
    ours, theirs = (graph_logits(m.SerializeToString(), onset, apex) for m in (folded, traced))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_weight_that_half_precision_cannot_hold_is_named(traced: onnx.ModelProto) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(traced)
    tensor = next(t for t in model.graph.initializer if t.name == "network.spatial.embed.weight")
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] = 1e6
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    with pytest.raises(ContractError, match=r"network\.spatial\.embed\.weight"):
        to_half(model)


def layers_of(*precisions: str) -> tuple[MatrixLayer, ...]:
    return tuple(MatrixLayer(f"layer.{i}", precision) for i, precision in enumerate(precisions))


def test_one_float32_layer_is_enough_to_refuse() -> None:
    classifier = MatrixLayer("head.classify", "float32")
    assert require_precision((*layers_of("float16"), classifier), Precision.FLOAT16, "it") is Precision.FLOAT16
    assert require_precision((*layers_of("float32"), classifier), Precision.FLOAT32, "it") is Precision.FLOAT32
    for layers, wanted in (
        ((*layers_of("float16", "float32"), classifier), Precision.FLOAT16),
        (layers_of("float16", "float16", "bfloat16"), Precision.FLOAT16),
        ((*layers_of("float32"), MatrixLayer("head.classify", "float16")), Precision.FLOAT32),
        ((), Precision.FLOAT16),
        ((classifier,), Precision.FLOAT16),
        ((*layers_of("float16"), MatrixLayer("head.classify", "int8")), Precision.FLOAT16),
    ):
        with pytest.raises(BackendError, match="Nothing was written") as caught:
            require_precision(layers, wanted, "it")
        assert caught.value.exit_code == 6


def test_a_float32_graph_is_not_taken_for_a_half_one(traced: onnx.ModelProto) -> None:
    whole = matrix_layers(onnx.load_from_string(in_precision(traced, Precision.FLOAT32)))
    assert require_precision(whole, Precision.FLOAT32, "it") is Precision.FLOAT32
    with pytest.raises(BackendError, match="86 of 87 matrix layers are not"):
        require_precision(whole, Precision.FLOAT16, "it")


def held(fused: FusedRecognizer, traced: onnx.ModelProto, pairs: int) -> Any:
    onset, apex = probe_pairs(pairs, seed=5)
    return compare(
        network_logits(fused, onset, apex), graph_logits(in_precision(traced, Precision.FLOAT16), onset, apex)
    )


def test_it_computes_what_the_network_computes(fused: FusedRecognizer, traced: onnx.ModelProto) -> None:
    parity = held(fused, traced, 8)
    assert parity.within(Tolerance.of(Precision.FLOAT16)), parity
    assert parity.rel_l2 > 1e-6, "it is not in half precision at all"


@pytest.mark.slow
@pytest.mark.parametrize("config", VARIANTS, ids=name_of)
def test_every_variant(config: ModelConfig) -> None:
    variant = lively(config)
    model = trace_once(variant)
    layers = matrix_layers(onnx.load_from_string(in_precision(model, Precision.FLOAT16)))
    require_precision(layers, Precision.FLOAT16, name_of(config))
    assert [layer.name for layer in layers if layer.precision == "float32"] == ["head.classify"]
    parity = held(variant, model, 3)
    assert parity.within(Tolerance.of(Precision.FLOAT16)), parity
