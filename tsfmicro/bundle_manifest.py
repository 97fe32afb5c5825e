"""The manifest of a bundle: everything it says about itself, and nothing else is accepted as one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tsfmicro.errors import BundleError, ContractError, UsageError
from tsfmicro.labels import protocol
from tsfmicro.models.card import ModelCard
from tsfmicro.preprocess import PreprocessSpec

SCHEMA_ID = "tsf.bundle/1"
MANIFEST_FILE, WEIGHTS_FILE, ONNX_FILE = "manifest.json", "weights.safetensors", "model.onnx"
ONNX_HALF_FILE = "model.fp16.onnx"
"""The same graph in half precision: what engines are built from."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How logits become probabilities, and when the recogniser had better say nothing."""

    temperature: float
    """The logits are divided by it; inside the fused graph, so never applied again outside."""
    min_probability: float
    """Below this top probability the recogniser abstains."""
    min_magnitude_percent_iod: float | None
    """Below this movement, percent of the inter-ocular distance, it was not validated; None where not measured."""

    def __post_init__(self) -> None:
        magnitude = 0.0 if self.min_magnitude_percent_iod is None else self.min_magnitude_percent_iod
        fits = 0 < self.temperature < math.inf and 0 <= self.min_probability <= 1 and 0 <= magnitude < math.inf
        if not fits:
            raise ContractError(f"{self}: expected temperature > 0, min_probability in 0..1 and magnitude >= 0")


