"""How this Python installs packages, and how this system does: the beginnings of the commands that mend."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import tsfmicro


@dataclass(frozen=True, slots=True)
class Installation:
    """Where the running code lies and what installs into its environment."""

    python: Path
    checkout: Path | None
    """Root of the checkout the code runs from; None when it was installed from a wheel."""
    has_pip: bool
    has_uv: bool
    is_root: bool

    @property
    def pip(self) -> str:
        """Beginning of a command: ``.../python -m pip`` or ``uv pip``, up to the verb."""
        if self.has_pip or not self.has_uv:
            return f"{shlex.quote(str(self.python))} -m pip"
        return "uv pip"

    @property
    def into(self) -> str:
        """What has to follow the verb so that it is this environment that changes."""
        if self.has_pip or not self.has_uv:
            return ""
        return f" --python {shlex.quote(str(self.python))}"

    @property
    def constraints(self) -> tuple[str, ...]:
        """Options that keep an installation to the tested versions, where these are at hand."""
        return () if self.checkout is None else ("-c", str(self.checkout / "constraints.txt"))

    def install(self, *what: str) -> str:
        """Command that installs ``what``, options and requirements."""
        words = (*self.constraints, *what)
        return f"{self.pip} install{self.into} {' '.join(shlex.quote(word) for word in words)}"

    def reinstall(self, *what: str) -> str:
        """Command that writes the files of these distributions again, and of no other."""
        return self.install("--force-reinstall", "--no-deps", *what)

    def uninstall(self, *names: str) -> str:
        """Command that removes distributions without asking."""
        yes = " -y" if self.pip != "uv pip" else ""
        return f"{self.pip} uninstall{yes}{self.into} {' '.join(names)}"

    def install_project(self, extra: str = "") -> str:
        """Command that installs what this project lacks, with the tested versions where they are known."""
        wanted = f"[{extra}]" if extra else ""
        if self.checkout is None:
            return self.install(f"tsfmicro{wanted}")
        return self.install("-e", f"{self.checkout}{wanted}")

    def as_root(self, command: str) -> str:
        """``command`` with sudo where it is needed."""
        return command if self.is_root else f"sudo {command}"


def this_installation() -> Installation:
    """Look at the running one."""
    root = Path(tsfmicro.__file__).resolve().parents[1]
    return Installation(
        python=Path(sys.executable),
        checkout=root if (root / "pyproject.toml").is_file() else None,
        has_pip=find_spec("pip") is not None,
        has_uv=shutil.which("uv") is not None,
        is_root=hasattr(os, "geteuid") and os.geteuid() == 0,
    )
