"""Networks and their graphs. Tracing takes seconds, so in a run of the tests every network is traced once."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

import onnx
import torch

from tsfmicro.export.onnx_graph import OPSET, trace
from tsfmicro.models.config import ModelConfig, family
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.models.network import build
from tsfmicro.preprocess import IMAGENET_MEAN, IMAGENET_STD

VARIANTS = [
    *(config for config in family() if config.size == "small"),
    ModelConfig(size="small", stem_gelus=4, resize="plain"),
    ModelConfig(size="small", patch_px=16),
    ModelConfig(size="small", fusion="t2s", t2s_add="after_blocks"),
    ModelConfig(size="small", fusion="spatial", spatial_input="apex"),
    ModelConfig(),
]


_GRAPHS: dict[tuple[str, float, str, int], bytes] = {}


def trace_once(fused: FusedRecognizer, opset: int = OPSET) -> onnx.ModelProto:
    """What ``trace`` makes of the network: a copy where the same network was traced before."""
    weights = sha256()
    for tensor in fused.state_dict().values():
        weights.update(tensor.numpy().tobytes())
    key = (repr(fused.network.config), fused.temperature, weights.hexdigest(), opset)
    if key not in _GRAPHS:
        _GRAPHS[key] = trace(fused, opset).SerializeToString()
    return onnx.load_from_string(_GRAPHS[key])


def name_of(config: ModelConfig) -> str:
    return "-".join([config.model, config.size, config.fusion, *map(str, config.options.values())])


@cache
def lively(config: ModelConfig) -> FusedRecognizer:
    """Random weights whose logits differ from pair to pair, and untidy batch norm statistics. All tests share it."""
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
