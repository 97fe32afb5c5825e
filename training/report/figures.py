"""Figures of a run as PNG, drawn without a display."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

from tsfmicro.training.loso.fold import FoldResult
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
        axes.legend(fontsize=8)
    return _png(figure)


def _spread(axes: Axes, lines: Sequence[Sequence[float]], label: str, colour: str = "tab:blue") -> None:
    for values in lines:
        axes.plot(range(1, len(values) + 1), values, color=colour, alpha=0.15, linewidth=0.7)
    longest = max(len(values) for values in lines)
    mean = [np.mean([values[i] for values in lines if len(values) > i]) for i in range(longest)]
    axes.plot(range(1, longest + 1), mean, color=colour, linewidth=2, label=label)


def tsne_figure(folds: Sequence[FoldResult], names: Sequence[str], seed: int = 0) -> bytes | None:
    """The out-of-fold logits of every clip in two dimensions; None for fewer than eight clips."""
    logits = np.array([row for fold in folds for row in fold.logits])
    truth = np.array([label for fold in folds for label in fold.truth])
    if len(logits) < 8:
        return None
    scaled = (logits - logits.mean(axis=0)) / (logits.std(axis=0) + 1e-9)
    perplexity = min(30.0, (len(logits) - 1) / 3)
    places = TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(scaled)
    figure = Figure(figsize=(5.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for index, name in enumerate(names):
        mine = places[truth == index]
        axes.scatter(mine[:, 0], mine[:, 1], s=16, label=name)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(fontsize=8)
    axes.set_title("t-SNE of the logits of held-out people", fontsize=10)
    return _png(figure)


def cam_figure(rows: Sequence[tuple[str, UInt8Array, UInt8Array, Float32Array]]) -> bytes:
    """Onset, apex and the Grad-CAM over the apex, one class a row.

    Args:
        rows: title, two (S, S, 3) pictures, and the (S, S) map in 0..1.
    """
    figure = Figure(figsize=(6.6, 2.3 * len(rows)), layout="constrained")
    panels: Any = figure.subplots(len(rows), 3, squeeze=False)
    for (title, onset, apex, heat), (left, middle, right) in zip(rows, panels, strict=True):
        left.imshow(onset)
        middle.imshow(apex)
        right.imshow(apex)
        right.imshow(heat, cmap="jet", alpha=0.45, vmin=0, vmax=1)
        for axes, text in ((left, f"{title}: onset"), (middle, "apex"), (right, "Grad-CAM")):
            axes.set_title(text, fontsize=9)
            axes.set_xticks([])
            axes.set_yticks([])
    return _png(figure)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    return file.getvalue()
