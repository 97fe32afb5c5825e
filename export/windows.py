"""The proof of FDP's graphs and engines: against the network in float64, on windows that look like a moving face."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import onnxruntime
import torch

from tsfmicro.errors import ParityError
from tsfmicro.export import parity
from tsfmicro.export.faces import face_windows
from tsfmicro.export.parity import BATCH, SEED, Link
from tsfmicro.models.fdp.fused import FusedWindow
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.parity import Parity, Tolerance, compare, probe_windows
from tsfmicro.runners.precision import Precision
from tsfmicro.runners.tensorrt_engine import Engine
from tsfmicro.values import Float32Array, UInt8Array

IMAGE_TOLERANCES = {Precision.FLOAT32: 1e-3, Precision.FLOAT16: 1e-2}
"""Largest difference of a grey level of the dynamic image, in 0..1: a quarter of what a screen can show, and 2.5."""

Answers: TypeAlias = tuple[Float32Array, ...]
"""(B, C) logits and, of a network that draws them, (B, 64, 64) dynamic images."""


@dataclass(slots=True)
class WindowProof:
    """Probes with the answers of the network in float64, and what was held against them so far."""

    windows: UInt8Array
    """(B, T, 224, 224, 3)."""
    reference: Answers
    """Computed in float64 and rounded once."""
    min_probability: float
    """Of the bundle's abstention, for decisions."""
    links: list[Link] = field(default_factory=list)

    def hold(self, what: str, precision: Precision, answers: Answers) -> Parity:
        """Add a link to the chain.

        Raises:
            ParityError: if logits or dynamic images are not within the tolerance of this precision.
        """
        found = compare(self.reference[0], answers[0], self.min_probability)
        tolerance, of_image = Tolerance.of(precision), IMAGE_TOLERANCES[precision]
        gaps = [np.abs(a - b).max() for a, b in zip(self.reference[1:], answers[1:], strict=True)]
        apart = float(max(gaps, default=0.0))
        if not (found.within(tolerance) and apart <= of_image):  # an image that is not a number is never near enough
            wanted = f"{tolerance.max_abs:.0e}, {tolerance.rel_l2:.0e} and {of_image:.0e}"
            raise ParityError(
                f"{what} ({precision.value}) differs from the network: {found}, dynamic images by {apart:.1e}; "
                f"expected at most {wanted}. Nothing was written"
            )
        self.links.append(Link(what, precision, found))
        return found

    def hold_engine(self, kind: str, precision: Precision, engine: Engine) -> Parity:
        """Run the probes through an engine on the card; see :meth:`hold`."""
        _, *answers = engine.run(self.windows)
        return self.hold(kind, precision, tuple(answers))

    def in_batches(self, run: Callable[[UInt8Array], Answers]) -> Answers:
        """Answers for all probes, a few at a time."""
        parts = [run(self.windows[i : i + BATCH]) for i in range(0, len(self.windows), BATCH)]
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def begin_window_proof(fused: FusedWindow, spec: PreprocessSpec, min_probability: float) -> WindowProof:
    """Probes, their answers in float64, and the network in float32 as the first link.

    Raises:
        ParityError: if the network itself is not sound, in float32 or at all.
    """
    frames = fused.network.config.frames
    textures = probe_windows(parity.TEXTURE_PAIRS, frames, SEED)
    proof = WindowProof(
        np.concatenate([textures, face_windows(parity.FACE_PAIRS, frames, SEED, spec)]), (), min_probability
    )
    exact = copy.deepcopy(fused).double()
    proof.reference = proof.in_batches(lambda windows: network_answers(exact, windows))
    if not all(np.isfinite(part).all() for part in proof.reference):
        raise ParityError("the network gives NaN or infinity on windows of a face; such weights are not exported")
    proof.hold("torch", Precision.FLOAT32, proof.in_batches(lambda windows: network_answers(fused, windows)))
    return proof


def network_answers(fused: FusedWindow, windows: UInt8Array) -> Answers:
    """Answers of the network in torch, in whatever precision it has."""
    with torch.inference_mode():
        _, *answers = fused(torch.from_numpy(windows))
    return tuple(answer.float().numpy() for answer in answers)


def graph_answers(graph: bytes, proof: WindowProof) -> Answers:
    """Answers of an ONNX file to all probes in ONNX Runtime, on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_outputs() if node.name != "probabilities"]

    def run(windows: UInt8Array) -> Answers:
        return tuple(np.asarray(found, dtype=np.float32) for found in session.run(names, {"frames": windows}))

    return proof.in_batches(run)
