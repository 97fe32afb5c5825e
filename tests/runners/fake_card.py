"""A card, its driver and a TensorRT that exist in numpy only: enough to see what an engine does with them."""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from tsfmicro.errors import BackendError
from tsfmicro.runners.cuda import Card
from tsfmicro.values import Float32Array, UInt8Array

CLASSES = 5
MATRIX = np.random.default_rng(5).normal(size=(3, CLASSES)).astype(np.float32)


def fake_logits(onset: UInt8Array, apex: UInt8Array) -> Float32Array:
    """Mean colour of the difference times a matrix."""
    moved = (apex.astype(np.float32) - onset.astype(np.float32)).mean(axis=(1, 2))
    return np.asarray(moved @ MATRIX, dtype=np.float32)


def fake_window_logits(frames: UInt8Array) -> Float32Array:
    """The same of the first frame of each window and its last."""
    return fake_logits(frames[:, 0], frames[:, -1])


def fake_images(frames: UInt8Array) -> Float32Array:
    """(B, 64, 64) as bright as the last frame."""
    bright = frames[:, -1].mean(axis=(1, 2, 3)) / 255
    return np.asarray(np.broadcast_to(bright[:, None, None], (len(frames), 64, 64)), dtype=np.float32)


def softmax(logits: Float32Array) -> Float32Array:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


class FakeCuda:
    """Runs what is put into a stream at once, or records it while a capture is on."""

    def __init__(self, capability: str = "8.9") -> None:
        self._card = Card("Fake RTX", capability, "13.0")
        self._numbers = itertools.count(1)
        self.memory: dict[int, UInt8Array] = {}
        self.host: dict[int, UInt8Array] = {}
        self.streams: set[int] = set()
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.recording: list[Callable[[], None]] | None = None
        self.launches = 0
        self.entered = 0
        self.closed = False

    def enter(self) -> None:
        self.entered += 1

    def card(self) -> Card:
        return self._card

    def allocate(self, size: int) -> int:
        address = next(self._numbers) << 20
        self.memory[address] = np.zeros(size, np.uint8)
        return address

    def free(self, address: int) -> None:
        del self.memory[address]

    def pinned(self, size: int) -> UInt8Array:
        memory = np.zeros(size, np.uint8)
        self.host[memory.ctypes.data] = memory
        return memory

    def free_pinned(self, memory: UInt8Array) -> None:
        del self.host[memory.ctypes.data]

    def stream(self) -> int:
        self.streams.add(number := next(self._numbers))
        return number

    def free_stream(self, stream: int) -> None:
        self.streams.remove(stream)

    def wait(self, stream: int) -> None:
        assert stream in self.streams and self.recording is None

    def put(self, stream: int, work: Callable[[], None]) -> None:
        assert stream in self.streams, "work in the default stream, or one that is gone"
        if self.recording is None:
            work()
        else:
            self.recording.append(work)

    def upload(self, to_device: int, memory: UInt8Array, stream: int) -> None:
        assert memory.ctypes.data in self.host, "copied from memory that is not pinned"
        self.put(stream, lambda: np.copyto(self.memory[to_device], memory))

    def download(self, memory: UInt8Array, from_device: int, stream: int) -> None:
        assert memory.ctypes.data in self.host, "copied to memory that is not pinned"
        self.put(stream, lambda: np.copyto(memory, self.memory[from_device]))

    def begin_capture(self, stream: int) -> None:
        assert self.recording is None
        self.recording = []

    def end_capture(self, stream: int) -> int:
        assert self.recording is not None
        number = next(self._numbers)
        self.graphs[number], self.recording = self.recording, None
        return number

    def launch(self, graph: int, stream: int) -> None:
        self.launches += 1
        for work in self.graphs[graph]:
            self.put(stream, work)

    def free_graph(self, graph: int) -> None:
        del self.graphs[graph]

    def close(self) -> None:
        self.closed = True

    def nothing_left(self) -> bool:
        return not (self.memory or self.host or self.streams or self.graphs) and self.closed


class FakeContext:
    def __init__(self, trt: FakeTensorRt, config: Any) -> None:
        self.trt, self.config = trt, config
        self.addresses: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.runs = 0

    def set_tensor_address(self, name: str, address: int) -> None:
        assert name in (*self.trt.inputs, *self.trt.outputs)
        self.addresses[name] = address

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name in self.trt.inputs
        assert self.runs == 0, "the shape of a context was changed after its graph was captured"
        self.shapes[name] = shape
        return shape[0] <= self.trt.max_batch

    def execute_async_v3(self, stream: int) -> bool:
        self.runs += 1
        cuda, trt = self.trt.cuda, self.trt

        def work() -> None:
            crops = [
                cuda.memory[self.addresses[name]][: np.prod(shape)].reshape(shape)
                for name, shape in self.shapes.items()
            ]
            logits = trt.compute(*crops)
            answers = (softmax(logits), logits, fake_images(crops[0]) if len(trt.outputs) == 3 else None)
            for name, values in zip(trt.outputs, answers, strict=False):
                flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
                cuda.memory[self.addresses[name]][: flat.size] = flat

        if trt.fails:
            return False
        cuda.put(stream, work)
        return True


class FakeTensorRt(types.SimpleNamespace):
    """A module ``tensorrt`` or ``tensorrt_rtx`` whose engines compute :func:`fake_logits`."""

    def __init__(self, cuda: FakeCuda, version: str = "1.5.0.114", max_batch: int = 8) -> None:
        super().__init__()
        self.cuda, self.max_batch, self.__version__ = cuda, max_batch, version
        self.compute: Callable[..., Float32Array] = fake_logits
        self.inputs: tuple[str, ...] = ("onset", "apex")
        self.outputs: tuple[str, ...] = ("probabilities", "logits")
        self.fails = False
        self.refuses = False
        self.contexts: list[FakeContext] = []
        self.TensorIOMode = types.SimpleNamespace(INPUT="in", OUTPUT="out")
        self.CudaGraphStrategy = types.SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole")
        self.Logger = type("Logger", (), {"ERROR": 0, "__init__": lambda self, severity: None})

    def Runtime(self, logger: object) -> Any:
        names = (*self.inputs, *self.outputs)
        engine = types.SimpleNamespace(
            num_io_tensors=len(names),
            get_tensor_name=lambda index: names[index],
            get_tensor_mode=lambda name: "in" if name in self.inputs else "out",
            create_runtime_config=lambda: types.SimpleNamespace(cuda_graph_strategy=None),
            create_execution_context=self._context,
        )
        return types.SimpleNamespace(deserialize_cuda_engine=lambda plan: None if self.refuses else engine)

    def _context(self, config: Any = None) -> FakeContext:
        self.contexts.append(FakeContext(self, config))
        return self.contexts[-1]


def no_driver() -> Any:
    raise BackendError("no NVIDIA driver here (libcuda.so.1 is missing); engines need a card")
