"""What a check has to say: how it stands, in one sentence, and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tsfmicro.errors import BackendError, BundleError, ContractError

Status: TypeAlias = Literal["ok", "warn", "fail"]
"""``fail``: ``tsf-live`` would not run here, or would not leave its results. ``warn``: something that people use does
not work, or is not what was tested. ``ok``: neither, which includes things that are optional and absent."""

BUNDLE_CHECK = "bundle"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. Several findings may come from one check.

    Raises:
        ContractError: when built as a ``warn`` or ``fail`` that does not say how to mend it.
    """

    check: str
    """Short, stable name that scripts may select by."""
    status: Status
    detail: str
    """What was found, one line."""
    fix: str | None = None
    """What to type, or where no command helps, what to do. None where nothing is to be mended."""

    def __post_init__(self) -> None:
        if self.status != "ok" and not self.fix:
            raise ContractError(f"finding {self.check!r} is {self.status} and has no fix")
        if "\n" in self.detail + (self.fix or ""):
            raise ContractError(f"finding {self.check!r} has several lines; a finding is one line")


def exit_code(findings: Iterable[Finding]) -> int:
    """0 when nothing failed; 5 when nothing but a bundle did; otherwise 6."""
    failed = {finding.check for finding in findings if finding.status == "fail"}
    if not failed:
        return 0
    return BundleError.exit_code if failed == {BUNDLE_CHECK} else BackendError.exit_code


def one_line(text: str, most: int = 300) -> str:
    """``text`` with its line breaks turned into spaces, cut after ``most`` characters."""
    joined = " ".join(text.split())
    return joined if len(joined) <= most else joined[: most - 3] + "..."
