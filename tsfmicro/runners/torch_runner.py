"""The reference runner: the network itself in PyTorch, on the CPU. The only file of this package that knows torch."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import numpy as np
import torch

from tsfmicro.bundle import WEIGHTS_FILE, Bundle
from tsfmicro.errors import BundleError, ContractError
from tsfmicro.models.config import INPUT_PX, SPATIAL_PX
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.models.interface import Network
from tsfmicro.models.network import build
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.contract import RunnerOutput, require_crops
from tsfmicro.values import UInt8Array


class TorchRunner:
    """Runs ``weights.safetensors`` in float32."""

    backend = "torch"
    device = "cpu"

    def __init__(self, bundle: Bundle, threads: int | None) -> None:
        """Build the network of the manifest and load its weights.

        Args:
            bundle: verified.
            threads: torch keeps one thread count for the whole process, so it is changed only where one is given.

        Raises:
            BundleError: if manifest and weights do not describe one network of this version.
        """
        self.labels: tuple[str, ...] = bundle.manifest.labels
        self.preprocess: PreprocessSpec = bundle.manifest.preprocess
        if threads is not None:
            torch.set_num_threads(threads)
        self._fused: FusedRecognizer | None = load_fused(bundle)

    def __repr__(self) -> str:
        return f"TorchRunner(device={self.device!r}, labels={self.labels})"

    def infer(self, onset: UInt8Array, apex: UInt8Array) -> RunnerOutput:
        """See ``Runner.infer``.

        Raises:
            ContractError: on wrong crops, or after :meth:`close`.
        """
        require_crops(onset, apex, self.preprocess)
        if self._fused is None:
            raise ContractError("the runner is closed; load the bundle again")
        return self._infer(self._fused, onset, apex)

    def _infer(self, fused: FusedRecognizer, onset: UInt8Array, apex: UInt8Array) -> RunnerOutput:
        # torch.tensor copies: torch warns about arrays it may not write to, and views of crops are such arrays.
        with torch.inference_mode():
            probabilities, logits = fused(torch.tensor(onset), torch.tensor(apex))
        return RunnerOutput(probabilities=probabilities.numpy(), logits=logits.numpy())

    def close(self) -> None:
        """Free the network. Closing twice is harmless."""
        self._fused = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
    try:
        network = build(card.config())
        tensors = {name: torch.from_numpy(np.ascontiguousarray(t)) for name, t in bundle.weights().items()}
        network.load_state_dict(tensors)
    except (ContractError, RuntimeError) as error:  # load_state_dict raises RuntimeError on wrong names and shapes
        reason = str(error).strip().splitlines()
        raise BundleError(
            f"{bundle.path / WEIGHTS_FILE} does not fit the network {card}: {' '.join(reason[:2])}"
        ) from error
    return network
