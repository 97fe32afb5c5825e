"""What every result carries, so that a number can be traced to where it came from."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tsfmicro import __version__
from tsfmicro.errors import UsageError

SCHEMA_ID = "tsf.bench/1"
_PACKAGES = ("numpy", "opencv-contrib-python", "mediapipe", "onnxruntime", "av", "scikit-image", "torch", "openvino")


def provenance() -> dict[str, Any]:
    """Machine, versions and revision; no path and no host name."""
    return {
        "tsfmicro": __version__,
        "commit": _git("describe", "--always", "--dirty", "--abbrev=12"),
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cpus": os.cpu_count(),
        "load_average_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def write_result(path: Path, scenario: str, rows: Sequence[dict[str, Any]], settings: dict[str, Any]) -> None:
    """Write one result file of schema ``tsf.bench/1``.

    Raises:
        UsageError: nothing can be written there.
    """
    record = {
        "schema": SCHEMA_ID,
        "scenario": scenario,
        "settings": settings,
        "provenance": provenance(),
        "rows": list(rows),
    }
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


def _cpu_name() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
