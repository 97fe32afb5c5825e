"""The latencies of ``docs/export.md``, written from committed results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsfmicro.benchmarks.figures import read_result

_RESULTS = ("engine_base.json", "engine_small.json")


def engine_figures(results: Path) -> str:
    """Markdown of what each backend costs beside torch eager, and how far its answers are from it.

    Args:
        results: folder with ``engine_base.json`` and ``engine_small.json``.

    Raises:
        UsageError: a result is missing or not of schema ``tsf.bench/1``.
    """
    found = [read_result(results / name) for name in _RESULTS]
    lines = [
        "| size | backend | precision | pairs | ms | processor ms | time / torch eager (quartiles) | "
        "processor time / torch eager | largest difference |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for result in found:
        lines += [_row(result["settings"]["size"], row) for row in result["rows"] if "backend" in row]
    settings = found[0]["settings"]
    loads = " and ".join(f"{result['provenance']['load_average_1min']:.0f}" for result in found)
    where = found[0]["provenance"]
    lines += [
        "",
        f"Random weights; {settings['rounds']} calls of each backend, taking turns in one process, "
        f"{settings['threads']} thread of {where['cpu']} with {where['cpus']} CPUs, shared with much other work (load "
        f"average {loads}), so the ratios of neighbours in time say more than the times. Ratios are medians. "
        "Largest difference: of any probability from torch eager in float32.",
    ]
    return "\n".join(lines)


def _row(size: str, row: dict[str, Any]) -> str:
    ratio = row["ratio"]
    cells = (
        size,
        row["backend"],
        row["precision"],
        str(row["batch"]),
        f"{row['median_ms']:.0f}",
        f"{row['median_cpu_ms']:.0f}",
        f"{ratio['median']:.2f} ({ratio['p25']:.2f} to {ratio['p75']:.2f})",
        f"{ratio['cpu_median']:.2f}",
        f"{row['distance']['max_abs']:.0e}",
    )
    return f"| {' | '.join(cells)} |"
