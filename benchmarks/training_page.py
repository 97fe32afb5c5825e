"""The figures of ``docs/training.md``, written from committed results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsfmicro.benchmarks.figures import read_json, read_result

LOSO_SCHEMA = "tsf.loso/1"
_FUSIONS = ("late", "temporal", "spatial")
_SPEEDS = ("train_base_bf16.json", "train_small_bf16.json")
_METRICS = ("acc", "uf1", "uar")


def training_figures(results: Path) -> str:
    """Markdown of the leave-one-subject-out runs on the synthetic corpus and of how fast training is.

    Args:
        results: folder with ``loso_synthetic_FUSION.json``, each the ``result.json`` of a run of ``tsf-train loso``,
            with ``portrait_only.json`` of the bundle they begin from, and with ``train_base_bf16.json`` and
            ``train_small_bf16.json``.

    Raises:
        UsageError: a result is missing or not what it should be.
    """
    runs = {
        fusion: read_result(results / f"loso_synthetic_{fusion}.json", "tsf-train loso", LOSO_SCHEMA)
        for fusion in _FUSIONS
    }
    late = runs["late"]
    spec, start = late["spec"], late["pretraining"]
    before = read_json(results / "portrait_only.json", "tsf-train evaluate")["held_out"][0]
    lines = [
        "| network | ACC | UF1 | UAR |",
        "|---|---|---|---|",
        *(_row(fusion, run) for fusion, run in runs.items()),
        *(
            _row(f"{fusion}, shuffled training labels", run["controls"]["shuffled"])
            for fusion, run in runs.items()
            if run["controls"]["shuffled"]
        ),
        f"| majority | {' | '.join(_plain(late['controls']['majority'][name]) for name in _METRICS)} |",
        "",
        f"`{spec['size']}`, {late['mode']}: {late['samples']} clips of {late['folds']} people, {len(late['classes'])} "
        f"classes, {len(late['seeds'])} seed, pooled over {late['folds']} folds; in brackets the 95 % interval of a "
        f"bootstrap that draws people. {spec['epochs']} epoch fixed in advance, batch {spec['batch']}, AdamW "
        f"{spec['learning_rate']:g}, weight decay {spec['weight_decay']:g}, begun from "
        f"the parts of `{start['bundle']}` ({start['network']}) that the network has. That bundle learned from "
        f"{_people(start)}. Before, it named {_plain(before['accuracy'])} of {before['pairs']} pairs of "
        f"{before['people']} people it had not seen, at "
        f"{before['amplitude_percent_iod']:g} % of the inter-ocular distance (`portrait_only.json`).",
        "",
        "| `--size` | batch | plain float32 loop, pairs a processor second | `--precision bf16` | processor ratio | "
        "ratio by the clock | rounds |",
        "|---|---|---|---|---|---|---|",
        *(_speed(read_result(results / name)) for name in _SPEEDS),
    ]
    return "\n".join(lines)


def _row(what: str, found: dict[str, Any]) -> str:
    return f"| {what} | {' | '.join(_cell(found[name]) for name in _METRICS)} |"


def _cell(values: dict[str, Any]) -> str:
    interval = values["ci95"]
    return _plain(values["mean"]) + (f" [{_plain(interval[0])}, {_plain(interval[1])}]" if interval else "")


def _plain(value: float) -> str:
    return f"{value:.3f}".removeprefix("0") if 0 <= value < 1 else f"{value:.3f}"


def _people(start: dict[str, Any]) -> str:
    """Who a bundle learned from, in its manifest's words, which begin with the people."""
    return str(start["data"]).partition(": ")[2].partition(";")[0]


def _speed(result: dict[str, Any]) -> str:
    plain, ours, ratio = result["rows"]
    settings = result["settings"]
    return (
        f"| {settings['size']} | {settings['batch']} | {plain['pairs_per_cpu_s']:.2f} | "
        f"{ours['pairs_per_cpu_s']:.2f} | {ratio['median_cpu']:.2f} | "
        f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) | {ratio['rounds']} |"
    )
