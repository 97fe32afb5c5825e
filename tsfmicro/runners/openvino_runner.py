"""The fused graph of a bundle in OpenVINO, on the CPU; in bfloat16 where the processor computes in it, else float32."""

from __future__ import annotations

from tsfmicro.bundle import Bundle
from tsfmicro.closing import Closing
from tsfmicro.errors import ContractError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.contract import RunnerOutput, require_crops
from tsfmicro.runners.openvino_graph import OpenVinoGraph
from tsfmicro.values import UInt8Array


class OpenVinoRunner(Closing):
    """Runs ``model.onnx``. :meth:`infer` may be called from several threads at once."""

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
        crop = (self.preprocess.align.size_px, self.preprocess.align.size_px, 3)
        self._graph = OpenVinoGraph(bundle, threads, {"onset": crop, "apex": crop}, precision)
        self.precision = self._graph.precision
        self._closed = False

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
        probabilities, logits = self._graph.run({"onset": onset, "apex": apex}, ("probabilities", "logits"))
        return RunnerOutput(probabilities=probabilities, logits=logits)

    def close(self) -> None:
        """Free the models. Closing twice is harmless."""
        self._closed = True
        self._graph.close()
