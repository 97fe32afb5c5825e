"""How a recogniser of windows of frames (FDP) is loaded."""

from __future__ import annotations

import logging

from tsfmicro.bundle import Bundle
from tsfmicro.errors import BundleError
from tsfmicro.runners import BACKENDS
from tsfmicro.runners.choice import choose
from tsfmicro.runners.missing import not_installed, not_known
from tsfmicro.runners.threads import thread_count
from tsfmicro.runners.window_contract import WindowRunner
from tsfmicro.values import Float32Array, UInt8Array

_log = logging.getLogger(__name__)


def load_window(bundle: Bundle, backend: str = "auto", threads: int | None = None) -> WindowRunner:
    """Load a verified FDP bundle into a runtime; ``runner.backend`` says which one it is.

    Args:
        bundle: from ``read_bundle``.
        backend: one of ``BACKENDS``; ``"auto"`` is what ``choose`` says. A backend that is named is used or refused,
            never replaced.
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


def _onnxruntime(bundle: Bundle, threads: int) -> WindowRunner:
    try:
        from tsfmicro.runners.onnxruntime_window import OnnxRuntimeWindowRunner
    except ModuleNotFoundError as error:
        raise not_installed(error, "onnxruntime", "onnxruntime", "onnxruntime") from error
    return OnnxRuntimeWindowRunner(bundle, threads)


def _openvino(bundle: Bundle, threads: int) -> WindowRunner:
    from tsfmicro.runners.openvino_window import OpenVinoWindowRunner

    try:
        return OpenVinoWindowRunner(bundle, threads)
    except ModuleNotFoundError as error:
        raise not_installed(error, "openvino", "openvino", "'tsfmicro[openvino]'") from error


def _engine(bundle: Bundle, kind: str, threads: int) -> WindowRunner:
    from tsfmicro.runners.tensorrt_window import TensorRtWindowRunner

    def reference_logits(windows: UInt8Array) -> Float32Array:
        with _onnxruntime(bundle, threads) as reference:
            return reference.infer(windows).answers.logits

    return TensorRtWindowRunner(bundle, kind, reference_logits)


def _torch(bundle: Bundle, backend: str, threads: int | None) -> WindowRunner:
    try:
        from tsfmicro.runners.torch_window import TorchWindowRunner
    except ModuleNotFoundError as error:
        raise not_installed(error, "torch", backend, "'tsfmicro[train]'") from error
    return TorchWindowRunner(bundle, backend, threads)
