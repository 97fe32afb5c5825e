"""An engine on the card: TensorRT and TensorRT-RTX behind one class, since their Python interfaces are the same.

Everything is fixed when a thread first comes with a batch of some size: an execution context, a stream that is not the
default one, device buffers and pinned host buffers. After a warm-up the copies and the engine are one CUDA graph, and a
pair costs one launch. A context of its own for each size, because a captured graph is no longer valid once its context
was given another shape. TensorRT-RTX captures its graph itself.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from tsfmicro.bundle import Bundle
from tsfmicro.errors import BackendError
from tsfmicro.models.fdp.config import WINDOW_PX
from tsfmicro.runners.cuda import Cuda
from tsfmicro.values import Float32Array, UInt8Array

MODULES: Mapping[str, str] = {
    "tensorrt": "tensorrt",
    "torch-tensorrt": "tensorrt",
    "tensorrt-rtx": "tensorrt_rtx",
}
"""Python module that runs an engine of each kind."""
EXTRAS: Mapping[str, str] = {"tensorrt": "tensorrt", "torch-tensorrt": "tensorrt", "tensorrt-rtx": "rtx"}
"""Extra of this project that brings it."""
_WARM_UPS = 2


@dataclass(frozen=True, slots=True)
class EngineLayout:
    """Names and shapes, without the batch, of what goes into an engine and what comes out."""

    inputs: Mapping[str, tuple[int, ...]]
    """uint8."""
    outputs: Mapping[str, tuple[int, ...]]
    """float32."""


def pair_layout(side_px: int, classes: int) -> EngineLayout:
    """Onset and apex in, probabilities and logits out."""
    crop = (side_px, side_px, 3)
    return EngineLayout({"onset": crop, "apex": crop}, {"probabilities": (classes,), "logits": (classes,)})


def layout_of(bundle: Bundle) -> EngineLayout:
    """What the engines of a bundle take and give.

    Raises:
        ContractError: if the manifest does not describe a network of this version.
    """
    manifest = bundle.manifest
    pairs = pair_layout(manifest.preprocess.align.size_px, len(manifest.labels))
    if not manifest.model.reads_windows:
        return pairs
    window = manifest.model.window_config()
    image = {"dynamic_image": (WINDOW_PX, WINDOW_PX)} if window.dynamic_image == "constructed" else {}
    return EngineLayout({"frames": (window.frames, *pairs.inputs["onset"])}, {**pairs.outputs, **image})


def runtime_module(kind: str) -> Any:
    """The TensorRT that runs engines of this kind.

    Raises:
        BackendError: if it is not installed or cannot be loaded, with what to type.
    """
    try:
        return import_module(MODULES[kind])
    except (ImportError, OSError, RuntimeError) as error:  # its libraries raise what they like
        raise BackendError(
            f"{MODULES[kind]} cannot be used here ({error}); type `pip install 'tsfmicro[{EXTRAS[kind]}]'`"
        ) from error


def _names_of(engine: Any, trt: Any, layout: EngineLayout) -> dict[str, str]:
    """What the engine itself calls the inputs and outputs of the layout.

    Engines of a graph have its names. Torch-TensorRT calls outputs ``output0`` and so on, in their order.
    """
    listed = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    taken = {name for name in listed if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT}
    given = {name for name in listed if name not in taken}
    inputs = {name: name for name in layout.inputs}
    numbered = {name: f"output{place}" for place, name in enumerate(layout.outputs)}
    for outputs in ({name: name for name in layout.outputs}, numbered):
        if taken == {*inputs} and given == {*outputs.values()}:
            return inputs | outputs
    raise BackendError(f"the engine has {', '.join(listed)}; expected {', '.join((*layout.inputs, *layout.outputs))}")


@dataclass(slots=True, eq=False)
class _Lane:
    """What one thread computes batches of one size with."""

    batch: int
    context: Any
    stream: int
    device: dict[str, int]
    """Address of each tensor's buffer on the card."""
    host: dict[str, UInt8Array]
    """Pinned bytes of the same size."""
    graph: int | None = None
    """The captured graph, where it is captured here."""


