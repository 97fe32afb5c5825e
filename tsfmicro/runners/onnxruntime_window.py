"""FDP's fused graph in ONNX Runtime, on the CPU."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import numpy as np
import onnxruntime  # type: ignore[import-untyped, unused-ignore]

from tsfmicro.bundle import ONNX_FILE, Bundle
from tsfmicro.errors import BackendError, BundleError, ContractError
from tsfmicro.models.fdp.config import WINDOW_PX
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.contract import RunnerOutput
from tsfmicro.runners.onnxruntime_runner import GRAPH_ERRORS, session_options
from tsfmicro.runners.window import WindowOutput, require_windows
from tsfmicro.values import UInt8Array

_IMAGE = "dynamic_image"


class OnnxRuntimeWindowRunner:
    """Runs ``model.onnx`` of an FDP bundle. :meth:`infer` may be called from several threads at once."""

    backend = "onnxruntime"
    device = "cpu"

    def __init__(self, bundle: Bundle, threads: int) -> None:
        """Load the graph and check it against the manifest.

        Args:
            bundle: verified.
            threads: for the work inside one operator, at least 1.

        Raises:
            BundleError: if the bundle has no graph, or it is not the one its manifest describes.
        """
        config = _config(bundle)
        self.labels: tuple[str, ...] = bundle.manifest.labels
        self.preprocess: PreprocessSpec = bundle.manifest.preprocess
        self.frames: int = config.frames
        path, graph = bundle.file(ONNX_FILE), bundle.read(ONNX_FILE)
        onnxruntime.disable_telemetry_events()
        try:
            session: Any = onnxruntime.InferenceSession(
                graph, session_options(threads), providers=["CPUExecutionProvider"]
            )
        except GRAPH_ERRORS as error:
            raise BundleError(f"{path} is no graph that ONNX Runtime can load: {error}") from error
        side = self.preprocess.align.size_px
        wanted = {
            "frames": ["*", self.frames, side, side, 3, "tensor(uint8)"],
            "probabilities": ["*", len(self.labels), "tensor(float)"],
            "logits": ["*", len(self.labels), "tensor(float)"],
        }
        if config.dynamic_image == "constructed":
            wanted[_IMAGE] = ["*", WINDOW_PX, WINDOW_PX, "tensor(float)"]
        have = {
            node.name: [*("*" if not isinstance(size, int) else size for size in node.shape), node.type]
            for node in (*session.get_inputs(), *session.get_outputs())
        }
        if have != wanted:
            raise BundleError(
                f"{path} has {have} where the manifest needs {wanted}; export it again with `tsf-export {bundle.path}`"
            )
        self._outputs = [name for name in wanted if name != "frames"]
        self._session: Any = session

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
        try:
            found = self._session.run(self._outputs, {"frames": np.ascontiguousarray(frames)})
        except GRAPH_ERRORS as error:
            raise BackendError(f"ONNX Runtime failed on {len(frames)} windows: {error}") from error
        named = dict(zip(self._outputs, found, strict=True))
        answers = RunnerOutput(probabilities=named["probabilities"], logits=named["logits"])
        return WindowOutput(answers, named.get(_IMAGE))

    def close(self) -> None:
        """Free the session. Closing twice is harmless."""
        self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _config(bundle: Bundle) -> Any:
    try:
        return bundle.manifest.model.window_config()
    except ContractError as error:
        raise BundleError(f"{bundle.path}: {error}") from error
