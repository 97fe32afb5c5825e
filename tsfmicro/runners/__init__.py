"""Runners: one recogniser, several runtimes, the same answer. Importing this package imports none of the runtimes."""

from __future__ import annotations

import difflib
from importlib.util import find_spec

from tsfmicro.bundle import Bundle
from tsfmicro.errors import BackendError, BundleError, UsageError
from tsfmicro.runners.contract import Runner, RunnerOutput
from tsfmicro.runners.decision import LOW_PROBABILITY, recognitions
from tsfmicro.runners.threads import physical_cores, thread_count

__all__ = [
    "BACKENDS",
    "LOW_PROBABILITY",
    "Runner",
    "RunnerOutput",
    "available_backends",
    "load",
    "physical_cores",
    "recognitions",
]

BACKENDS = ("auto", "onnxruntime", "torch", "tensorrt", "tensorrt-rtx", "torch-tensorrt", "openvino", "cuda")
"""Every name :func:`load` knows, whether or not it works here."""


def available_backends() -> tuple[str, ...]:
    """Backends that can load a bundle on this machine, the default first."""
    return tuple(name for name in ("onnxruntime", "torch") if find_spec(name) is not None)


def load(bundle: Bundle, backend: str = "auto", threads: int | None = None) -> Runner:
    """Load a verified bundle into a runtime; ``runner.backend`` says which one it is.

    Args:
        bundle: from ``read_bundle``.
        backend: one of :data:`BACKENDS`. ``"auto"`` is ``"onnxruntime"`` on the CPU in this version. A backend that
            is named is used or refused, never replaced.
        threads: CPU threads for one pair. By default the physical cores, four at most; torch keeps the count the
            process has.

    Raises:
        UsageError: if the backend is not known or ``threads`` is below 1.
        BackendError: if the backend cannot be used here, saying what is missing.
        BundleError: if the bundle lacks what the backend loads, or it is not what the manifest says.
    """
    count = thread_count(threads)
    if bundle.manifest.model.reads_windows:
        raise BundleError(f"{bundle.path} holds FDP, which takes windows of frames instead of onset and apex")
    match backend:
        case "auto" | "onnxruntime":
            return _onnxruntime(bundle, count)
        case "torch":
            return _torch(bundle, threads)
        case "tensorrt" | "tensorrt-rtx" | "torch-tensorrt":
            missing = "an NVIDIA GPU and a runner for its engines, which this version does not have"
        case "openvino":
            missing = "an OpenVINO runner, which this version does not have"
        case "cuda":
            missing = "a runner on an NVIDIA GPU, which this version does not have"
        case _:
            near = difflib.get_close_matches(backend.lower(), BACKENDS, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]}? It" if near else "it"
            raise UsageError(f"backend {backend!r} is not known; {hint} is one of {', '.join(BACKENDS)}")
    raise BackendError(f"backend {backend} needs {missing}; here now: {', '.join(available_backends()) or 'none'}")


def _onnxruntime(bundle: Bundle, threads: int) -> Runner:
    try:
        from tsfmicro.runners.onnxruntime_runner import OnnxRuntimeRunner
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        raise BackendError("backend onnxruntime is not installed; type `pip install onnxruntime`") from error
    return OnnxRuntimeRunner(bundle, threads)


def _torch(bundle: Bundle, threads: int | None) -> Runner:
    try:
        from tsfmicro.runners.torch_runner import TorchRunner
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise BackendError("backend torch is not installed; type `pip install 'tsfmicro[train]'`") from error
    return TorchRunner(bundle, threads)
