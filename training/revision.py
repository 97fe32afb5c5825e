"""Which revision of this project is running."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit() -> str:
    """``git describe`` of the checkout; ``unknown`` outside of one."""
    words = ["git", "-C", str(Path(__file__).resolve().parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return found.stdout.strip() or "unknown"