@dataclass(frozen=True, slots=True)
class SourceNote:
    """Something the weights were made from."""

    name: str
    licence: str
    use: str
    """What it was used for."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """How the weights came to be."""

    data: str
    """What they were trained on, in words."""
    command: str
    """Command line that makes them again."""
    seed: int
    steps: int
    commit: str
    """Revision of this project."""
    sources: tuple[SourceNote, ...]
    metrics: Mapping[str, Any]
    """JSON values; each result with the protocol it was measured under."""

    def __post_init__(self) -> None:
        # Plain JSON values from the start: equal after a round trip, and deaf to later changes of the caller's dict.
        object.__setattr__(self, "metrics", _plain(self.metrics, "metrics"))


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything a bundle says about itself.

    Raises:
        ContractError: when built with labels other than the protocol's, or with impossible file names or hashes.
        UsageError: when built with a protocol that is not known.
    """

    name: str
    model: ModelCard
    protocol_id: str
    labels: tuple[str, ...]
    """Class names in the order of the logits: those of the protocol."""
    preprocess: PreprocessSpec
    provenance: Provenance
    calibration: Calibration
    licence: str
    intended_use: str
    """What the weights are for, and what they must not be used for."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256, lower-case hex, of every file but the manifest itself, by plain file name."""
    schema: str = SCHEMA_ID

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", dict(self.files))
        if self.schema != SCHEMA_ID:
            raise ContractError(f"schema is {self.schema!r}; this version reads {SCHEMA_ID!r}: update tsfmicro")
        expected = protocol(self.protocol_id).classes
        if self.labels != expected:
            raise ContractError(f"labels are {self.labels}; protocol {self.protocol_id} has {expected}, in this order")
        if self.model.classes != len(self.labels):
            raise ContractError(f"model has {self.model.classes} classes; expected {len(self.labels)}, one a label")
        for name, digest in self.files.items():
            require_plain_name(name)
            if not re.fullmatch(r"[0-9a-f]{64}", digest):
                raise ContractError(f"files[{name!r}] is {digest!r}; expected a SHA-256 of 64 lower-case hex digits")

    def to_json(self) -> str:
        """Deterministic JSON: sorted keys, two spaces, one newline at the end.

        Raises:
            ContractError: if a number is not finite.
        """
        values = {name: getattr(self, name) for name in _MANIFEST_KINDS if name != "preprocess_digest"}
        for name in ("model", "provenance", "calibration"):
            values[name] = asdict(values[name])
        if not self.model.options:
            del values["model"]["options"]
        values |= {"preprocess": self.preprocess.to_dict(), "preprocess_digest": self.preprocess.digest}
        return json.dumps(_plain(values, "manifest"), indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Read what :meth:`to_json` wrote.

        Raises:
            BundleError: on anything but exactly the fields of this schema, with values that fit together.
        """
        try:
            values = _plain(json.loads(text), "manifest")
            schema = values.get("schema") if isinstance(values, dict) else None
            if schema != SCHEMA_ID:
                raise BundleError(f"schema is {schema!r}; this version reads {SCHEMA_ID!r}: update tsfmicro")
            _require_fields(values, _MANIFEST_KINDS, "manifest")
            _require_model(values["model"])
            _require_fields(values["calibration"], _CALIBRATION_KINDS, "calibration")
            _require_fields(values["provenance"], _PROVENANCE_KINDS, "provenance")
            for note in values["provenance"]["sources"]:
                _require_fields(note, _SOURCE_KINDS, "provenance.sources")
            _require_fields(values["files"], dict.fromkeys(values["files"], str), "files")
            stated = values.pop("preprocess_digest")
            spec = PreprocessSpec.from_dict(values.pop("preprocess"))
            if spec.digest != stated:
                raise BundleError(f"preprocess_digest is {stated}; the preprocess spec beside it has {spec.digest}")
            provenance = values.pop("provenance")
            sources = tuple(SourceNote(**note) for note in provenance.pop("sources"))
            return cls(
                model=ModelCard(**values.pop("model")),
                labels=tuple(values.pop("labels")),
                preprocess=spec,
                provenance=Provenance(**provenance, sources=sources),
                calibration=Calibration(**values.pop("calibration")),
                **values,
            )
        except (ValueError, RecursionError, UsageError) as error:  # ContractError and JSON errors are ValueErrors
            raise BundleError(f"{MANIFEST_FILE} cannot be used: {error}") from error


_MANIFEST_KINDS: Mapping[str, Any] = {
    "schema": str, "name": str, "model": dict, "protocol_id": str, "labels": list, "preprocess": dict,
    "preprocess_digest": str, "provenance": dict, "calibration": dict, "licence": str, "intended_use": str,
    "files": dict,
}  # fmt: skip
_MODEL_KINDS: Mapping[str, Any] = {"name": str, "size": str, "fusion": str, "classes": int}
_CALIBRATION_KINDS: Mapping[str, Any] = {
    "temperature": (int, float), "min_probability": (int, float), "min_magnitude_percent_iod": (int, float, type(None)),
}  # fmt: skip
_SOURCE_KINDS: Mapping[str, Any] = {"name": str, "licence": str, "use": str}
_PROVENANCE_KINDS: Mapping[str, Any] = {
    "data": str, "command": str, "seed": int, "steps": int, "commit": str, "sources": list, "metrics": dict,
}  # fmt: skip


def _require_fields(values: Any, kinds: Mapping[str, Any], where: str) -> None:
    """Exactly these fields, of these types; a bool is no number."""
    if not isinstance(values, dict) or set(values) != set(kinds):
        got = sorted(values) if isinstance(values, dict) else type(values).__name__
        raise ContractError(f"{where} has {got}; expected the fields {sorted(kinds)}")
    for key, kind in kinds.items():
        if not isinstance(values[key], kind) or isinstance(values[key], bool):
            raise ContractError(f"{where}.{key} is {values[key]!r}, which is of the wrong type")


def _require_model(values: Any) -> None:
    """The fields every card has, and perhaps ``options``: plain strings and whole numbers by name."""
    stated = dict(values)
    options = stated.pop("options", {})
    _require_fields(stated, _MODEL_KINDS, "model")
    if not isinstance(options, dict):
        raise ContractError(f"model.options is {options!r}; expected an object")
    _require_fields(options, dict.fromkeys(options, (str, int)), "model.options")


def _plain(value: Any, where: str) -> Any:
    """Copy JSON-like ``value`` into plain dicts and lists; ContractError where a number is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ContractError(f"{where} is {value}; expected a finite number")
    if value is None or isinstance(value, str | int | float):
        return value
    raise ContractError(f"{where} is a {type(value).__name__}; expected str, int, float, bool, None, list or dict")


def require_plain_name(name: str) -> None:
    """Check that ``name`` can be a file of a bundle.

    Raises:
        ContractError: if not.
    """
    # A name with a folder in it could point outside the bundle.
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", name) or name == MANIFEST_FILE:
        raise ContractError(f"{name!r} cannot be a file of a bundle; expected a plain name such as {ONNX_FILE!r}")
