"""What to type where a runtime is not installed, or a backend is not known."""

from __future__ import annotations

import difflib

from tsfmicro.errors import BackendError, UsageError


def not_installed(error: ModuleNotFoundError, module: str, backend: str, what: str) -> BackendError:
    """The failure to raise in place of ``error``; something else that is missing is a bug, and is raised as it is.

    Args:
        error: of the import.
        module: the runtime's.
        backend: as the user named it.
        what: to install, as pip wants it.
    """
    if error.name != module:
        raise error
    return BackendError(f"backend {backend} is not installed; type `pip install {what}`")


def not_known(backend: str, known: tuple[str, ...]) -> UsageError:
    """The failure to raise for the name of a backend that is none of those known."""
    near = difflib.get_close_matches(backend.lower(), known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}? It" if near else "it"
    return UsageError(f"backend {backend!r} is not known; {hint} is one of {', '.join(known)}")
