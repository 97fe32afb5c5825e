"""A bundle's graph in ONNX Runtime, opened and checked in one way for every network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped, unused-ignore]
from onnxruntime.capi import onnxruntime_pybind11_state as states  # type: ignore[import-untyped, unused-ignore]

from tsfmicro.bundle import ONNX_FILE, Bundle
from tsfmicro.errors import BackendError, BundleError
from tsfmicro.values import UInt8Array

_ERRORS: tuple[type[Exception], ...] = (
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NoSuchFile,
    states.NotImplemented,
    states.RuntimeException,
)
"""ONNX Runtime gives its errors no common base but Exception."""


def open_graph(bundle: Bundle, threads: int, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> Any:
    """A session of the bundle's graph.

    Args:
        bundle: verified.
        threads: for the work inside one operator, at least 1.
        inputs: name and signature of each, as in ``"(*, 224, 224, 3) tensor(uint8)"``; a free dimension is ``*``.
        outputs: likewise.

    Raises:
        BundleError: if the bundle has no graph, or it is not the one its manifest describes.
    """
    path, graph = bundle.file(ONNX_FILE), bundle.read(ONNX_FILE)
    onnxruntime.disable_telemetry_events()
    try:
        # From the verified bytes, not from the path, where something else may lie by now.
        session: Any = onnxruntime.InferenceSession(graph, _options(threads), providers=["CPUExecutionProvider"])
    except _ERRORS as error:
        raise BundleError(f"{path} is no graph that ONNX Runtime can load: {error}") from error
    for kind, nodes, wanted in (
        ("inputs", session.get_inputs(), inputs),
        ("outputs", session.get_outputs(), outputs),
    ):
        have = {node.name: f"({', '.join(_dimension(d) for d in node.shape)}) {node.type}" for node in nodes}
        if have != wanted:
            raise BundleError(
                f"{path} has {kind} {_listing(have)} where the manifest needs {_listing(wanted)}; "
                f"export it again with `tsf-export {bundle.path}`"
            )
    return session


def run_graph(session: Any, outputs: Sequence[str], feed: Mapping[str, UInt8Array]) -> list[Any]:
    """The outputs by name, in their order; (B, ...) arrays in and out.

    Row by row: the runtime's arena doubles until its largest batch fits, sixteen pairs into a gigabyte, and never
    shrinks; in one thread or two a batch is no faster. Nor does what a row gets depend on what is asked beside it.

    Raises:
        BackendError: if ONNX Runtime fails at it.
    """
    rows = len(next(iter(feed.values())))
    try:
        found: list[list[Any]] = [
            session.run(list(outputs), {name: array[row : row + 1] for name, array in feed.items()})
            for row in range(rows)
        ]
    except _ERRORS as error:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in feed.items())
        raise BackendError(f"ONNX Runtime failed on {shapes}: {error}") from error
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_mem_pattern = False  # twice the memory, and no faster
    options.log_severity_level = 3  # errors only: stderr belongs to messages for people
    # Threads may spin while a pair is computed, but not afterwards: the frame path needs the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # Weights a graph keeps in another file are not verified, and would be looked for in the working directory.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    return options


def _dimension(size: int | str | None) -> str:
    return str(size) if isinstance(size, int) else "*"


def _listing(signature: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {signature[name]}" for name in sorted(signature)) or "none"
