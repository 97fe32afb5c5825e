"""How torch computes a network, whatever crops it takes: eager, compiled, or on a card as one CUDA graph."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tsfmicro.errors import BackendError
from tsfmicro.runners.precision import Precision
from tsfmicro.values import Float32Array, UInt8Array

Network = Callable[..., tuple[Tensor, ...]]
Forward = Callable[..., tuple[Float32Array, ...]]
"""(B, ...) uint8 crops in, (B, ...) float32 answers out, as many of each as the network has."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A network where it computes."""

    forward: Forward
    device: str
    """``"cpu"``, or the name of the card."""
    precision: str
    """Of products; norms and softmax are always float32."""


def place(
    backend: str,
    threads: int | None,
    build: Callable[[], nn.Module],
    crops: tuple[UInt8Array, ...],
    on_card: Precision,
) -> Placed:
    """Make a network ready for calls.

    Args:
        backend: ``"torch"``, ``"torch-compiled"`` (which takes minutes to compile) or ``"cuda"``.
        threads: torch keeps one thread count for the whole process, so it is changed only where one is given.
        build: makes the network in evaluation mode, once it is known that the backend can be used.
        crops: what it takes, two of each, to compile it with.
        on_card: precision of its products on a card; on the CPU it is float32.

    Raises:
        BackendError: if there is no card that torch can use, or no compiler.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if backend == "cuda" and not torch.cuda.is_available():
        raise BackendError(
            "backend cuda needs an NVIDIA card that torch can use, and none is here; use --backend onnxruntime"
        )
    network = build()
    match backend:
        case "cuda":
            return Placed(CudaForward(network, on_card), torch.cuda.get_device_name(), on_card.value)
        case "torch-compiled":
            return Placed(_compiled(network, crops), "cpu", "float32")
    return Placed(functools.partial(_eager, network), "cpu", "float32")


def _eager(network: Network, *crops: UInt8Array) -> tuple[Float32Array, ...]:
    # torch.tensor copies: torch warns about arrays it may not write to, and views of crops are such arrays.
    with torch.inference_mode():
        return tuple(answer.numpy() for answer in network(*(torch.tensor(array) for array in crops)))


def _compiled(network: nn.Module, crops: tuple[UInt8Array, ...]) -> Forward:
    """The network through torch's compiler, for any batch; compiled here, so that no event waits for it.

    Raises:
        BackendError: if there is no working compiler.
    """
    forward = functools.partial(_eager, torch.compile(network, dynamic=True))
    try:
        forward(*crops)
        forward(*(array[:1] for array in crops))
    except Exception as error:  # whatever the compiler or the C++ compiler behind it raise
        said = (str(error).strip() or repr(error)).splitlines()[0]
        raise BackendError(f"backend torch-compiled cannot compile here: {said}") from error
    return forward


class CudaForward:
    """The network on a card, products in ``precision`` and norms and softmax in float32.

    One CUDA graph for each batch size, with its own pinned and device buffers; one call at a time.
    """

    def __init__(self, network: nn.Module, precision: Precision) -> None:
        self._precision = precision
        self._network: Network = network.cuda()
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._graphs: dict[int, _CudaGraph] = {}
        self._lock = threading.Lock()

    def __call__(self, *crops: UInt8Array) -> tuple[Float32Array, ...]:
        """See :data:`Forward`."""
        batch = len(crops[0])
        with self._lock, torch.inference_mode():
            if batch not in self._graphs:
                self._graphs[batch] = self._capture([array.shape for array in crops])
            graph = self._graphs[batch]
            for pinned, array in zip(graph.pinned_inputs, crops, strict=True):
                pinned.numpy()[...] = array
            with torch.cuda.stream(self._stream):
                graph.graph.replay()
            self._stream.synchronize()
            return tuple(answer.numpy().copy() for answer in graph.pinned_outputs)

    def _capture(self, shapes: list[tuple[int, ...]]) -> _CudaGraph:
        pinned = [torch.zeros(shape, dtype=torch.uint8).pin_memory() for shape in shapes]
        inputs = [array.cuda() for array in pinned]
        with torch.cuda.stream(self._stream):
            for _ in range(3):  # lets libraries choose their kernels and allocate
                outputs = self._run(inputs)
        self._stream.synchronize()
        results = [torch.zeros(output.shape, dtype=output.dtype).pin_memory() for output in outputs]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            for on_card, array in zip(inputs, pinned, strict=True):
                on_card.copy_(array, non_blocking=True)
            for result, output in zip(results, self._run(inputs), strict=True):
                result.copy_(output, non_blocking=True)
        return _CudaGraph(graph, pinned, inputs, results)

    def _run(self, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        with products_in(self._precision, "cuda"):
            return self._network(*inputs)


@contextmanager
def products_in(precision: Precision, device: str) -> Iterator[None]:
    """What torch computes in here, it computes in this precision.

    In float32 without TensorFloat-32, which torch allows convolutions by itself: it has no more digits than float16.

    Args:
        precision: of products.
        device: type of the device.
    """
    if precision is Precision.FLOAT16:
        with torch.autocast(device, torch.float16):
            yield
        return
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@dataclass(frozen=True, slots=True, eq=False)
class _CudaGraph:
    """A captured batch size; the tensors are where the graph reads and writes."""

    graph: torch.cuda.CUDAGraph
    pinned_inputs: list[Tensor]
    inputs: list[Tensor]
    pinned_outputs: list[Tensor]
