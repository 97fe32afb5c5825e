"""The table of ``docs/models.md``, written from committed results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsfmicro.benchmarks.figures import read_result

_PAPER = (("casme2_5c", "CASME II 5"), ("casme2_3c", "CASME II 3"), ("samm_5c", "SAMM 5"), ("samm_3c", "SAMM 3"))
_FORWARDS_A_STEP = 3
"""Forward, and the two products that each product has in the backward pass."""
_TRAININGS = ("step_base.json", "step_small.json")


def model_figures(results: Path) -> str:
    """Markdown of what the family costs and of how long a training step takes.

    Args:
        results: folder with ``models.json``, ``step_base.json``, ``step_small.json`` and ``ceiling.json``.

    Raises:
        UsageError: a result is missing or not of schema ``tsf.bench/1``.
    """
    models = read_result(results / "models.json")
    trainings = [read_result(results / name) for name in _TRAININGS]
    heads = " | ".join(f"{title} (paper)" for _, title in _PAPER)
    where = models["provenance"]
    lines = [
        f"| model | size | fusion | parameters | GMACs | ms | processor ms | {heads} |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(_row(row) for row in models["rows"]),
        "",
        f"Parameters for {models['rows'][0]['classes']} classes. GMACs: multiply-adds of one pair in convolutions and "
        "matrix products, 10⁹. ms: median time, and processor time, of "
        f"{models['settings']['rounds']} pairs one by one, the networks taking turns, through the fused recogniser in "
        f"torch {_torch(models)}, float32, {models['settings']['threads']} thread of {where['cpu']}, shared with other "
        "work.",
        "",
        "Forward and backward of late fusion, float32, one thread, beside `benchmarks/naive.py`, alternating in one "
        "process:",
        "",
        "| size | batch | naive, s (processor) | network, s (processor) | ratio by pairs | processor ratio | rounds |",
        "|---|---|---|---|---|---|---|",
        *(_training_row(result) for result in trainings),
        "",
        _bound(read_result(results / "ceiling.json"), models, trainings),
    ]
    return "\n".join(lines)


def _row(row: dict[str, Any]) -> str:
    paper = row.get("paper", {})
    quoted = [f"{paper[key][0]:.2f} / {paper[key][1]:.2f}" if paper else "" for key, _ in _PAPER]
    own = (row["model"], row["size"], row["fusion"], f"{row['parameters']:,}", f"{row['gmacs']:.3f}")
    times = (f"{row['latency_ms']:.0f}", f"{row['processor_ms']:.0f}")
    return f"| {' | '.join([*own, *times, *quoted])} |"


def _training_row(result: dict[str, Any]) -> str:
    naive, ours, ratio = result["rows"]
    settings = result["settings"]
    seconds = [f"{row['median_s']:.2f} ({row['median_cpu_s']:.2f})" for row in (naive, ours)]
    return (
        f"| {settings['size']} | {settings['batch']} | {' | '.join(seconds)} | "
        f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) | {ratio['median_cpu']:.2f} | "
        f"{ratio['rounds']} |"
    )


def _bound(ceiling: dict[str, Any], models: dict[str, Any], trainings: list[dict[str, Any]]) -> str:
    """What no step can fall below: its multiply-adds at the speed of the fastest square product."""
    best = max(ceiling["rows"], key=lambda row: float(row["best_gmacs_per_cpu_s"]))
    speed = best["best_gmacs_per_cpu_s"]
    gmacs = {
        row["size"]: row["gmacs"] for row in models["rows"] if (row["model"], row["fusion"]) == ("tsfmicro", "late")
    }
    parts = []
    for result in trainings:
        settings = result["settings"]
        work = _FORWARDS_A_STEP * settings["batch"] * gmacs[settings["size"]]
        naive = result["rows"][0]["median_cpu_s"]
        parts.append(
            f"`{settings['size']}`: {work:.1f} G multiply-adds, {work / speed:.2f} s, "
            f"{work / speed / naive:.2f} of the naive step"
        )
    return (
        f"The bound: a step multiplies what three forward passes do, and the best of {ceiling['settings']['rounds']} "
        f"{best['what']} ran at {speed:.1f} G multiply-adds a processor second. Were everything else free, the step "
        f"would take: {'; '.join(parts)}."
    )


def _torch(result: dict[str, Any]) -> str:
    return str(result["provenance"]["packages"]["torch"])
