"""Runners: one recogniser, several runtimes, the same answer. Importing this package imports none of the runtimes."""

from __future__ import annotations

import logging

from tsfmicro.bundle import Bundle
from tsfmicro.errors import BundleError
from tsfmicro.runners.choice import Choice, choose, installed_backends
from tsfmicro.runners.contract import Runner, RunnerOutput
from tsfmicro.runners.decision import LOW_PROBABILITY, recognitions
from tsfmicro.runners.missing import not_installed, not_known
from tsfmicro.runners.threads import beside_the_frames, physical_cores, thread_count
from tsfmicro.values import Float32Array, UInt8Array

__all__ = [
    "BACKENDS",
    "LOW_PROBABILITY",
    "Choice",
    "Runner",
    "RunnerOutput",
    "available_backends",
    "beside_the_frames",
    "choose",
    "load",
    "physical_cores",
    "recognitions",
]

BACKENDS = (
    "auto",
    "onnxruntime",
    "openvino",
    "torch",
    "torch-compiled",
    "cuda",
    "tensorrt",
    "tensorrt-rtx",
    "torch-tensorrt",
)
"""Every name :func:`load` knows, whether or not it works here. ``"cuda"`` is torch on an NVIDIA card."""

_log = logging.getLogger(__name__)


def available_backends() -> tuple[str, ...]:
    """Backends that can load a bundle on this machine, the default first; those of engines need one in the bundle."""
    return installed_backends()


def load(bundle: Bundle, backend: str = "auto", threads: int | None = None) -> Runner:
    """Load a verified bundle into a runtime; ``runner.backend`` says which one it is.

    Args:
        bundle: from ``read_bundle``.
        backend: one of :data:`BACKENDS`. ``"auto"`` is what :func:`choose` says. A backend that is named is used or
            refused, never replaced.
        threads: CPU threads for one pair. By default the physical cores, four at most; torch keeps the count the
            process has.

    Raises:
        UsageError: if the backend is not known or ``threads`` is below 1.
        BackendError: if the backend cannot be used here, saying what is missing or which command builds it.
        BundleError: if the bundle lacks what the backend loads, or it is not what the manifest says.
        ParityError: if an engine does not compute on this card what the network computes.
    """
    count = thread_count(threads)
    if bundle.manifest.model.reads_windows:
        raise BundleError(f"{bundle.path} holds FDP, which takes windows of frames instead of onset and apex")
    if backend == "auto":
        choice = choose(bundle)
        _log.info("backend auto is %s", choice)
        backend = choice.backend
    match backend:
        case "onnxruntime":
            return _onnxruntime(bundle, count)
        case "openvino":
            return _openvino(bundle, count)
        case "torch" | "torch-compiled" | "cuda":
            return _torch(bundle, backend, threads)
        case "tensorrt" | "tensorrt-rtx" | "torch-tensorrt":
            return _engine(bundle, backend, count)
    raise not_known(backend, BACKENDS)


def _onnxruntime(bundle: Bundle, threads: int) -> Runner:
    try:
        from tsfmicro.runners.onnxruntime_runner import OnnxRuntimeRunner
    except ModuleNotFoundError as error:
        raise not_installed(error, "onnxruntime", "onnxruntime", "onnxruntime") from error
    return OnnxRuntimeRunner(bundle, threads)


def _openvino(bundle: Bundle, threads: int) -> Runner:
    from tsfmicro.runners.openvino_runner import OpenVinoRunner

    try:
        return OpenVinoRunner(bundle, threads)
    except ModuleNotFoundError as error:
        raise not_installed(error, "openvino", "openvino", "'tsfmicro[openvino]'") from error


def _torch(bundle: Bundle, backend: str, threads: int | None) -> Runner:
    try:
        from tsfmicro.runners.torch_runner import TorchRunner
    except ModuleNotFoundError as error:
        raise not_installed(error, "torch", backend, "'tsfmicro[train]'") from error
    return TorchRunner(bundle, backend, threads)


def _engine(bundle: Bundle, kind: str, threads: int) -> Runner:
    from tsfmicro.runners.tensorrt_runner import TensorRtRunner

    def reference_logits(onset: UInt8Array, apex: UInt8Array) -> Float32Array:
        with _onnxruntime(bundle, threads) as reference:
            return reference.infer(onset, apex).logits

    return TensorRtRunner(bundle, kind, reference_logits)
