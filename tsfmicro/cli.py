"""The console scripts. A command is imported only when it is asked for: none waits for another's libraries."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer

from tsfmicro.errors import EXIT_INTERRUPTED, BackendError, TsfError
from tsfmicro.heaps import share_heaps
from tsfmicro.redaction import without_credentials

DEBUG_VARIABLE = "TSFMICRO_DEBUG"

_CommandLineError: Any = typer.BadParameter.__mro__[2]
"""click.ClickException: typer brings a click of its own, or the shared one, and names it publicly in neither case."""


def live() -> None:
    """``tsf-live``."""
    share_heaps()
    _run("tsf-live", "tsfmicro.realtime.commands", ())


def train() -> None:
    """``tsf-train``."""
    _run("tsf-train", "tsfmicro.training.commands", ("torch", "sklearn", "openpyxl", "xlrd"))


def export() -> None:
    """``tsf-export``."""
    _run("tsf-export", "tsfmicro.export.commands", ("torch", "onnx", "onnxscript"))


def bench() -> None:
    """``tsf-bench``, which runs sessions as ``tsf-live`` does."""
    share_heaps()
    _run("tsf-bench", "tsfmicro.benchmarks.commands", ())


def doctor() -> None:
    """``tsf-doctor``."""
    _run("tsf-doctor", "tsfmicro.doctor.commands", ())


def _run(name: str, module: str, extra_packages: tuple[str, ...]) -> None:
    """Run a command and turn whatever happens into its exit code."""
    sys.exit(_exit_code(lambda: _call(name, module, extra_packages)))


def _call(name: str, module: str, extra_packages: tuple[str, ...]) -> int:
    try:
        app: typer.Typer = import_module(module).app
    except ModuleNotFoundError as error:
        if error.name not in extra_packages:
            raise
        extra = name.removeprefix("tsf-")
        raise BackendError(f"{name} needs {error.name}; type: pip install 'tsfmicro[{extra}]'") from error
    # Not standalone: it answers typer.Exit (after --help, say) with the code instead of leaving.
    code = app(prog_name=name, standalone_mode=False)
    return code if isinstance(code, int) else 0


def _exit_code(command: Callable[[], int]) -> int:
    try:
        code = command()
    except _CommandLineError as refused:
        refused.show()
        return int(refused.exit_code)
    except TsfError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    except Exception as error:  # the last edge before the user: a sentence, not a traceback
        if os.environ.get(DEBUG_VARIABLE):
            print(without_credentials(traceback.format_exc()), file=sys.stderr)  # noqa: T201
        print(  # noqa: T201
            f"error: unexpected {type(error).__name__}: {without_credentials(str(error))}; "
            f"set {DEBUG_VARIABLE}=1 for the traceback and report it",
            file=sys.stderr,
        )
        return 1
    if code == EXIT_INTERRUPTED:  # typer answers Ctrl-C with this code itself
        print("interrupted; everything up to here is written", file=sys.stderr)  # noqa: T201
    return code
