"""A bundle: one trained recogniser as a directory ``NAME.tsf/`` that is verified before any of it is used.

It holds ``manifest.json``, ``weights.safetensors``, usually ``model.onnx``, and may hold an engine per target. The
manifest lists the SHA-256 of every other file. Nothing here is ever unpickled, and nothing missing is ever replaced
by random weights.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_safetensors
from safetensors.numpy import save as to_safetensors

from tsfmicro.errors import BundleError, ContractError, UsageError
from tsfmicro.labels import protocol
from tsfmicro.models.card import ModelCard as ModelCard
from tsfmicro.preprocess import PreprocessSpec

Tensor: TypeAlias = NDArray[Any]
"""A weight: any shape, any dtype that safetensors knows."""

SCHEMA_ID = "tsf.bundle/1"
MANIFEST_FILE, WEIGHTS_FILE, ONNX_FILE = "manifest.json", "weights.safetensors", "model.onnx"

LOADABLE_SUFFIXES = frozenset(
    {".onnx", ".safetensors", ".engine", ".plan", ".trt", ".bin", ".data", ".xml"}
    | {".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib"}
)
"""What some runtime would load: no such file may lie in a bundle unless the manifest lists it."""


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
            _require_plain_name(name)
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


def _require_plain_name(name: str) -> None:
    # A name with a folder in it could point outside the bundle.
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", name) or name == MANIFEST_FILE:
        raise ContractError(f"{name!r} cannot be a file of a bundle; expected a plain name such as {ONNX_FILE!r}")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that :func:`read_bundle` has verified."""

    path: Path
    manifest: Manifest

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, hex; through the hashes in it, of the whole bundle."""
        return _sha256(self.manifest.to_json().encode())

    def file(self, name: str) -> Path:
        """Path of a file the manifest lists.

        Raises:
            BundleError: if it does not, saying what it lists.
        """
        if name not in self.manifest.files:
            listed = ", ".join(sorted(self.manifest.files)) or "nothing"
            cure = "make it again" if name == WEIGHTS_FILE else f"type `tsf-export {self.path}` to add exports"
            raise BundleError(f"{self.path} has no {name}, only {listed}; {cure}")
        return self.path / name

    def read(self, name: str) -> bytes:
        """Content of a listed file, checked again, so that what is used is what was verified.

        Raises:
            BundleError: if it is not listed, cannot be read or has changed.
        """
        path = self.file(name)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BundleError(f"{path} is listed in the manifest but cannot be read: {error.strerror}") from error
        actual, stated = _sha256(data), self.manifest.files[name]
        if actual != stated:
            raise BundleError(
                f"{path} has SHA-256 {actual[:12]}..., its manifest says {stated[:12]}...: "
                "it was changed or damaged; fetch or make the bundle again"
            )
        return data

    def weights(self) -> dict[str, Tensor]:
        """Tensors by name; those stored as float16 come back as float32.

        Raises:
            BundleError: if the file is not valid safetensors.
        """
        try:
            tensors = parse_safetensors(self.read(WEIGHTS_FILE))
        except (SafetensorError, KeyError, ValueError) as error:
            raise BundleError(f"{self.path / WEIGHTS_FILE} is not valid safetensors: {error}") from error
        return {name: t.astype(np.float32) if t.dtype == np.float16 else t for name, t in tensors.items()}


def default_bundle_path() -> Path:
    """Where the demonstration bundle that ships with the package lies."""
    return Path(__file__).parent / "bundles" / "demonstration.tsf"


def read_bundle(path: Path | str) -> Bundle:
    """Open a bundle and verify all of it: manifest, every listed file, and that nothing loadable lies beside them.

    Raises:
        BundleError: saying what is wrong and what to do about it.
    """
    path = Path(path)
    if not path.is_dir():
        raise BundleError(f"no bundle at {path}: {_near(path)}")
    try:
        text = (path / MANIFEST_FILE).read_bytes()
    except OSError as error:
        raise BundleError(f"{path} has no readable {MANIFEST_FILE}, so it is no bundle: {_near(path)}") from error
    try:
        manifest = Manifest.from_json(text)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
    bundle = Bundle(path, manifest)
    bundle.file(WEIGHTS_FILE)
    for name in sorted(manifest.files):
        bundle.read(name)
    for stray in sorted(path.rglob("*")):
        listed = stray.parent == path and stray.name in manifest.files
        if stray.suffix.lower() in LOADABLE_SUFFIXES and not listed:
            raise BundleError(f"{stray} is not listed in the manifest of {path}; remove it, or make the bundle again")
    return bundle


def _near(path: Path) -> str:
    """Bundles the user may have meant, and the command that makes one."""
    folder = next((p for p in (path, path.parent) if p.is_dir() and any(p.glob("*.tsf"))), Path())
    seen = {p.name: p for p in sorted(folder.glob("*.tsf")) if p.is_dir() and p != path}
    ranked = difflib.get_close_matches(path.name, seen, n=5, cutoff=0.0)
    near = f"there is {', '.join(str(seen[name]) for name in ranked)}; " if ranked else ""
    name = path.name.removesuffix(".tsf") or "demonstration"
    make = f"`tsf-train demonstration --out {name}.tsf`"
    return f"{near}type {make} to make one, or name none for the one that ships"


def round_to_half(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and kernels (two axes or more, floating point) as float16; vectors and integers as they are.

    Raises:
        ContractError: naming a tensor with a value that float16 cannot hold.
    """
    rounded = {}
    for name, tensor in weights.items():
        if tensor.ndim >= 2 and np.issubdtype(tensor.dtype, np.floating):
            if not np.all(np.abs(tensor) <= np.finfo(np.float16).max):
                raise ContractError(f"{name} has values that float16 cannot hold; store it as float32")
            tensor = tensor.astype(np.float16)
        rounded[name] = tensor
    return rounded


