"""What to type where a runtime is not installed."""

from __future__ import annotations

from tsfmicro.errors import BackendError


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
