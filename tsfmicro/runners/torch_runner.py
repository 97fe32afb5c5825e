"""The network itself in PyTorch: eager, the reference; compiled; or on an NVIDIA card as one CUDA graph.

The only file of this package that knows torch.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from tsfmicro.bundle import WEIGHTS_FILE, Bundle
from tsfmicro.closing import Closing
from tsfmicro.errors import BackendError, BundleError, ContractError
from tsfmicro.models.config import INPUT_PX, SPATIAL_PX
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.models.interface import Network
from tsfmicro.models.network import build
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.contract import RunnerOutput, require_crops
from tsfmicro.values import Float32Array, UInt8Array

Forward = Callable[[UInt8Array, UInt8Array], tuple[Float32Array, Float32Array]]
"""Crops in, probabilities and logits out."""
AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


class TorchRunner(Closing):
    """Runs ``weights.safetensors``; on the CPU in float32, on a card with products in float16.

    :meth:`infer` may be called from several threads at once.
    """

    def __init__(self, bundle: Bundle, backend: str, threads: int | None) -> None:
        """Build the network of the manifest and load its weights.

        Args:
            bundle: verified.
            backend: ``"torch"``, ``"torch-compiled"`` (which takes minutes to compile) or ``"cuda"``.
            threads: torch keeps one thread count for the whole process, so it is changed only where one is given.

        Raises:
            BundleError: if manifest and weights do not describe one network of this version.
            BackendError: if there is no card that torch can use, or no compiler.
        """
        self.backend = backend
        self.labels: tuple[str, ...] = bundle.manifest.labels
        self.preprocess: PreprocessSpec = bundle.manifest.preprocess
        if threads is not None:
            torch.set_num_threads(threads)
        if backend == "cuda" and not torch.cuda.is_available():
            raise BackendError(
                "backend cuda needs an NVIDIA card that torch can use, and none is here; use --backend onnxruntime"
            )
        fused = load_fused(bundle)
        self.device, self.precision = "cpu", "float32"
        self._forward: Forward | None
        if backend == "cuda":
            self.device, self.precision = torch.cuda.get_device_name(), "float16"
            self._forward = CudaForward(fused)
        elif backend == "torch-compiled":
            self._forward = _compiled(fused)
        else:
            self._forward = functools.partial(_eager, fused)

    def __repr__(self) -> str:
        return f"TorchRunner(backend={self.backend!r}, device={self.device!r}, labels={self.labels})"

    def infer(self, onset: UInt8Array, apex: UInt8Array) -> RunnerOutput:
        """See ``Runner.infer``.

        Raises:
            ContractError: on wrong crops, or after :meth:`close`.
        """
        require_crops(onset, apex, self.preprocess)
        if self._forward is None:
            raise ContractError("the runner is closed; load the bundle again")
        probabilities, logits = self._forward(onset, apex)
        return RunnerOutput(probabilities=probabilities, logits=logits)

    def close(self) -> None:
        """Free the network. Closing twice is harmless."""
        self._forward = None


def _eager(
    fused: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], onset: UInt8Array, apex: UInt8Array
) -> tuple[Float32Array, Float32Array]:
    # torch.tensor copies: torch warns about arrays it may not write to, and views of crops are such arrays.
    with torch.inference_mode():
        probabilities, logits = fused(torch.tensor(onset), torch.tensor(apex))
    return probabilities.numpy(), logits.numpy()


def _compiled(fused: FusedRecognizer) -> Forward:
    """The network through torch's compiler, for any batch; compiled here, so that no event waits for it.

    Raises:
        BackendError: if there is no working compiler.
    """
    forward = functools.partial(_eager, torch.compile(fused, dynamic=True))
    crops = np.zeros((2, INPUT_PX, INPUT_PX, 3), np.uint8)
    try:
        forward(crops, crops)
        forward(crops[:1], crops[:1])
    except Exception as error:  # whatever the compiler or the C++ compiler behind it raise
        said = (str(error).strip() or repr(error)).splitlines()[0]
        raise BackendError(f"backend torch-compiled cannot compile here: {said}") from error
    return forward


class CudaForward:
    """The network on a card, products in float16 and norms and softmax in float32 (torch's autocast).

    One CUDA graph for each batch size, with its own pinned and device buffers; one call at a time.
    """

    def __init__(self, fused: FusedRecognizer) -> None:
        self._fused = fused.cuda()
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._graphs: dict[int, _CudaGraph] = {}
        self._lock = threading.Lock()

    def __call__(self, onset: UInt8Array, apex: UInt8Array) -> tuple[Float32Array, Float32Array]:
        """See :data:`Forward`."""
        batch = len(onset)
        with self._lock, torch.inference_mode():
            if batch not in self._graphs:
                self._graphs[batch] = self._capture(batch)
            graph = self._graphs[batch]
            for pinned, crops in zip(graph.pinned_inputs, (onset, apex), strict=True):
                pinned.numpy()[...] = crops
            with torch.cuda.stream(self._stream):
                graph.graph.replay()
            self._stream.synchronize()
            return graph.pinned_outputs[0].numpy().copy(), graph.pinned_outputs[1].numpy().copy()

    def _capture(self, batch: int) -> _CudaGraph:
        shape = (batch, INPUT_PX, INPUT_PX, 3)
        pinned = [torch.zeros(shape, dtype=torch.uint8).pin_memory() for _ in range(2)]
        inputs = [crops.cuda() for crops in pinned]
        with torch.cuda.stream(self._stream):
            for _ in range(3):  # lets libraries choose their kernels and allocate
                outputs = self._run(inputs)
        self._stream.synchronize()
        results = [torch.zeros(output.shape, dtype=output.dtype).pin_memory() for output in outputs]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            for on_card, crops in zip(inputs, pinned, strict=True):
                on_card.copy_(crops, non_blocking=True)
            for result, output in zip(results, self._run(inputs), strict=True):
                result.copy_(output, non_blocking=True)
        return _CudaGraph(graph, pinned, inputs, results)

    def _run(self, inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
        with torch.autocast("cuda", torch.float16):
            probabilities, logits = self._fused(*inputs)
        return probabilities, logits


@dataclass(frozen=True, slots=True, eq=False)
class _CudaGraph:
    """A captured batch size; the tensors are where the graph reads and writes."""

    graph: torch.cuda.CUDAGraph
    pinned_inputs: list[Tensor]
    inputs: list[Tensor]
    pinned_outputs: list[Tensor]


def load_fused(bundle: Bundle) -> FusedRecognizer:
    """The bundle's network with its weights, normalisation and temperature, in evaluation mode.

    Raises:
        BundleError: if manifest and weights do not describe one network of this version.
    """
    spec = bundle.manifest.preprocess
    fused = FusedRecognizer(_load_network(bundle), spec.mean, spec.std, bundle.manifest.calibration.temperature)
    return fused.eval()


def _load_network(bundle: Bundle) -> Network:
    card, spec = bundle.manifest.model, bundle.manifest.preprocess
    if (spec.align.size_px, spec.spatial_px) != (INPUT_PX, SPATIAL_PX):
        raise BundleError(
            f"{bundle.path} has crops of {spec.align.size_px} px and {spec.spatial_px} px; "
            f"the network takes {INPUT_PX} px and {SPATIAL_PX} px"
        )
    return filled(bundle, lambda: build(card.config()))


def filled(bundle: Bundle, make: Callable[[], AnyNetwork]) -> AnyNetwork:
    """A network with the weights of the bundle.

    Args:
        bundle: verified.
        make: builds the network its manifest names; ContractError if this version has none such.

    Raises:
        BundleError: if manifest and weights do not describe one network of this version.
    """
    try:
        network = make()
        tensors = {name: torch.from_numpy(np.ascontiguousarray(t)) for name, t in bundle.weights().items()}
        network.load_state_dict(tensors)
    except (ContractError, RuntimeError) as error:  # load_state_dict raises RuntimeError on wrong names and shapes
        reason = str(error).strip().splitlines()
        raise BundleError(
            f"{bundle.path / WEIGHTS_FILE} does not fit the network {bundle.manifest.model}: {' '.join(reason[:2])}"
        ) from error
    return network
