"""Figures of a run as PNG, drawn without a display."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tsfmicro.training.explain import embed_tsne
from tsfmicro.training.loso.fold import FoldResult
from tsfmicro.training.pictures import overlay_heat, scatter_figure
from tsfmicro.values import AnyArray, Float32Array, UInt8Array

_DPI = 110


def confusion_figure(counts: AnyArray, names: Sequence[str], title: str) -> bytes:
    """Counts in cells, shaded by the share of their row."""
    figure = Figure(figsize=(1.6 + 0.75 * len(names), 1.2 + 0.75 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if share[row, column] > 0.55 else "black"
        text = f"{counts[row, column]}\n{100 * share[row, column]:.0f} %"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    axes.set_title(title, fontsize=10)
    return _png(figure)


def curves_figure(folds: Sequence[FoldResult]) -> bytes:
    """Training loss and accuracy by epoch: every fold thin, their mean thick."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, field in zip(panels, ("loss", "accuracy"), strict=True):
        _spread(axes, [[epoch[field] for epoch in fold.curve] for fold in folds], f"training {field}")
    inner = [[epoch["inner_loss"] for epoch in fold.curve if "inner_loss" in epoch] for fold in folds]
    if any(inner):
        _spread(panels[0], [values for values in inner if values], "inner validation loss", colour="tab:orange")
    for axes in panels:
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize=8)
    return _png(figure)


def _spread(axes: Axes, lines: Sequence[Sequence[float]], label: str, colour: str = "tab:blue") -> None:
    longest = max(len(values) for values in lines)
    marker = "o" if longest == 1 else None  # one epoch is no line
    for values in lines:
        axes.plot(range(1, len(values) + 1), values, color=colour, alpha=0.35, linewidth=0.8, marker=marker)
    mean = [np.mean([values[i] for values in lines if len(values) > i]) for i in range(longest)]
    axes.plot(range(1, longest + 1), mean, color=colour, linewidth=2, label=label, marker=marker)
    if longest == 1:
        axes.set_xlim(0, 2)


def tsne_figure(points: AnyArray, labels: Sequence[str], classes: Sequence[str], title: str) -> bytes:
    """Points in two dimensions, (N, D), by t-SNE.

    Args:
        points: at least :data:`~tsfmicro.training.explain.MIN_SAMPLES` of them.
        labels: N class names.
        classes: all names.
        title: over the picture.
    """
    return _png(scatter_figure(embed_tsne(points.astype(np.float32)), labels, classes, f"t-SNE of {title}"))


def cam_figure(
    names: Sequence[str], onset: UInt8Array, apex: UInt8Array, heats: Float32Array, second_title: str = "apex"
) -> bytes:
    """Onset, apex, and the evidence for the class over the onset, one class a row.

    Args:
        names: N classes.
        onset: (N, S, S, 3) uint8 RGB.
        apex: likewise.
        heats: (N, S, S) in 0..1.
        second_title: where the second picture is no apex.
    """
    figure = Figure(figsize=(6.6, 2.3 * len(names)), layout="constrained")
    panels: Any = figure.subplots(len(names), 3, squeeze=False)
    for row, name, first, second, heat in zip(panels, names, onset, apex, heats, strict=True):
        pictures = {f"{name}: onset": first, second_title: second, "Grad-CAM": overlay_heat(first, heat)}
        for axes, (title, picture) in zip(row, pictures.items(), strict=True):
            axes.imshow(picture)
            axes.set_title(title, fontsize=9)
            axes.set_axis_off()
    return _png(figure)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    return file.getvalue()
