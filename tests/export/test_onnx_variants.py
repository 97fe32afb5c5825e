"""Every variant of the family, wrapped and exported, computes what the network computes."""

from __future__ import annotations

import numpy as np
import pytest

for needed in ("torch", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

import onnx  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402

from tests.export.traced import VARIANTS, lively, name_of, trace_once  # noqa: E402
from tsfmicro.export.onnx_graph import in_precision  # noqa: E402
from tsfmicro.export.parity import compare, probe_pairs  # noqa: E402
from tsfmicro.models.config import ModelConfig  # noqa: E402
from tsfmicro.runners.precision import Precision  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.mark.slow
@pytest.mark.parametrize("config", VARIANTS, ids=name_of)
def test_the_graph_agrees_with_the_network(config: ModelConfig) -> None:
    fused = lively(config)
    model = in_precision(trace_once(fused), Precision.FLOAT32)
    graph = onnx.load_from_string(model).graph
    shapes = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.input]
    assert [v.name for v in graph.input] == ["onset", "apex"]
    assert shapes == [["batch", 224, 224, 3]] * 2
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        onset, apex = probe_pairs(batch, seed=batch)
        with torch.inference_mode():
            probabilities, logits = fused(torch.from_numpy(onset), torch.from_numpy(apex))
        found = session.run(["probabilities", "logits"], {"onset": onset, "apex": apex})
        np.testing.assert_allclose(found[0], probabilities.numpy(), rtol=0, atol=1e-5)
        parity = compare(logits.numpy(), found[1])
        assert parity.passed(1e-5), parity
        assert logits.std() > 0.01, "logits too even for the comparison to mean anything"
