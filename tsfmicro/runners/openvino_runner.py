"""The fused graph of a bundle in OpenVINO, on the CPU; in bfloat16 where the processor computes in it, else float32."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from tsfmicro.bundle import ONNX_FILE, Bundle
from tsfmicro.closing import Closing
from tsfmicro.errors import BackendError, BundleError, ContractError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.contract import RunnerOutput, require_crops
from tsfmicro.runners.openvino_import import import_openvino
from tsfmicro.values import UInt8Array

_MOST_SIZES = 8
"""Batch sizes that are kept compiled; more pairs than that go in parts."""


class OpenVinoRunner(Closing):
    """Runs ``model.onnx``, compiled for each batch size: with a fixed one OpenVINO is about a fifth quicker.

    :meth:`infer` may be called from several threads at once; each has its own requests.
    """

    backend = "openvino"
    device = "cpu"

    def __init__(self, bundle: Bundle, threads: int, precision: str | None = None) -> None:
        """Load the graph and compile it for one pair.

        Args:
            bundle: verified.
            threads: at least 1.
            precision: ``"bfloat16"`` or ``"float32"``; by default bfloat16 where the processor has it.

        Raises:
            ModuleNotFoundError: if OpenVINO is not installed.
            BundleError: if the bundle has no graph, or OpenVINO cannot read it.
            BackendError: if the processor does not have the precision.
        """
        self.labels: tuple[str, ...] = bundle.manifest.labels
        self.preprocess: PreprocessSpec = bundle.manifest.preprocess
        self.threads = threads
        self._core: Any = import_openvino().Core()
        has_bfloat16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = precision or ("bfloat16" if has_bfloat16 else "float32")
        if self.precision == "bfloat16" and not has_bfloat16:
            raise BackendError("this processor does not compute in bfloat16; leave the precision out for float32")
        path, self._graph = bundle.file(ONNX_FILE), bundle.read(ONNX_FILE)
        self._compiled: dict[int, Any] = {}
        self._requests = threading.local()
        self._lock = threading.Lock()
        self._closed = False
        try:
            self._model(1)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()
            raise BundleError(f"{path} is no graph that OpenVINO can load: {reason[-1] if reason else ''}") from error

    def __repr__(self) -> str:
        return f"OpenVinoRunner(precision={self.precision!r}, threads={self.threads}, labels={self.labels})"

    def infer(self, onset: UInt8Array, apex: UInt8Array) -> RunnerOutput:
        """See ``Runner.infer``.

        Raises:
            ContractError: on wrong crops, or after :meth:`close`.
            BackendError: if OpenVINO fails at it.
        """
        require_crops(onset, apex, self.preprocess)
        if self._closed:
            raise ContractError("the runner is closed; load the bundle again")
        parts = [
            self._infer(onset[i : i + _MOST_SIZES], apex[i : i + _MOST_SIZES])
            for i in range(0, len(onset), _MOST_SIZES)
        ]
        probabilities, logits = (np.concatenate(outputs) for outputs in zip(*parts, strict=True))
        return RunnerOutput(probabilities=probabilities, logits=logits)

    def close(self) -> None:
        """Free the models. Closing twice is harmless."""
        self._closed = True
        self._compiled.clear()
        self._requests = threading.local()

    def _infer(self, onset: UInt8Array, apex: UInt8Array) -> list[Any]:
        try:
            request = self._request(len(onset))
            found = request.infer({"onset": np.ascontiguousarray(onset), "apex": np.ascontiguousarray(apex)})
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed on {len(onset)} pairs: {error}") from error
        return [np.array(found[name], dtype=np.float32) for name in ("probabilities", "logits")]

    def _request(self, batch: int) -> Any:
        requests: dict[int, Any] | None = getattr(self._requests, "of_size", None)
        if requests is None:
            requests = self._requests.of_size = {}
        if batch not in requests:
            with self._lock:
                requests[batch] = self._model(batch).create_infer_request()
        return requests[batch]

    def _model(self, batch: int) -> Any:
        if batch not in self._compiled:
            side = self.preprocess.align.size_px
            model: Any = self._core.read_model(self._graph)
            model.reshape({name: [batch, side, side, 3] for name in ("onset", "apex")})
            self._compiled[batch] = self._core.compile_model(
                model,
                "CPU",
                {
                    "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_NUM_THREADS": self.threads,
                    "INFERENCE_PRECISION_HINT": {"bfloat16": "bf16", "float32": "f32"}[self.precision],
                },
            )
        return self._compiled[batch]
