"""Folders that a run fills, and that must not mix with what another run left."""

from __future__ import annotations

from pathlib import Path

from tsfmicro.errors import UsageError


def make_new_folder(folder: Path, what: str) -> None:
    """Make an empty folder, or take one.

    Args:
        folder: missing parents are made too.
        what: is to be written there, for the messages.

    Raises:
        UsageError: it holds something already, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        reason = "it is a file" if folder.is_file() else error.strerror
        raise UsageError(f"no {what} can be written to {folder}: {reason}; name a new folder") from error
    if taken:
        raise UsageError(f"{folder} is not empty, and {what} replaces nothing; name a new folder")
