"""The sidecar of an engine: what it was made from, for what, how precise it is, and whether that was proved.

An engine is a program for one version of one runtime, and holds no trace of what it computes. So everything that must
be known before it is loaded lies beside it, as JSON of schema ``tsf.engine/1``; the bundle's manifest holds the hashes
of both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from tsfmicro.bundle import WEIGHTS_FILE, Bundle
from tsfmicro.errors import BackendError, BundleError
from tsfmicro.runners.precision import Precision

SCHEMA_ID = "tsf.engine/1"
ENGINE_KINDS = ("tensorrt", "tensorrt-rtx", "torch-tensorrt")
"""Backends whose engines lie in a bundle; also the names of the backends that run them."""


@dataclass(frozen=True, slots=True)
class ProvenOn:
    """Where an engine was compared with the network, and what came out."""

    card: str
    capability: str
    runtime_version: str
    measures: Mapping[str, float]
    """See ``runners.parity.Parity``; it passed, otherwise there would be no engine."""


@dataclass(frozen=True, slots=True)
class EngineCard:
    """What a sidecar says."""

    kind: str
    """One of :data:`ENGINE_KINDS`."""
    engine_sha256: str
    graph_file: str
    """ONNX graph of the same bundle that it was built from."""
    graph_sha256: str
    weights_sha256: str
    """Of the bundle's weights."""
    runtime_version: str
    """Of TensorRT or TensorRT-RTX: an engine runs with exactly this one."""
    tool_versions: Mapping[str, str]
    """Of what else had a part in it."""
    compute_capabilities: tuple[str, ...]
    """Cards it was built for, as in ``"8.9"``; empty where the runtime decides when it loads the engine."""
    built_on: str
    """Name of the card it was built on; empty where it was built without one."""
    precision_requested: str
    precision_actual: str
    """Read off the network the engine was built from, layer by layer."""
    matrix_layers: Mapping[str, int]
    """How many convolutions and products compute in which precision."""
    float32_layers: tuple[str, ...]
    """Matrix layers of a float16 engine that are float32 all the same, by name."""
    batch_profile: tuple[int, int, int]
    """Smallest, usual and largest batch."""
    proven_on: ProvenOn | None
    """None where there was no card: then it is compared with the network whenever it is loaded."""
    parity: str
    """``"passed"``, or ``"not run here: "`` and why."""
    build_s: float
    schema: str = SCHEMA_ID

    def to_json(self) -> str:
        """Deterministic JSON: sorted keys, two spaces, one newline at the end."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> EngineCard:
        """Read what :meth:`to_json` wrote.

        Raises:
            BundleError: if it is anything else.
        """
        try:
            values: Any = json.loads(text)
            if values.get("schema") != SCHEMA_ID:
                raise BundleError(f"its schema is {values.get('schema')!r}; this version reads {SCHEMA_ID!r}")
            for name in ("compute_capabilities", "float32_layers", "batch_profile"):
                values[name] = tuple(values[name])
            if values["proven_on"] is not None:
                values["proven_on"] = ProvenOn(**values["proven_on"])
            card = cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BundleError(f"it cannot be read: {error}") from error
        wrong = [f.name for f in fields(cls) if f.type == "str" and not isinstance(getattr(card, f.name), str)]
        sizes = card.batch_profile
        if not (len(sizes) == 3 and all(type(n) is int for n in sizes) and 1 <= sizes[0] <= sizes[1] <= sizes[2]):
            wrong.append("batch_profile")
        if wrong or card.kind not in ENGINE_KINDS:
            raise BundleError(f"its {', '.join(wrong) or 'kind'} cannot be right")
        return card

    def is_proven_on(self, card: str, runtime_version: str) -> bool:
        """Whether it was compared with the network on this kind of card, by this version of the runtime."""
        proof = self.proven_on
        return proof is not None and (proof.card, proof.runtime_version) == (card, runtime_version)


def engine_file(kind: str, precision: Precision) -> str:
    """Name of an engine within its bundle."""
    return f"model.{kind}.{precision.short}.engine"


def sidecar_file(engine: str) -> str:
    """Name of the sidecar of an engine."""
    return f"{engine}.json"


def engines_of(bundle: Bundle, kind: str) -> tuple[str, ...]:
    """Engines of a kind that a bundle lists, the half-precision one first."""
    names = (engine_file(kind, precision) for precision in (Precision.FLOAT16, Precision.FLOAT32))
    return tuple(name for name in names if name in bundle.manifest.files)


def rebuild_command(bundle: Bundle, kind: str, precision: Precision) -> str:
    """What to type to have the engine built again."""
    half = " --fp16" if precision is Precision.FLOAT16 else ""
    return f"tsf-export {bundle.path}{half} --target {kind}"


def read_card(bundle: Bundle, engine: str) -> EngineCard:
    """The sidecar of an engine, held against the bundle it lies in.

    Raises:
        BundleError: if it is missing or cannot be read.
        BackendError: if it is about another engine, graph or weights than the bundle's: the engine is stale.
    """
    name = sidecar_file(engine)
    if name not in bundle.manifest.files:
        raise BundleError(f"{bundle.path / engine} has no sidecar {name}, so nothing vouches for it; export it again")
    try:
        card = EngineCard.from_json(bundle.read(name))
    except BundleError as error:
        raise BundleError(f"{bundle.path / name}: {error}; export it again") from error
    stale = _stale(bundle, engine, card)
    if stale:
        again = rebuild_command(bundle, card.kind, Precision(card.precision_requested))
        raise BackendError(f"{bundle.path / engine} is stale: {stale}; type `{again}`")
    return card


def _stale(bundle: Bundle, engine: str, card: EngineCard) -> str:
    """In what the bundle has changed since the engine was built; empty if in nothing."""
    files = bundle.manifest.files
    if card.engine_sha256 != files[engine]:
        return "its sidecar is about another engine"
    if card.weights_sha256 != files[WEIGHTS_FILE]:
        return "it was built from other weights"
    if card.graph_sha256 != files.get(card.graph_file):
        return f"it was built from another {card.graph_file}"
    if card.precision_actual != card.precision_requested:
        return f"it is {card.precision_actual}, though {card.precision_requested} was asked for"
    return ""
