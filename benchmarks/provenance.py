"""What every result carries, so that a number can be traced to where it came from."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tsfmicro import __version__
from tsfmicro.benchmarks.machine import machine
from tsfmicro.errors import UsageError

SCHEMA_ID = "tsf.bench/1"
_PACKAGES = ("numpy", "opencv-contrib-python", "mediapipe", "onnxruntime", "av", "scikit-image", "torch", "openvino")


def provenance(inputs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Machine, versions, revision and inputs; no path and no host name.

    Args:
        inputs: digests of what was measured on, by what it is: clips, bundle.
    """
    return {
        "tsfmicro": __version__,
        "commit": _git("describe", "--always", "--dirty", "--abbrev=12"),
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        **machine(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "inputs": dict(inputs or {}),
    }


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_result(
    path: Path,
    scenario: str,
    rows: Sequence[dict[str, Any]],
    settings: dict[str, Any],
    inputs: Mapping[str, Any] | None = None,
) -> None:
    """Write one result file of schema ``tsf.bench/1``.

    Raises:
        UsageError: nothing can be written there.
    """
    record = {
        "schema": SCHEMA_ID,
        "scenario": scenario,
        "settings": settings,
        "provenance": provenance(inputs),
        "rows": list(rows),
    }
    write_record(path, record)


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a result as it is.

    Raises:
        UsageError: nothing can be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the result cannot be written to {path}: {error.strerror}") from error


def _git(*words: str) -> str | None:
    folder = str(Path(__file__).resolve().parent)
    try:
        found = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
