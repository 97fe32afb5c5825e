"""The network itself in PyTorch: eager, the reference; compiled; or on an NVIDIA card as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from tsfmicro.bundle import WEIGHTS_FILE, Bundle
from tsfmicro.closing import Closing
from tsfmicro.errors import BundleError, ContractError
from tsfmicro.models.config import INPUT_PX, SPATIAL_PX
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.models.interface import Network
from tsfmicro.models.network import build
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.contract import RunnerOutput, require_crops
from tsfmicro.runners.precision import Precision
from tsfmicro.runners.torch_forward import Forward, place
from tsfmicro.values import UInt8Array

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
        two = np.zeros((2, INPUT_PX, INPUT_PX, 3), np.uint8)
        placed = place(backend, threads, lambda: load_fused(bundle), (two, two), Precision.FLOAT16)
        self.device, self.precision = placed.device, placed.precision
        self._forward: Forward | None = placed.forward

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
