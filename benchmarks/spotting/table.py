"""Rows on the terminal, within 80 columns: one table of what was hidden and found, one of what was told of nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

_WHERE = {"kind": "footage", "condition": "condition"}
_HIDDEN = {
    "tp": "found", "fp": "false", "f1": "F1", "f1_interval": "95 %", "apex_error_median_ms": "apex ms",
    "apex_midpoint_median_ms": "mid ms", "apex_onset_plus_constant_median_ms": "const",
    "false_events_per_min": "a minute",
}  # fmt: skip
_UNTOUCHED = {
    "watched_s": "seconds", "false_events": "false", "false_events_per_min": "a minute",
    "false_events_per_min_interval": "95 %", "blinks": "blinks", "blinks_rejected": "rejected",
}  # fmt: skip
_FIGURE = {
    "f1": "F1",
    "apex_error_median_ms": "median apex error in ms",
    "false_events_per_min": "false events a minute",
    "blinks_rejected": "share of blinks rejected",
}


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Rows of one kind of figures as tables; a single row as a list of its figures."""
    console = Console()
    if len(rows) == 1 and "kind" not in rows[0]:
        table = Table("what", "value")
        for name, value in rows[0].items():
            table.add_row(name, str(value))
        console.print(table)
        return
    for name in dict.fromkeys(map(_name, rows)):
        own = [row for row in rows if _name(row) == name]
        _print(console, f"{name}: hidden, and found again", [row for row in own if "hidden" in row], _HIDDEN)
        untouched = [row for row in own if "hidden" not in row and {"false_events", "blinks"} & set(row)]
        _print(console, f"{name}: nothing hidden", untouched, _UNTOUCHED)


def _name(row: Mapping[str, Any]) -> str:
    return str(row.get("variant") or row.get("method") or "live")  # long videos have the live path alone


def _print(console: Console, title: str, rows: Sequence[dict[str, Any]], figures: Mapping[str, str]) -> None:
    """Columns that some row fills, and below them the bars that rows are held to."""
    if not rows:
        return
    figures = {name: head for name, head in figures.items() if any(name in row for row in rows)}
    console.print(title)  # as a title of the table it would be broken at the table's width
    table = Table(*_WHERE.values(), box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for head in figures.values():
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(str(row[name]) for name in _WHERE), *(_text(row, name) for name in figures))
    console.print(table)
    for row in rows:
        for name, held in row.get("bars", {}).items():
            what = f"{row['kind']} {row['condition']}: {_FIGURE[name]} {held['bar']}"
            console.print(f"{what} {'met' if held['met'] else 'missed'}", soft_wrap=True)
    console.print()


def _text(row: Mapping[str, Any], name: str) -> str:
    if name == "tp":
        return f"{row['tp']}/{row['hidden']}"
    value = row.get(name)
    return "-".join(map(_number, value)) if isinstance(value, list) else _number(value)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}".removesuffix(".00")
    return "" if value is None else str(value)
