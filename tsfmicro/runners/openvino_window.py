"""FDP's fused graph in OpenVINO, on the CPU; in float32, as ranks of frames that hardly differ need every digit."""

from __future__ import annotations

from tsfmicro.bundle import Bundle
from tsfmicro.closing import Closing
from tsfmicro.errors import ContractError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.contract import RunnerOutput
from tsfmicro.runners.openvino_graph import OpenVinoGraph
from tsfmicro.runners.window_contract import WindowOutput, require_windows, window_config
from tsfmicro.values import UInt8Array


class OpenVinoWindowRunner(Closing):
    """Runs ``model.onnx`` of an FDP bundle. :meth:`infer` may be called from several threads at once."""

    backend = "openvino"
    device = "cpu"
    precision = "float32"

    def __init__(self, bundle: Bundle, threads: int) -> None:
        """Load the graph and compile it for one window.

        Args:
            bundle: verified.
            threads: at least 1.

        Raises:
            ModuleNotFoundError: if OpenVINO is not installed.
            BundleError: if the bundle holds no FDP, has no graph, or OpenVINO cannot read it.
        """
        config = window_config(bundle)
        self.labels: tuple[str, ...] = bundle.manifest.labels
        self.preprocess: PreprocessSpec = bundle.manifest.preprocess
        self.frames: int = config.frames
        side = self.preprocess.align.size_px
        self._outputs: tuple[str, ...] = ("probabilities", "logits")
        if config.dynamic_image == "constructed":
            self._outputs = (*self._outputs, "dynamic_image")
        self._graph = OpenVinoGraph(bundle, threads, {"frames": (self.frames, side, side, 3)}, self.precision)
        self._closed = False

    def __repr__(self) -> str:
        return f"OpenVinoWindowRunner(precision={self.precision!r}, frames={self.frames}, labels={self.labels})"

    def infer(self, frames: UInt8Array) -> WindowOutput:
        """See ``WindowRunner.infer``.

        Raises:
            ContractError: on wrong crops, or after :meth:`close`.
            BackendError: if OpenVINO fails at it.
        """
        require_windows(frames, self.frames, self.preprocess)
        if self._closed:
            raise ContractError("the runner is closed; load the bundle again")
        named = dict(zip(self._outputs, self._graph.run({"frames": frames}, self._outputs), strict=True))
        answers = RunnerOutput(probabilities=named["probabilities"], logits=named["logits"])
        return WindowOutput(answers, named.get("dynamic_image"))

    def close(self) -> None:
        """Free the models. Closing twice is harmless."""
        self._closed = True
        self._graph.close()
