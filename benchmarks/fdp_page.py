"""The figures of ``docs/fdp.md``, written from committed results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsfmicro.benchmarks.figures import read_result


def fdp_figures(results: Path) -> str:
    """Markdown of the recognisers side by side, and of a run of each on real footage.

    Args:
        results: folder with ``recognisers.json`` and ``naming.json``.

    Raises:
        UsageError: a result is missing or not of schema ``tsf.bench/1``.
    """
    compared, named = read_result(results / "recognisers.json"), read_result(results / "naming.json")
    return "\n".join([*_compared(compared), "", *_named(named)])


def _compared(result: dict[str, Any]) -> list[str]:
    rows = result["rows"]
    first = rows[0]
    settings = {(r["epochs"], r["batch"], r["learning_rate"], r["weight_decay"], bool(r["pretraining"])) for r in rows}
    trained = "; ".join(
        f"{epochs} epochs fixed in advance, batch {batch}, AdamW {rate:g}, weight decay {decay:g}, "
        f"{'fine-tuned' if started else 'from random weights'}"
        for epochs, batch, rate, decay, started in sorted(settings)
    )
    seeds = "one seed" if first["seeds"] == 1 else f"{first['seeds']} seeds"
    return [
        "| network | parameters | GMACs | ms an event | processor ms | ACC | UF1 | UAR |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(row) for row in rows),
        f"| majority | | | | | | {_plain(first['majority_uf1'])} | |",
        "",
        f"Honest: {first['clips']} synthetic clips of {first['people']} people, {seeds}, pooled over "
        f"{first['people']} folds; in brackets the 95 % interval of a bootstrap that draws people. {trained}. "
        f"Times in torch, {result['settings']['threads']} thread, median of {result['settings']['rounds']} in turns "
        "(`benchmarks/results/recognisers.json`).",
    ]


def _row(row: dict[str, Any]) -> str:
    scores = " | ".join(f"{_plain(row[name])} {_interval(row[f'{name}_ci95'])}" for name in ("acc", "uf1", "uar"))
    return (
        f"| {row['network']} | {row['parameters']:,} | {row['gmacs']:.3f} | {row['latency_ms']:.0f} | "
        f"{row['processor_ms']:.0f} | {scores} |"
    )


def _named(result: dict[str, Any]) -> list[str]:
    rows = [row for row in result["rows"] if "recogniser" in row]
    pairs = [row for row in result["rows"] if "recognisers" in row and row["events_of_both"]]
    agreed = "; ".join(
        f"{row['clip']}, {row['recognisers']}: {row['same_most_likely']} of {row['events_of_both']}" for row in pairs
    )
    return [
        "| clip | recogniser | micro-expressions | given a label | most likely | windows | given a label |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row['clip']} | {row['recogniser']} | {row['micro_expressions']} | {row['answered']} | "
            f"{_counted(row['most_likely'])} | {_or_dash(row['windows'])} | "
            f"{row['windows_answered'] if row['windows'] else '–'} |"
            for row in rows
        ),
        "",
        f"Windows every {result['settings']['slide_s']:g} s (`--slide`). The same most likely class: "
        f"{agreed or 'no event to compare'}. Nobody knows what filmed people felt: this shows that the path runs, "
        "not how right it is (`benchmarks/results/naming.json`).",
    ]


def _counted(labels: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(labels.items(), key=lambda i: (-i[1], i[0]))) or "–"


def _or_dash(count: int) -> str:
    return str(count) if count else "–"


def _plain(value: float) -> str:
    return f"{value:.3f}".removeprefix("0") if 0 <= value < 1 else f"{value:.3f}"


def _interval(text: str) -> str:
    """``"[0.412, 0.5]"`` in the style of the page."""
    low, high = (float(part) for part in text.strip("[]").split(","))
    return f"[{_plain(low)}, {_plain(high)}]"
