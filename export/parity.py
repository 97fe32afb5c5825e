"""Whether each thing that is exported computes what the network computes: a chain that fails closed.

The reference is the network in float64. Held against it are the network in float32, each graph in ONNX Runtime, and
each engine where there is a card to run it on. What does not hold raises, before anything is written.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import onnxruntime
import torch

from tsfmicro.errors import ParityError
from tsfmicro.export.faces import face_pairs
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.parity import Parity, Tolerance
from tsfmicro.runners.parity import compare as compare
from tsfmicro.runners.parity import probe_pairs as probe_pairs
from tsfmicro.runners.precision import Precision
from tsfmicro.runners.tensorrt_engine import Engine
from tsfmicro.values import Float32Array, UInt8Array

TEXTURE_PAIRS, FACE_PAIRS, SEED = 8, 8, 7
BATCH = 4


@dataclass(frozen=True, slots=True)
class Link:
    """One thing that was compared with the network, and held."""

    what: str
    precision: Precision
    parity: Parity
    reference: str = "torch, float64"

    def to_dict(self) -> dict[str, Any]:
        """As in the report."""
        tolerance = asdict(Tolerance.of(self.precision))
        return {"what": self.what, "precision": self.precision.value, **asdict(self.parity), "tolerance": tolerance}


@dataclass(slots=True)
class Proof:
    """Probes with the answers of the network in float64, and what was held against them so far."""

    onset: UInt8Array
    apex: UInt8Array
    reference: Float32Array
    """(B, C) logits, computed in float64 and rounded once."""
    min_probability: float
    """Of the bundle's abstention, for decisions."""
    links: list[Link] = field(default_factory=list)

    def hold(self, what: str, precision: Precision, logits: Float32Array) -> Parity:
        """Add a link to the chain.

        Raises:
            ParityError: if the logits are not within the tolerance of this precision.
        """
        parity = compare(self.reference, logits, self.min_probability)
        tolerance = Tolerance.of(precision)
        if not parity.within(tolerance):
            raise ParityError(
                f"{what} ({precision.value}) differs from the network: {parity}; expected at most "
                f"{tolerance.max_abs:.0e} and {tolerance.rel_l2:.0e}. Nothing was written"
            )
        self.links.append(Link(what, precision, parity))
        return parity

    def hold_engine(self, kind: str, precision: Precision, engine: Engine) -> Parity:
        """Run the probes through an engine on the card; see :meth:`hold`."""
        return self.hold(kind, precision, engine.run(self.onset, self.apex)[1])

    def in_batches(self, run: Callable[[UInt8Array, UInt8Array], Float32Array]) -> Float32Array:
        """Logits of all probes, a few at a time."""
        starts = range(0, len(self.onset), BATCH)
        return np.concatenate([run(self.onset[i : i + BATCH], self.apex[i : i + BATCH]) for i in starts])


def begin_proof(fused: FusedRecognizer, spec: PreprocessSpec, min_probability: float) -> Proof:
    """Probes, their answers in float64, and the network in float32 as the first link.

    Raises:
        ParityError: if the network itself is not sound, in float32 or at all.
    """
    textures, faces = probe_pairs(TEXTURE_PAIRS, SEED), face_pairs(FACE_PAIRS, SEED, spec)
    onset, apex = (np.concatenate(pictures) for pictures in zip(textures, faces, strict=True))
    proof = Proof(onset, apex, np.empty((0, 0), np.float32), min_probability)
    exact = copy.deepcopy(fused).double()
    proof.reference = proof.in_batches(lambda o, a: network_logits(exact, o, a))
    if not np.isfinite(proof.reference).all():
        raise ParityError("the network gives NaN or infinity on crops of a face; such weights are not exported")
    proof.hold("torch", Precision.FLOAT32, proof.in_batches(lambda o, a: network_logits(fused, o, a)))
    return proof


def network_logits(fused: FusedRecognizer, onset: UInt8Array, apex: UInt8Array) -> Float32Array:
    """(B, C) logits in torch, in whatever precision the module has."""
    with torch.inference_mode():
        logits: Float32Array = fused(torch.from_numpy(onset), torch.from_numpy(apex))[1].float().numpy()
    return logits


def graph_logits(graph: bytes, onset: UInt8Array, apex: UInt8Array) -> Float32Array:
    """(B, C) logits of an ONNX file in ONNX Runtime, on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    found = []
    for start in range(0, len(onset), BATCH):
        feed = {"onset": onset[start : start + BATCH], "apex": apex[start : start + BATCH]}
        found.append(np.asarray(session.run(["logits"], feed)[0], dtype=np.float32))
    return np.concatenate(found)
