"""Rows on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_COLUMNS = (
    "variant", "method", "kind", "condition", "hidden", "tp", "fp", "fn", "f1", "f1_interval", "detection_rate",
    "apex_error_median_ms", "apex_midpoint_median_ms", "apex_onset_plus_constant_median_ms",
    "watched_s", "false_events_per_min", "false_events_per_min_interval", "blinks_rejected",
)  # fmt: skip


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Rows of one kind of figures as a table; a single row as a list of its figures."""
    if len(rows) == 1 and "kind" not in rows[0]:
        table = Table("what", "value")
        for name, value in rows[0].items():
            table.add_row(name, str(value))
    else:
        columns = [name for name in _COLUMNS if any(name in row for row in rows)]
        table = Table(*columns, "bars")
        for row in rows:
            if not {"curve", "stages"} & set(row):
                table.add_row(*(_text(row.get(name)) for name in columns), _bars(row.get("bars", {})))
    Console().print(table)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "–".join(map(str, value))
    return "" if value is None else str(value)


def _bars(bars: dict[str, Any]) -> str:
    return ", ".join(f"{name} {held['bar']}: {'met' if held['met'] else 'missed'}" for name, held in bars.items())
