"""A bundle: one trained recogniser as a directory ``NAME.tsf/`` that is verified before any of it is used.

It holds ``manifest.json``, ``weights.safetensors``, usually ``model.onnx``, and may hold an engine per target. The
manifest lists the SHA-256 of every other file. Nothing here is ever unpickled, and nothing missing is ever replaced
by random weights.
"""

from __future__ import annotations

import difflib
import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_safetensors
from safetensors.numpy import save as to_safetensors

from tsfmicro.bundle_manifest import MANIFEST_FILE as MANIFEST_FILE
from tsfmicro.bundle_manifest import ONNX_FILE as ONNX_FILE
from tsfmicro.bundle_manifest import ONNX_HALF_FILE as ONNX_HALF_FILE
from tsfmicro.bundle_manifest import SCHEMA_ID as SCHEMA_ID
from tsfmicro.bundle_manifest import WEIGHTS_FILE as WEIGHTS_FILE
from tsfmicro.bundle_manifest import Calibration as Calibration
from tsfmicro.bundle_manifest import Manifest as Manifest
from tsfmicro.bundle_manifest import Provenance as Provenance
from tsfmicro.bundle_manifest import SourceNote as SourceNote
from tsfmicro.bundle_manifest import require_plain_name
from tsfmicro.errors import BundleError, ContractError
from tsfmicro.models.card import ModelCard as ModelCard

Tensor: TypeAlias = NDArray[Any]
"""A weight: any shape, any dtype that safetensors knows."""

LOADABLE_SUFFIXES = frozenset(
    {".onnx", ".safetensors", ".engine", ".plan", ".trt", ".bin", ".data", ".xml"}
    | {".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib"}
)
"""What some runtime would load: no such file may lie in a bundle unless the manifest lists it."""


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
    """Put ``data`` into the bundle as ``name``; see :func:`add_files`."""
    return add_files(bundle, {name: data})


def add_files(bundle: Bundle, contents: Mapping[str, bytes]) -> Bundle:
    """Put files into the bundle by name, replacing those of the same names, and list them in the manifest.

    The bundle is verified again first, as it stands on the disk, so a stale ``bundle`` cannot undo another change.

    Raises:
        BundleError: if it is not what its manifest says any more.
        ContractError: if a name is not a plain file name.
    """
    for name in contents:
        require_plain_name(name)
    current = read_bundle(bundle.path).manifest
    digests = {name: _sha256(data) for name, data in contents.items()}
    return _reseal(bundle.path, replace(current, files={**current.files, **digests}), contents)


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
