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
        "| network | backend | precision | load, s | pairs | ms | processor ms | floor, ms | × the floor | "
        "time / torch eager (quartiles) | processor time / torch eager | largest difference | labels changed |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
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
        "Largest difference: of any probability from torch eager of the same network in float32; labels changed: of as "
        "many probe pairs.",
        *_ceilings(found),
    ]
    return "\n".join(lines)


def _ceilings(found: list[dict[str, Any]]) -> list[str]:
    """What the floors were reckoned from; nothing for results that have none."""
    told = [
        f"`{result['settings']['size']}` {row['float32_gflops']:.0f} (float32) and {row['bfloat16_gflops']:.0f} "
        f"(bfloat16) GFLOP/s, {row['bandwidth_gb_s']:.1f} GB/s"
        for result in found
        for row in result["rows"]
        if row["what"] == "ceilings"
    ]
    if not told:
        return []
    return [
        "",
        "Floor: the longer of the network's arithmetic at the processor's best and of reading its weights once, both "
        f"measured in the same run and with as many threads: {'; '.join(told)}.",
    ]


def _row(size: str, row: dict[str, Any]) -> str:
    ratio, distance = row["ratio"], row["distance"]
    floor_ms = row.get("floor_ms")
    cells = (
        row.get("network", size),
        row["backend"],
        row["precision"],
        f"{row['load_s']:.1f}" if "load_s" in row else "",
        str(row["batch"]),
        f"{row['median_ms']:.0f}",
        f"{row['median_cpu_ms']:.0f}",
        "" if floor_ms is None else f"{floor_ms:.3g}",
        "" if floor_ms is None else f"{row['times_the_floor']:.1f}",
        f"{ratio['median']:.2f} ({ratio['p25']:.2f} to {ratio['p75']:.2f})",
        f"{ratio['cpu_median']:.2f}",
        f"{distance['max_abs']:.0e}",
        f"{distance['label_flips']} of {distance['pairs']}",
    )
    return f"| {' | '.join(cells)} |"