class Engine:
    """A deserialised engine. :meth:`run` may be called from several threads at once."""

    def __init__(self, plan: bytes, kind: str, layout: EngineLayout, max_batch: int, cuda: Cuda) -> None:
        """Deserialise. Executes what is in ``plan``: verify where it comes from first.

        Args:
            plan: of an engine of this very kind and version.
            kind: one of :data:`MODULES`.
            layout: what goes in and what comes out.
            max_batch: largest batch of its profile.
            cuda: the card; belongs to the engine from now on.

        Raises:
            BackendError: if the runtime is missing or refuses the engine, or the engine takes or gives something else.
        """
        trt = runtime_module(kind)
        self._trt, self._cuda, self._is_rtx = trt, cuda, kind == "tensorrt-rtx"
        self._max_batch, self._layout = max_batch, layout
        self._logger: Any = trt.Logger(trt.Logger.ERROR)
        runtime: Any = trt.Runtime(self._logger)
        engine: Any = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise BackendError(
                f"{MODULES[kind]} {trt.__version__} refuses the engine on this {cuda.card().name}; see its message"
            )
        self._runtime, self._engine = runtime, engine
        self._names = _names_of(engine, trt, layout)
        self._lanes: list[_Lane] = []
        self._of_thread = threading.local()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, *crops: UInt8Array) -> tuple[Float32Array, ...]:
        """The outputs of the layout, (B, ...) float32 each, of its inputs, (B, ...) uint8; any B of 1 or more.

        Raises:
            BackendError: if the card or the engine fails, or it is closed.
        """
        if self._closed:
            raise BackendError("the engine is closed")
        parts = [
            self._run_part([array[start : start + self._max_batch] for array in crops])
            for start in range(0, len(crops[0]), self._max_batch)
        ]
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))

    def close(self) -> None:
        """Free everything on the card. No thread may be in :meth:`run`. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._cuda.enter()
        for lane in self._lanes:
            self._cuda.wait(lane.stream)
            if lane.graph is not None:
                self._cuda.free_graph(lane.graph)
            lane.context = None
            for name, address in lane.device.items():
                self._cuda.free(address)
                self._cuda.free_pinned(lane.host[name])
            self._cuda.free_stream(lane.stream)
        self._lanes.clear()
        self._engine = self._runtime = None
        self._cuda.close()

    def _lane(self, batch: int) -> _Lane:
        lanes: dict[int, _Lane] | None = getattr(self._of_thread, "lanes", None)
        if lanes is None:
            self._cuda.enter()
            lanes = self._of_thread.lanes = {}
        if batch not in lanes:
            with self._lock:  # contexts are made one at a time
                lanes[batch] = self._new_lane(batch)
                self._lanes.append(lanes[batch])
        return lanes[batch]

    def _new_lane(self, batch: int) -> _Lane:
        engine = self._engine
        if self._is_rtx:
            config: Any = engine.create_runtime_config()
            config.cuda_graph_strategy = self._trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            context: Any = engine.create_execution_context(config)
        else:
            context = engine.create_execution_context()
        if context is None:
            raise BackendError("the engine gives no execution context; is the card's memory full?")
        sizes = {name: batch * math.prod(shape) for name, shape in self._layout.inputs.items()}
        sizes |= {name: 4 * batch * math.prod(shape) for name, shape in self._layout.outputs.items()}
        lane = _Lane(
            batch,
            context,
            self._cuda.stream(),
            {name: self._cuda.allocate(size) for name, size in sizes.items()},
            {name: self._cuda.pinned(size) for name, size in sizes.items()},
        )
        for name, address in lane.device.items():
            context.set_tensor_address(self._names[name], address)
        for name, shape in self._layout.inputs.items():
            if not context.set_input_shape(self._names[name], (batch, *shape)):
                raise BackendError(f"the engine takes no batch of {batch}, though its sidecar says so")
        for _ in range(_WARM_UPS):
            self._enqueue(lane)
        self._cuda.wait(lane.stream)
        if not self._is_rtx:
            self._capture(lane)
        return lane

    def _capture(self, lane: _Lane) -> None:
        """Record copies and engine; what the engine sets up when it first runs is done by now."""
        self._cuda.begin_capture(lane.stream)
        try:
            self._enqueue(lane)
        except BackendError:
            with suppress(BackendError):  # the first failure is the one to tell of
                self._cuda.free_graph(self._cuda.end_capture(lane.stream))
            raise
        lane.graph = self._cuda.end_capture(lane.stream)

    def _enqueue(self, lane: _Lane) -> None:
        for name in self._layout.inputs:
            self._cuda.upload(lane.device[name], lane.host[name], lane.stream)
        context = lane.context
        if not context.execute_async_v3(lane.stream):
            raise BackendError(f"the engine failed on a batch of {lane.batch}; see its message above")
        for name in self._layout.outputs:
            self._cuda.download(lane.host[name], lane.device[name], lane.stream)

    def _run_part(self, crops: Sequence[UInt8Array]) -> list[Float32Array]:
        lane = self._lane(len(crops[0]))
        for name, array in zip(self._layout.inputs, crops, strict=True):
            lane.host[name].reshape(array.shape)[...] = array
        if lane.graph is None:
            self._enqueue(lane)
        else:
            self._cuda.launch(lane.graph, lane.stream)
        self._cuda.wait(lane.stream)
        return [
            lane.host[name].view(np.float32).reshape(lane.batch, *shape).copy()
            for name, shape in self._layout.outputs.items()
        ]
