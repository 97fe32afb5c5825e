"""FDP itself in PyTorch: eager, the reference; compiled; or on an NVIDIA card as one CUDA graph."""

from __future__ import annotations

import numpy as np

from tsfmicro.bundle import Bundle
from tsfmicro.closing import Closing
from tsfmicro.errors import BundleError, ContractError
from tsfmicro.models.config import INPUT_PX
from tsfmicro.models.fdp.fused import FusedWindow
from tsfmicro.models.fdp.network import build_fdp
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.contract import RunnerOutput
from tsfmicro.runners.precision import Precision
from tsfmicro.runners.torch_forward import Forward, place
from tsfmicro.runners.torch_runner import filled
from tsfmicro.runners.window_contract import WindowOutput, require_windows, window_config
from tsfmicro.values import UInt8Array


class TorchWindowRunner(Closing):
    """Runs ``weights.safetensors`` of an FDP bundle in float32, on a card too: frames hardly differ.

    :meth:`infer` may be called from several threads at once.
    """

    def __init__(self, bundle: Bundle, backend: str, threads: int | None) -> None:
        """Build the network of the manifest and load its weights.

        Args:
            bundle: verified.
            backend: ``"torch"``, ``"torch-compiled"`` (which takes minutes to compile) or ``"cuda"``.
            threads: torch keeps one thread count for the whole process, so it is changed only where one is given.

        Raises:
            BundleError: if manifest and weights do not describe one FDP of this version.
            BackendError: if there is no card that torch can use, or no compiler.
        """
        self.backend = backend
        self.labels: tuple[str, ...] = bundle.manifest.labels
        self.preprocess: PreprocessSpec = bundle.manifest.preprocess
        self.frames: int = window_config(bundle).frames
        two = np.zeros((2, self.frames, INPUT_PX, INPUT_PX, 3), np.uint8)
        placed = place(backend, threads, lambda: load_fused_window(bundle), (two,), Precision.FLOAT32)
        self.device, self.precision = placed.device, placed.precision
        self._forward: Forward | None = placed.forward

    def __repr__(self) -> str:
        return (
            f"TorchWindowRunner(backend={self.backend!r}, device={self.device!r}, frames={self.frames}, "
            f"labels={self.labels})"
        )

    def infer(self, frames: UInt8Array) -> WindowOutput:
        """See ``WindowRunner.infer``.

        Raises:
            ContractError: on wrong crops, or after :meth:`close`.
        """
        require_windows(frames, self.frames, self.preprocess)
        if self._forward is None:
            raise ContractError("the runner is closed; load the bundle again")
        probabilities, logits, *images = self._forward(frames)
        answers = RunnerOutput(probabilities=probabilities, logits=logits)
        return WindowOutput(answers, images[0] if images else None)

    def close(self) -> None:
        """Free the network. Closing twice is harmless."""
        self._forward = None


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
