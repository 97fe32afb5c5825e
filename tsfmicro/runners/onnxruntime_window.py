"""FDP's fused graph in ONNX Runtime, on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from tsfmicro.bundle import Bundle
from tsfmicro.closing import Closing
from tsfmicro.errors import ContractError
from tsfmicro.models.fdp.config import WINDOW_PX
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.contract import RunnerOutput
from tsfmicro.runners.onnxruntime_session import open_graph, run_graph
from tsfmicro.runners.window_contract import WindowOutput, require_windows, window_config
from tsfmicro.values import UInt8Array

_IMAGE = "dynamic_image"


class OnnxRuntimeWindowRunner(Closing):
    """Runs ``model.onnx`` of an FDP bundle. :meth:`infer` may be called from several threads at once."""

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
        config = window_config(bundle)
        self.labels: tuple[str, ...] = bundle.manifest.labels
        self.preprocess: PreprocessSpec = bundle.manifest.preprocess
        self.frames: int = config.frames
        side, classes = self.preprocess.align.size_px, len(self.labels)
        outputs = dict.fromkeys(("probabilities", "logits"), f"(*, {classes}) tensor(float)")
        if config.dynamic_image == "constructed":
            outputs[_IMAGE] = f"(*, {WINDOW_PX}, {WINDOW_PX}) tensor(float)"
        inputs = {"frames": f"(*, {self.frames}, {side}, {side}, 3) tensor(uint8)"}
        self._outputs = tuple(outputs)
        self._session: Any = open_graph(bundle, threads, inputs, outputs)

    def __repr__(self) -> str:
        return f"OnnxRuntimeWindowRunner(device={self.device!r}, frames={self.frames}, labels={self.labels})"

    def infer(self, frames: UInt8Array) -> WindowOutput:
        """See ``WindowRunner.infer``.

        Raises:
            ContractError: on wrong crops, or after :meth:`close`.
            BackendError: if ONNX Runtime fails at it.
        """
        require_windows(frames, self.frames, self.preprocess)
        if self._session is None:
            raise ContractError("the runner is closed; load the bundle again")
        found = run_graph(self._session, self._outputs, {"frames": np.ascontiguousarray(frames)})
        named = dict(zip(self._outputs, found, strict=True))
        answers = RunnerOutput(probabilities=named["probabilities"], logits=named["logits"])
        return WindowOutput(answers, named.get(_IMAGE))

    def close(self) -> None:
        """Free the session. Closing twice is harmless."""
        self._session = None
