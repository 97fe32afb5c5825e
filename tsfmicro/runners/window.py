"""Runners of recognisers that take windows of frames (FDP): what they offer, and how one is loaded.

Beside the runners of pairs, not among them: what goes in differs, and so does what else comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tsfmicro.bundle import Bundle
from tsfmicro.errors import BundleError, ContractError, UsageError
from tsfmicro.models.fdp.config import WINDOW_PX
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.choice import choose
from tsfmicro.runners.contract import LoadedBundle, RunnerOutput
from tsfmicro.runners.missing import not_installed
from tsfmicro.runners.threads import thread_count
from tsfmicro.values import Float32Array, UInt8Array, require_array

WINDOW_BACKENDS = ("auto", "onnxruntime", "torch", "tensorrt", "tensorrt-rtx")
"""Every name :func:`load_window` knows."""


@dataclass(frozen=True, slots=True, eq=False)
class WindowOutput:
    """What a recogniser returned for B windows.

    Raises:
        ContractError: when built with dynamic images of another shape, or that are not finite.
    """

    answers: RunnerOutput
    dynamic_images: Float32Array | None
    """(B, 64, 64) in 0..1: what moved when, as the network draws it; None from a network that draws none."""

    def __post_init__(self) -> None:
        if self.dynamic_images is not None:
            shape = (len(self.answers.logits), WINDOW_PX, WINDOW_PX)
            require_array("WindowOutput.dynamic_images", self.dynamic_images, shape, np.float32)
            if not np.all(np.isfinite(self.dynamic_images)):
                raise ContractError("WindowOutput.dynamic_images hold NaN or infinity; the weights are broken")


class WindowRunner(LoadedBundle, Protocol):
    """A loaded recogniser of windows. Leave the ``with`` block, or call :meth:`close`, to free what it holds."""

    @property
    def frames(self) -> int:
        """Frames of a window."""

    def infer(self, frames: UInt8Array) -> WindowOutput:
        """Recognise B windows.

        Args:
            frames: (B, T, S, S, 3) uint8 RGB crops as ``preprocess`` describes them, in the order of time, all held on
                the first; B at least 1.

        Raises:
            ContractError: on anything else, or after :meth:`close`.
        """


def require_windows(windows: UInt8Array, frames: int, preprocess: PreprocessSpec) -> None:
    """Check that these are (B, T, S, S, 3) uint8 crops, B at least 1.

    Raises:
        ContractError: saying what they are and what was expected.
    """
    side = preprocess.align.size_px
    require_array("frames of windows", windows, (None, frames, side, side, 3), np.uint8)
    if windows.shape[0] < 1:
        raise ContractError("frames hold 0 windows; expected at least one")


def load_window(bundle: Bundle, backend: str = "auto", threads: int | None = None) -> WindowRunner:
    """Load a verified FDP bundle into a runtime; ``runner.backend`` says which one it is.

    Args:
        bundle: from ``read_bundle``.
        backend: one of :data:`WINDOW_BACKENDS`; ``"auto"`` is what ``choose`` says. A backend that is named is used or
            refused, never replaced.
        threads: CPU threads for one window. By default the physical cores, four at most; torch keeps the count the
            process has.

    Raises:
        UsageError: if the backend is not known or ``threads`` is below 1.
        BackendError: if the backend cannot be used here.
        BundleError: if the bundle holds no FDP, or lacks what the backend loads.
        ParityError: if an engine does not compute on this card what the network computes.
    """
    count = thread_count(threads)
    if not bundle.manifest.model.reads_windows:
        raise BundleError(f"{bundle.path} holds {bundle.manifest.model.name}, which takes onset and apex, no windows")
    match choose(bundle).backend if backend == "auto" else backend:
        case "onnxruntime":
            return _onnxruntime(bundle, count)
        case "torch":
            return _torch(bundle, threads)
        case "tensorrt" | "tensorrt-rtx" as kind:
            return _engine(bundle, kind, count)
    raise UsageError(f"backend {backend!r} does not run FDP; type one of {', '.join(WINDOW_BACKENDS)}")


def _onnxruntime(bundle: Bundle, threads: int) -> WindowRunner:
    try:
        from tsfmicro.runners.onnxruntime_window import OnnxRuntimeWindowRunner
    except ModuleNotFoundError as error:
        raise not_installed(error, "onnxruntime", "onnxruntime", "onnxruntime") from error
    return OnnxRuntimeWindowRunner(bundle, threads)


def _engine(bundle: Bundle, kind: str, threads: int) -> WindowRunner:
    from tsfmicro.runners.tensorrt_window import TensorRtWindowRunner

    def reference_logits(windows: UInt8Array) -> Float32Array:
        with _onnxruntime(bundle, threads) as reference:
            return reference.infer(windows).answers.logits

    return TensorRtWindowRunner(bundle, kind, reference_logits)


def _torch(bundle: Bundle, threads: int | None) -> WindowRunner:
    try:
        from tsfmicro.runners.torch_window import TorchWindowRunner
    except ModuleNotFoundError as error:
        raise not_installed(error, "torch", "torch", "'tsfmicro[train]'") from error
    return TorchWindowRunner(bundle, threads)
