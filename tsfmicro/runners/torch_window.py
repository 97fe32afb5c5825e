"""The reference runner of FDP: the network itself in PyTorch, on the CPU."""

from __future__ import annotations

import torch

from tsfmicro.bundle import Bundle
from tsfmicro.closing import Closing
from tsfmicro.errors import BundleError, ContractError
from tsfmicro.models.config import INPUT_PX
from tsfmicro.models.fdp.fused import FusedWindow
from tsfmicro.models.fdp.network import build_fdp
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.contract import RunnerOutput
from tsfmicro.runners.torch_runner import filled
from tsfmicro.runners.window_contract import WindowOutput, require_windows
from tsfmicro.values import UInt8Array


class TorchWindowRunner(Closing):
    """Runs ``weights.safetensors`` of an FDP bundle in float32."""

    backend = "torch"
    device = "cpu"

    def __init__(self, bundle: Bundle, threads: int | None) -> None:
        """Build the network of the manifest and load its weights.

        Args:
            bundle: verified.
            threads: torch keeps one thread count for the whole process, so it is changed only where one is given.

        Raises:
            BundleError: if manifest and weights do not describe one FDP of this version.
        """
        self.labels: tuple[str, ...] = bundle.manifest.labels
        self.preprocess: PreprocessSpec = bundle.manifest.preprocess
        if threads is not None:
            torch.set_num_threads(threads)
        fused = load_fused_window(bundle)
        self.frames: int = fused.network.config.frames
        self._fused: FusedWindow | None = fused

    def __repr__(self) -> str:
        return f"TorchWindowRunner(device={self.device!r}, frames={self.frames}, labels={self.labels})"

    def infer(self, frames: UInt8Array) -> WindowOutput:
        """See ``WindowRunner.infer``.

        Raises:
            ContractError: on wrong crops, or after :meth:`close`.
        """
        require_windows(frames, self.frames, self.preprocess)
        if self._fused is None:
            raise ContractError("the runner is closed; load the bundle again")
        # torch.tensor copies: torch warns about arrays it may not write to, and views of crops are such arrays.
        with torch.inference_mode():
            probabilities, logits, *images = (answer.numpy() for answer in self._fused(torch.tensor(frames)))
        answers = RunnerOutput(probabilities=probabilities, logits=logits)
        return WindowOutput(answers, images[0] if images else None)

    def close(self) -> None:
        """Free the network. Closing twice is harmless."""
        self._fused = None


def load_fused_window(bundle: Bundle) -> FusedWindow:
    """FDP of a bundle with its weights, normalisation and temperature, in evaluation mode.

    Raises:
        BundleError: if manifest and weights do not describe one FDP of this version.
    """
    card, spec = bundle.manifest.model, bundle.manifest.preprocess
    if spec.align.size_px != INPUT_PX:
        raise BundleError(f"{bundle.path} has crops of {spec.align.size_px} px; the network takes {INPUT_PX} px")
    network = filled(bundle, lambda: build_fdp(card.window_config()))
    return FusedWindow(network, spec.mean, spec.std, bundle.manifest.calibration.temperature).eval()
