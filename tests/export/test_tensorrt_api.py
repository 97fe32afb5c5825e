"""Every TensorRT name our code uses exists in TensorRT 10.15, 11.0 and 11.4 and in TensorRT-RTX."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("export/tensorrt_builder.py", "tsfmicro/runners/tensorrt_engine.py")
VERSIONS = ("10.15", "11.0", "11.4")
CLASSES = {
    ("export/tensorrt_builder.py", "builder"): "Builder",
    ("export/tensorrt_builder.py", "network"): "INetworkDefinition",
    ("export/tensorrt_builder.py", "parser"): "OnnxParser",
    ("export/tensorrt_builder.py", "told"): "ParserError",
    ("export/tensorrt_builder.py", "config"): "IBuilderConfig",
    ("export/tensorrt_builder.py", "profile"): "IOptimizationProfile",
    ("export/tensorrt_builder.py", "layer"): "ILayer",
    ("export/tensorrt_builder.py", "tensor"): "ITensor",
    ("export/tensorrt_builder.py", "cache"): "ITimingCache",
    ("tsfmicro/runners/tensorrt_engine.py", "runtime"): "Runtime",
    ("tsfmicro/runners/tensorrt_engine.py", "engine"): "ICudaEngine",
    ("tsfmicro/runners/tensorrt_engine.py", "context"): "IExecutionContext",
    ("tsfmicro/runners/tensorrt_engine.py", "config"): "IRuntimeConfig",
}
"""Which class a variable of a source file is of."""
RTX_ONLY = {
    ("ComputeCapability", ""),
    ("ComputeCapability", "__members__"),
    ("CudaGraphStrategy", ""),
    ("CudaGraphStrategy", "WHOLE_GRAPH_CAPTURE"),
    ("IBuilderConfig", "num_compute_capabilities"),
    ("IBuilderConfig", "set_compute_capability"),
    ("IRuntimeConfig", "cuda_graph_strategy"),
    ("ICudaEngine", "create_runtime_config"),
}
"""Behind ``kind == "tensorrt-rtx"`` in our code; whatever full TensorRT has of them."""


def used_names() -> set[tuple[str, str]]:
    """(class, member) of everything the sources name; ("Builder", "") for the class itself."""
    found: set[tuple[str, str]] = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse((ROOT / source).read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute):
                continue
            chain = ast.unparse(node).replace("self._trt", "trt").split(".")
            if chain[0] == "trt" and len(chain) > 1 and "__version__" not in chain:
                members = [part for part in chain[1:] if part not in ("ILogger", "__init__")] or ["ILogger"]
                found.add((members[0], members[1] if len(members) > 1 else ""))
            elif (source, chain[0]) in CLASSES and len(chain) >= 2 and chain[1].isidentifier():
                found.add((CLASSES[source, chain[0]], chain[1]))
    return found


def test_the_names_are_really_found() -> None:
    """Without this, a renamed variable would leave the other tests with nothing to look at."""
    wanted = {
        ("Builder", "build_serialized_network"),
        ("INetworkDefinition", "get_layer"),
        ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"),
        ("OnnxParser", "parse"),
        ("ParserError", "desc"),
        ("IBuilderConfig", "clear_flag"),
        ("IBuilderConfig", "set_timing_cache"),
        ("ITimingCache", "serialize"),
        ("Runtime", "deserialize_cuda_engine"),
        ("IExecutionContext", "execute_async_v3"),
        ("IExecutionContext", "set_tensor_address"),
        *RTX_ONLY,
    }
    assert wanted <= used_names()
    assert {name for _, name in CLASSES.items()} <= {name for name, _ in used_names()}


def test_no_precision_flag_is_touched() -> None:
    """TensorRT 11 has none any more but TF32's, which is cleared, and 10 refuses the others beside strong typing."""
    assert not {member for _, member in used_names()} & {"FP16", "BF16", "INT8", "set_flag", "flags"}
    assert {member for name, member in used_names() if name == "BuilderFlag"} == {"", "TF32"}


@pytest.mark.parametrize("version", VERSIONS)
def test_tensorrt_has_them(version: str) -> None:
    listed = json.loads((Path(__file__).parent / "tensorrt_api" / f"{version}.json").read_text(encoding="utf-8"))
    assert listed["version"].startswith(version)
    known = {(name, "") for name in listed["classes"]}
    known |= {(name, member) for name, members in listed["classes"].items() for member in members}
    missing = used_names() - known - RTX_ONLY
    assert not missing, f"TensorRT {listed['version']} has no {sorted(missing)}"


def test_tensorrt_rtx_has_them() -> None:
    rtx = pytest.importorskip("tensorrt_rtx", reason="type: pip install 'tsfmicro[rtx]'")
    missing = {
        (name, member)
        for name, member in used_names()
        if not hasattr(rtx, "ILogger" if name == "Severity" else name)
        or (member and not hasattr(rtx.ILogger.Severity if name == "Severity" else getattr(rtx, name), member))
    }
    assert not missing, f"TensorRT-RTX {rtx.__version__} has no {sorted(missing)}"
