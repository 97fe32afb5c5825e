"""The default runner: the fused graph of a bundle in ONNX Runtime, on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from tsfmicro.bundle import Bundle
from tsfmicro.closing import Closing
from tsfmicro.errors import ContractError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.contract import RunnerOutput, require_crops
from tsfmicro.runners.onnxruntime_session import open_graph, run_graph
from tsfmicro.values import UInt8Array


class OnnxRuntimeRunner(Closing):
    """Runs ``model.onnx``. :meth:`infer` may be called from several threads at once."""

    backend = "onnxruntime"
    device = "cpu"
    precision = "float32"

    def __init__(self, bundle: Bundle, threads: int) -> None:
        """Load the graph and check it against the manifest.

        Args:
            bundle: verified.
            threads: for the work inside one operator, at least 1.

        Raises:
            BundleError: if the bundle has no graph, or it is not the one its manifest describes.
        """
        self.labels: tuple[str, ...] = bundle.manifest.labels
        self.preprocess: PreprocessSpec = bundle.manifest.preprocess
        self.threads = threads
        side = self.preprocess.align.size_px
        self._session: Any = open_graph(
            bundle,
            threads,
            dict.fromkeys(("apex", "onset"), f"(*, {side}, {side}, 3) tensor(uint8)"),
            dict.fromkeys(("logits", "probabilities"), f"(*, {len(self.labels)}) tensor(float)"),
        )

    def __repr__(self) -> str:
        return f"OnnxRuntimeRunner(device={self.device!r}, threads={self.threads}, labels={self.labels})"

    def infer(self, onset: UInt8Array, apex: UInt8Array) -> RunnerOutput:
        """See ``Runner.infer``.

        Raises:
            ContractError: on wrong crops, or after :meth:`close`.
            BackendError: if ONNX Runtime fails at it.
        """
        require_crops(onset, apex, self.preprocess)
        if self._session is None:
            raise ContractError("the runner is closed; load the bundle again")
        feed = {"onset": np.ascontiguousarray(onset), "apex": np.ascontiguousarray(apex)}
        probabilities, logits = run_graph(self._session, ("probabilities", "logits"), feed)
        return RunnerOutput(probabilities=probabilities, logits=logits)

    def close(self) -> None:
        """Free the session. Closing twice is harmless."""
        self._session = None