def require_replaceable(path: Path | str) -> None:
    """Check that a bundle may be written to ``path``; worth asking before an hour of training.

    Raises:
        BundleError: if something that is no bundle lies there.
    """
    target = Path(path).resolve()
    is_vacant = not target.exists() or (target.is_dir() and not any(target.iterdir()))
    if not is_vacant and not (target / MANIFEST_FILE).is_file():
        raise BundleError(f"{path} exists and is no bundle, so it is not replaced; choose another name")


def write_bundle(path: Path | str, manifest: Manifest, weights: Mapping[str, Tensor]) -> Bundle:
    """Write a new bundle, or replace one; a failure on the way leaves what was there before.

    Args:
        path: the directory, ``NAME.tsf`` by convention.
        manifest: what it says about itself; its ``files`` are replaced by those written here.
        weights: tensors by name, stored with the dtype they have.

    Raises:
        BundleError: if something that is no bundle lies at ``path``.
        ContractError: if a weight is not finite.
    """
    path = Path(path)
    target = path.resolve()
    require_replaceable(path)
    for name, tensor in weights.items():
        if np.issubdtype(tensor.dtype, np.floating) and not np.all(np.isfinite(tensor)):
            raise ContractError(f"weight {name} holds NaN or infinity; such a network is not worth keeping")
    data = to_safetensors({name: weights[name] for name in sorted(weights)})
    manifest = replace(manifest, files={WEIGHTS_FILE: _sha256(data)})
    target.parent.mkdir(parents=True, exist_ok=True)
    holding = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    fresh, former = holding / "new", holding / "old"
    try:
        fresh.mkdir()
        (fresh / WEIGHTS_FILE).write_bytes(data)
        (fresh / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8", newline="\n")
        if target.exists():
            target.rename(former)
        fresh.rename(target)
    finally:
        if former.exists() and not target.exists():  # interrupted between the two renames
            former.rename(target)
        shutil.rmtree(holding, ignore_errors=True)
    return Bundle(path, manifest)


def add_file(bundle: Bundle, name: str, data: bytes) -> Bundle:
    """Put ``data`` into the bundle as ``name``, replacing a file of that name, and list it in the manifest.

    The bundle is verified again first, as it stands on the disk, so a stale ``bundle`` cannot undo another change.

    Raises:
        BundleError: if it is not what its manifest says any more.
        ContractError: if ``name`` is not a plain file name.
    """
    _require_plain_name(name)
    current = read_bundle(bundle.path).manifest
    manifest = replace(current, files={**current.files, name: _sha256(data)})
    return _reseal(bundle.path, manifest, {name: data})


def update_metrics(bundle: Bundle, metrics: Mapping[str, Any]) -> Bundle:
    """Merge ``metrics`` into those of the provenance, key by key at the top level.

    Raises:
        BundleError: if the bundle is not what its manifest says any more.
        ContractError: if a number is not finite or a value is not JSON.
    """
    current = read_bundle(bundle.path).manifest
    provenance = replace(current.provenance, metrics={**current.provenance.metrics, **metrics})
    return _reseal(bundle.path, replace(current, provenance=provenance), {})


def _reseal(path: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> Bundle:
    """Replace files and then the manifest; all that is slow or can fail happens before the first replacement."""
    contents = {**contents, MANIFEST_FILE: manifest.to_json().encode()}
    holding = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.resolve().parent))
    try:
        for name, data in contents.items():
            (holding / name).write_bytes(data)
        for name in contents:
            (holding / name).replace(path / name)
    finally:
        shutil.rmtree(holding, ignore_errors=True)
    return Bundle(path, manifest)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
