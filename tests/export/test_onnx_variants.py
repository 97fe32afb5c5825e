"""Every variant of the family, wrapped and exported, computes what the network computes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

for needed in ("torch", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

import onnx  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402

from tsfmicro.export.onnx_graph import export_onnx  # noqa: E402
from tsfmicro.export.parity import compare, probe_pairs  # noqa: E402
from tsfmicro.models.config import ModelConfig, family  # noqa: E402
from tsfmicro.models.fused import FusedRecognizer  # noqa: E402
from tsfmicro.models.network import build  # noqa: E402
from tsfmicro.preprocess import IMAGENET_MEAN, IMAGENET_STD  # noqa: E402

VARIANTS = [
    *(config for config in family() if config.size == "small"),
    ModelConfig(size="small", stem_gelus=4, resize="plain"),
    ModelConfig(size="small", patch_px=16),
    ModelConfig(size="small", fusion="t2s", t2s_add="after_blocks"),
    ModelConfig(size="small", fusion="spatial", spatial_input="apex"),
    ModelConfig(),
]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def name_of(config: ModelConfig) -> str:
    return "-".join([config.model, config.size, config.fusion, *map(str, config.options.values())])


def lively(config: ModelConfig) -> FusedRecognizer:
    """Random weights whose logits differ from pair to pair, and untidy batch norm statistics."""
    torch.manual_seed(7)
    network = build(config)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_mean"):
                tensor.normal_(0.0, 0.2)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
        for parameter in network.parameters():
            if parameter.ndim == 2:
                parameter.mul_(2.0)
    return FusedRecognizer(network, IMAGENET_MEAN, IMAGENET_STD, temperature=1.3).eval()


@pytest.mark.slow
@pytest.mark.parametrize("config", VARIANTS, ids=name_of)
def test_the_graph_agrees_with_the_network(config: ModelConfig, tmp_path: Path) -> None:
    fused = lively(config)
    path = tmp_path / "model.onnx"
    export_onnx(fused, path)
    graph = onnx.load(path).graph
    shapes = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.input]
    assert [v.name for v in graph.input] == ["onset", "apex"]
    assert shapes == [["batch", 224, 224, 3]] * 2
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        onset, apex = probe_pairs(batch, seed=batch)
        with torch.inference_mode():
            probabilities, logits = fused(torch.from_numpy(onset), torch.from_numpy(apex))
        found = session.run(["probabilities", "logits"], {"onset": onset, "apex": apex})
        np.testing.assert_allclose(found[0], probabilities.numpy(), rtol=0, atol=1e-5)
        parity = compare(logits.numpy(), found[1])
        assert parity.passed(1e-5), parity
        assert logits.std() > 0.01, "logits too even for the comparison to mean anything"
