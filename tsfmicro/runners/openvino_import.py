"""Imports OpenVINO without its telemetry, which otherwise tells a server of every import, without being asked."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any, cast

_TELEMETRY = "openvino_telemetry"


def import_openvino() -> Any:
    """The module ``openvino``. Where it finds no telemetry it does without, and there it finds none.

    Raises:
        ModuleNotFoundError: if it is not installed.
    """
    if "openvino" in sys.modules:
        return import_module("openvino")
    missing = object()
    before = sys.modules.get(_TELEMETRY, missing)
    sys.modules[_TELEMETRY] = cast(ModuleType, None)  # to Python: a module that is known not to exist
    try:
        return import_module("openvino")
    finally:
        if before is missing:
            del sys.modules[_TELEMETRY]
        else:
            sys.modules[_TELEMETRY] = cast(ModuleType, before)
