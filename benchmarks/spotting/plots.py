"""Plots of the benchmark's rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tsfmicro.benchmarks.spotting.report import detection_by_amplitude
from tsfmicro.errors import UsageError


def draw(rows: Sequence[dict[str, Any]], folder: Path) -> tuple[Path, ...]:
    """Detection against amplitude, apex error against amplitude, and detection error trade-off, as PNG files.

    Raises:
        UsageError: if they cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds = list(dict.fromkeys(row["kind"] for row in rows if "detection_rate" in row))
    pictures = {
        "detection.png": ("peak, % of the inter-ocular distance", "share of injected events found"),
        "apex_error.png": ("peak, % of the inter-ocular distance", "median apex error, ms"),
        "det.png": ("false events a minute, nothing injected", "share of 3 % events missed"),
    }
    paths = []
    for name, (across, up) in pictures.items():
        figure, axes = pyplot.subplots(figsize=(6, 4.2))
        for kind in kinds:
            points = _points(name, rows, kind)
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=kind)
        axes.set(xlabel=across, ylabel=up)
        axes.grid(alpha=0.3)
        axes.legend()
        figure.tight_layout()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            figure.savefig(folder / name, dpi=110)
        except OSError as error:
            raise UsageError(f"the plots cannot be written to {folder}: {error.strerror}") from error
        pyplot.close(figure)
        paths.append(folder / name)
    return tuple(paths)


def _points(name: str, rows: Sequence[dict[str, Any]], kind: str) -> list[tuple[float, float]]:
    if name == "detection.png":
        return detection_by_amplitude(rows, kind)
    if name == "apex_error.png":
        errors = {row["condition"]: row.get("apex_error_median_ms") for row in rows if row["kind"] == kind}
        found = ((a, errors.get(f"{a:g}%")) for a, _ in detection_by_amplitude(rows, kind))
        return [(a, error) for a, error in found if error is not None]
    curves = [row["curve"] for row in rows if row["kind"] == kind and "curve" in row]
    return [(point["false_events_per_min"], 1 - point["detection_rate"]) for curve in curves for point in curve]
