"""Every failure a user can meet, each with the exit code that scripts rely on.

A message says what was received, what was expected and what to type next, in one sentence or two.
"""

from __future__ import annotations

from typing import ClassVar


class TsfError(Exception):
    """Base of all errors this project raises on purpose."""

    exit_code: ClassVar[int] = 1


class ContractError(TsfError, ValueError):
    """A value broke the contract between two stages: wrong shape, dtype, order or unit."""


class UsageError(TsfError):
    """The command line or a configuration asks for something that does not exist."""

    exit_code = 2


class SourceError(TsfError):
    """The source cannot be opened, or holds no picture that can be decoded."""

    exit_code = 3


class SourceLostError(TsfError):
    """A source that did deliver frames stopped, and every retry failed.

    Args:
        message: for a person.
        reason: for a program, in one word; see ``source.lost``.
    """

    exit_code = 4

    def __init__(self, message: str, reason: str = "stopped") -> None:
        super().__init__(message)
        self.reason = reason


class BundleError(TsfError):
    """The bundle is missing, incomplete, or not what its manifest says."""

    exit_code = 5


class BackendError(TsfError):
    """The requested device, backend or precision is not available. There is no silent fallback."""

    exit_code = 6


class ParityError(TsfError):
    """An exported graph does not compute what the network computes."""

    exit_code = 7


class ObjectiveError(TsfError):
    """A benchmark ran and missed the objective it was given."""

    exit_code = 8


EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C, once everything is flushed and closed."""
