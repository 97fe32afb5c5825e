"""The default runner: the fused graph of a bundle in ONNX Runtime, on the CPU."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Self

import numpy as np
import onnxruntime  # type: ignore[import-untyped, unused-ignore]
from onnxruntime.capi import onnxruntime_pybind11_state as states  # type: ignore[import-untyped, unused-ignore]

from tsfmicro.bundle import ONNX_FILE, Bundle
from tsfmicro.errors import BackendError, BundleError, ContractError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.contract import RunnerOutput, require_crops
from tsfmicro.values import UInt8Array

GRAPH_ERRORS: tuple[type[Exception], ...] = (
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NoSuchFile,
    states.NotImplemented,
    states.RuntimeException,
)
"""ONNX Runtime gives its errors no common base but Exception."""


class OnnxRuntimeRunner:
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
        path, graph = bundle.file(ONNX_FILE), bundle.read(ONNX_FILE)
        onnxruntime.disable_telemetry_events()
        try:
            # From the verified bytes, not from the path, where something else may lie by now.
            session: Any = onnxruntime.InferenceSession(
                graph, session_options(threads), providers=["CPUExecutionProvider"]
            )
        except GRAPH_ERRORS as error:
            raise BundleError(f"{path} is no graph that ONNX Runtime can load: {error}") from error
        problem = _difference(session, self.preprocess.align.size_px, len(self.labels))
        if problem:
            raise BundleError(f"{path} has {problem}; export it again with `tsf-export {bundle.path}`")
        self._session: Any = session

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
        return self._infer(onset, apex)

    def _infer(self, onset: UInt8Array, apex: UInt8Array) -> RunnerOutput:
        feed = {"onset": np.ascontiguousarray(onset), "apex": np.ascontiguousarray(apex)}
        try:
            probabilities, logits = self._session.run(["probabilities", "logits"], feed)
        except GRAPH_ERRORS as error:
            raise BackendError(f"ONNX Runtime failed on {len(onset)} pairs: {error}") from error
        return RunnerOutput(probabilities=probabilities, logits=logits)

    def close(self) -> None:
        """Free the session. Closing twice is harmless."""
        self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def session_options(threads: int) -> Any:
    """What every session of this project is opened with."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors only: stderr belongs to messages for people
    # Threads may spin while a pair is computed, but not afterwards: the frame path needs the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # Weights a graph keeps in another file are not verified, and would be looked for in the working directory.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    return options


def _difference(session: Any, side_px: int, classes: int) -> str | None:
    """How the graph differs from what the manifest promises, or None. Free dimensions are written ``*``."""
    wanted_inputs = dict.fromkeys(("apex", "onset"), f"(*, {side_px}, {side_px}, 3) tensor(uint8)")
    wanted_outputs = dict.fromkeys(("logits", "probabilities"), f"(*, {classes}) tensor(float)")
    for kind, nodes, wanted in (
        ("inputs", session.get_inputs(), wanted_inputs),
        ("outputs", session.get_outputs(), wanted_outputs),
    ):
        have = {node.name: f"({', '.join(_dimension(d) for d in node.shape)}) {node.type}" for node in nodes}
        if have != wanted:
            return f"{kind} {_listing(have)} where the manifest needs {_listing(wanted)}"
    return None


def _dimension(size: int | str | None) -> str:
    return str(size) if isinstance(size, int) else "*"


def _listing(signature: dict[str, str]) -> str:
    return ", ".join(f"{name} {signature[name]}" for name in sorted(signature)) or "none"
