"""The ONNX file: what it computes, what it weighs and what it must not carry."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

for needed in ("torch", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

import onnx  # noqa: E402
import onnx.numpy_helper  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402

from tsfmicro.errors import ContractError  # noqa: E402
from tsfmicro.export.onnx_graph import compact, export_onnx, trace  # noqa: E402
from tsfmicro.export.parity import compare, probe_pairs  # noqa: E402
from tsfmicro.models.config import ModelConfig  # noqa: E402
from tsfmicro.models.fused import FusedRecognizer  # noqa: E402
from tsfmicro.models.network import build  # noqa: E402
from tsfmicro.preprocess import IMAGENET_MEAN, IMAGENET_STD  # noqa: E402
from tsfmicro.values import Float32Array, UInt8Array  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def fused() -> FusedRecognizer:
    """A small recogniser with untidy batch norm statistics and every parameter rounded to float16."""
    torch.manual_seed(7)
    network = build(ModelConfig(size="small"))
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_mean"):
                tensor.normal_(0.0, 0.2)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
        for parameter in network.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(2.0)  # logits of a fresh network hardly differ from pair to pair
            parameter.copy_(parameter.half().float())
    return FusedRecognizer(network, IMAGENET_MEAN, IMAGENET_STD, temperature=1.3).eval()


@pytest.fixture(scope="module")
def plain(fused: FusedRecognizer) -> onnx.ModelProto:
    return trace(fused, opset=20)


@pytest.fixture(scope="module")
def exported(fused: FusedRecognizer, plain: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    with pytest.MonkeyPatch.context() as patch:  # tracing takes most of the time, once is enough
        patch.setattr("tsfmicro.export.onnx_graph.trace", lambda _fused, _opset: plain)
        export_onnx(fused, path)
    return path


def run(model: bytes, onset: UInt8Array, apex: UInt8Array) -> tuple[Float32Array, Float32Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    probabilities, logits = session.run(["probabilities", "logits"], {"onset": onset, "apex": apex})
    return probabilities, logits


def test_interface(exported: Path) -> None:
    model = onnx.load(exported)

    def describe(values: list[onnx.ValueInfoProto]) -> list[tuple[str, int, list[str | int]]]:
        return [
            (v.name, v.type.tensor_type.elem_type, [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim])
            for v in values
        ]

    uint8, float32 = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    crop: list[str | int] = ["batch", 224, 224, 3]
    assert describe(list(model.graph.input)) == [("onset", uint8, crop), ("apex", uint8, crop)]
    scores: list[str | int] = ["batch", 5]
    assert describe(list(model.graph.output)) == [("probabilities", float32, scores), ("logits", float32, scores)]
    assert model.opset_import[0].version == 20
    assert {node.domain for node in model.graph.node} == {""}


def test_only_casts_touch_uint8(exported: Path) -> None:
    readers = [n.op_type for n in onnx.load(exported).graph.node if {"onset", "apex"} & set(n.input)]
    assert set(readers) <= {"Cast", "Shape"}


def test_file_is_small_and_halved_without_loss(exported: Path, plain: onnx.ModelProto) -> None:
    assert plain.ByteSize() < 4.2e6
    assert exported.stat().st_size < 2.3e6
    onset, apex = probe_pairs(4, seed=1)
    for ours, theirs in zip(
        run(exported.read_bytes(), onset, apex), run(plain.SerializeToString(), onset, apex), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_compaction_leaves_alone_what_float16_cannot_hold(plain: onnx.ModelProto) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(plain)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    names = ["network.head.widen.weight", "network.head.classify.weight"]
    for name, value in zip(names, (1 / 3, 1e6), strict=True):
        tensor = tensors[name]
        changed = onnx.numpy_helper.to_array(tensor).copy()
        changed.flat[0] = value
        tensor.CopyFrom(onnx.numpy_helper.from_array(changed, tensor.name))
    kinds = {t.name: t.data_type for t in compact(model).graph.initializer}
    assert [kinds[name] for name in names] == [onnx.TensorProto.FLOAT] * 2
    assert kinds["network.spatial.embed.weight.float16"] == onnx.TensorProto.FLOAT16


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_agrees_with_torch(fused: FusedRecognizer, exported: Path, batch: int) -> None:
    onset, apex = probe_pairs(batch, seed=batch)
    with torch.inference_mode():
        expected = fused(torch.from_numpy(onset), torch.from_numpy(apex))
    probabilities, logits = run(exported.read_bytes(), onset, apex)
    np.testing.assert_allclose(probabilities, expected[0].numpy(), rtol=0, atol=1e-5)
    parity = compare(expected[1].numpy(), logits)
    assert parity.passed(1e-5), parity
    assert (parity.pairs, parity.nan) == (batch, 0)


def test_carries_no_path_of_this_machine(exported: Path) -> None:
    content = exported.read_bytes()
    here = str(Path(__file__).resolve().parents[2]).encode()
    for trace_of_origin in (b"/tmp", b"/work", b"/home", b"site-packages", b".py", b"stack_trace", here):
        assert trace_of_origin not in content


def test_a_wrong_weight_is_found(fused: FusedRecognizer, exported: Path) -> None:
    model = onnx.load(exported)
    name = "network.temporal.stages.3.blocks.0.ffn.widen.weight.float16"
    (tensor,) = (t for t in model.graph.initializer if t.name == name)
    wrong = onnx.numpy_helper.to_array(tensor).copy()
    wrong[:8] = -wrong[:8]
    tensor.CopyFrom(onnx.numpy_helper.from_array(wrong, tensor.name))
    onset, apex = probe_pairs(4, seed=2)
    with torch.inference_mode():
        expected = fused(torch.from_numpy(onset), torch.from_numpy(apex))[1].numpy()
    assert compare(expected, run(exported.read_bytes(), onset, apex)[1]).passed(1e-5)
    assert not compare(expected, run(model.SerializeToString(), onset, apex)[1]).passed(1e-5)


def test_the_exporter_does_not_talk_to_users(fused: FusedRecognizer) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trace(fused, 20)
    assert [str(warning.message) for warning in told if not issubclass(warning.category, DeprecationWarning)] == []


def test_training_mode_is_refused(fused: FusedRecognizer, tmp_path: Path) -> None:
    fused.network.head.train()
    try:
        with pytest.raises(ContractError, match="eval"):
            export_onnx(fused, tmp_path / "model.onnx")
    finally:
        fused.eval()
