"""Engines from ONNX graphs, by TensorRT 10 or 11, or by TensorRT-RTX, through one and the same interface.

The precision is the graph's. A network is always strongly typed, which TensorRT 10 has to be told and the others do
anyway, and the builder flag for FP16, which TensorRT 11 removed, is never touched. That for TensorFloat-32 is cleared:
by itself TensorRT rounds what float32 layers multiply to ten bits, as many as float16 has. After parsing, the types of
the matrix layers are read off the network. What is named here on ``trt``, ``builder``, ``network``, ``parser``,
``config``, ``profile``, ``layer`` and so on is held against the real interfaces by
``tests/export/test_tensorrt_api.py``.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsfmicro.errors import BackendError, UsageError
from tsfmicro.export.precision import MatrixLayer, require_precision
from tsfmicro.runners.cuda import card_here
from tsfmicro.runners.precision import Precision
from tsfmicro.runners.tensorrt_engine import runtime_module

_MATRIX_TYPES = frozenset({"CONVOLUTION", "DECONVOLUTION", "EINSUM", "MATRIX_MULTIPLY"})
_PRECISIONS = {"HALF": "float16", "FLOAT": "float32", "BF16": "bfloat16"}


@dataclass(frozen=True, slots=True)
class EngineOrder:
    """What engine to build.

    Raises:
        UsageError: when built with a choice that the kind does not have.
    """

    kind: str
    """``"tensorrt"``, ``"tensorrt-rtx"`` or ``"torch-tensorrt"``."""
    precision: Precision
    batch_profile: tuple[int, int, int] = (1, 1, 8)
    """Smallest batch, the one the engine is made quick for, and largest batch."""
    compute_capabilities: tuple[str, ...] = ()
    """Cards to build for, as in ``"8.9"``: TensorRT-RTX only, and empty for all it supports. TensorRT builds for the
    card it runs on."""
    timing_cache: Path | None = None
    """Measurements kept from build to build: TensorRT only, since TensorRT-RTX measures nothing when it builds."""

    def __post_init__(self) -> None:
        smallest, usual, largest = self.batch_profile
        if not 1 <= smallest <= usual <= largest:
            raise UsageError(f"the batch profile is {self.batch_profile}; expected 1 <= smallest <= usual <= largest")
        if self.compute_capabilities and self.kind != "tensorrt-rtx":
            raise UsageError(f"--compute-capability is for tensorrt-rtx; {self.kind} builds for the card it runs on")
        if self.timing_cache is not None and self.kind != "tensorrt":
            raise UsageError(f"--timing-cache is for tensorrt; {self.kind} keeps none")


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """An engine and what is known of it."""

    plan: bytes
    layers: tuple[MatrixLayer, ...]
    """Matrix layers of the network it was built from."""
    runtime_version: str
    compute_capabilities: tuple[str, ...]
    """Cards it is for; empty where the runtime decides when it loads it."""
    built_on: str
    """Name of the card, empty where there was none."""
    build_s: float


def build_engine(graph: bytes, order: EngineOrder) -> BuiltEngine:
    """Build an engine from an ONNX file.

    Args:
        graph: the file, of the precision that is ordered.
        order: of kind ``"tensorrt"`` or ``"tensorrt-rtx"``.

    Raises:
        BackendError: if the builder is not installed, needs a card that is not there, does not understand the graph, or
            the graph's matrix layers are not all of the ordered precision.
    """
    trt = runtime_module(order.kind)
    is_rtx = order.kind == "tensorrt-rtx"
    card = card_here()
    if card is None and not is_rtx:
        raise BackendError(
            "TensorRT builds an engine on the card it is for, and there is none here; build it there, or choose "
            "--target tensorrt-rtx, which needs no card to build, or --target onnx"
        )
    log = _log_of(order.kind)
    log.lines.clear()
    began_s = time.monotonic()
    builder: Any = trt.Builder(log)
    network: Any = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser: Any = trt.OnnxParser(network, log)
    if not parser.parse(graph):
        raise BackendError(f"{order.kind} does not understand the graph: {_parse_errors(parser)}. Nothing was written")
    layers = _network_layers(network)
    require_precision(layers, order.precision, f"the {order.kind} network")
    config: Any = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    profile: Any = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        crops: Any = network.get_input(index)
        profile.set_shape(crops.name, *((batch, *tuple(crops.shape)[1:]) for batch in order.batch_profile))
    config.add_optimization_profile(profile)
    if order.compute_capabilities:
        _set_capabilities(trt, config, order.compute_capabilities)
    if order.timing_cache is not None:
        _read_timing_cache(config, order.timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendError(f"{order.kind} builds no engine: {log.last() or 'it says nothing'}. Nothing was written")
    if order.timing_cache is not None:
        _write_timing_cache(config, order.timing_cache)
    return BuiltEngine(
        plan=bytes(plan),
        layers=layers,
        runtime_version=str(trt.__version__),
        compute_capabilities=order.compute_capabilities if is_rtx else ((card.capability,) if card else ()),
        built_on=card.name if card else "",
        build_s=time.monotonic() - began_s,
    )


@functools.cache
def _log_of(kind: str) -> Any:
    """One logger for the whole process: the libraries keep the first one they are given, and a pointer to it only."""
    trt = runtime_module(kind)

    class Log(trt.ILogger):  # type: ignore[misc, name-defined, unused-ignore]
        """Keeps errors for the message of an exception."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.lines.append(message.strip())

        def last(self) -> str:
            return "; ".join(self.lines[-2:])

    return Log()


def _parse_errors(parser: Any) -> str:
    found = []
    for index in range(min(parser.num_errors, 3)):
        told: Any = parser.get_error(index)
        found.append(f"{told.node_operator()} {told.node_name()}: {told.desc()}")
    return "; ".join(found) or "it does not say why"


def _network_layers(network: Any) -> tuple[MatrixLayer, ...]:
    found = []
    for index in range(network.num_layers):
        layer: Any = network.get_layer(index)
        if layer.type.name in _MATRIX_TYPES:
            tensor: Any = layer.get_input(0)
            kind = tensor.dtype.name
            found.append(MatrixLayer(layer.name, _PRECISIONS.get(kind, kind.lower())))
    return tuple(found)


def _set_capabilities(trt: Any, config: Any, capabilities: tuple[str, ...]) -> None:
    known = {name: value for name, value in trt.ComputeCapability.__members__.items() if name.startswith("SM")}
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        value = known.get(f"SM{capability.replace('.', '')}")
        if value is None or not config.set_compute_capability(value, index):
            supported = ", ".join(f"{name[2:-1]}.{name[-1]}" for name in known)
            raise BackendError(f"TensorRT-RTX builds for {supported}, not for compute capability {capability!r}")


def _read_timing_cache(config: Any, path: Path) -> None:
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise UsageError(f"the timing cache {path} cannot be read: {error.strerror}") from error
    cache: Any = config.create_timing_cache(content)
    if cache is None or not config.set_timing_cache(cache, False):
        raise BackendError(f"the timing cache {path} is of another card or version; delete it or name another file")


def _write_timing_cache(config: Any, path: Path) -> None:
    cache: Any = config.get_timing_cache()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(cache.serialize()))
    except OSError as error:
        raise UsageError(f"the timing cache {path} cannot be written: {error.strerror}") from error
