"""Pictures of what :mod:`tsfmicro.training.explain` finds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tsfmicro.errors import ContractError, UsageError
from tsfmicro.values import Float32Array, UInt8Array

_HEAT = "turbo"
_OPACITY = 0.55
"""Of the hottest spot; cold ones leave the face as it is."""
_COLUMNS = 5
_DOTS_PER_INCH = 110


def overlay_heat(onset: UInt8Array, heat: Float32Array) -> UInt8Array:
    """The heat map over its crop.

    Args:
        onset: (H, W, 3) uint8 RGB.
        heat: (H, W) in 0..1.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    if onset.shape[:2] != heat.shape:
        raise ContractError(f"crop {onset.shape} and heat map {heat.shape} are not of one size")
    coloured = colormaps[_HEAT](heat)[..., :3] * 255.0  # (H, W, 3)
    opacity = _OPACITY * heat[..., None]
    blended: UInt8Array = np.rint((1 - opacity) * onset + opacity * coloured).astype(np.uint8)
    return blended


def write_heat_maps(path: Path, onsets: UInt8Array, heats: Float32Array, titles: Sequence[str]) -> None:
    """A sheet of onset crops with their heat maps, five in a row (as the paper's figure 7).

    Args:
        path: PNG to write.
        onsets: (N, H, W, 3) uint8 RGB.
        heats: (N, H, W) in 0..1.
        titles: N lines, one over each.

    Raises:
        UsageError: it cannot be written.
    """
    if not len(onsets) == len(heats) == len(titles) > 0:
        raise ContractError(f"{len(onsets)} crops, {len(heats)} heat maps, {len(titles)} titles; expected as many")
    columns = min(_COLUMNS, len(onsets))
    rows = math.ceil(len(onsets) / columns)
    figure = Figure(figsize=(2.1 * columns, 2.4 * rows), dpi=_DOTS_PER_INCH, layout="constrained")
    for index, (onset, heat, title) in enumerate(zip(onsets, heats, titles, strict=True)):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.imshow(overlay_heat(onset, heat))
        axes.set_title(title, fontsize=8)
        axes.set_axis_off()
    _save(figure, path)


def write_scatter(path: Path, points: Float32Array, labels: Sequence[str], classes: Sequence[str], title: str) -> None:
    """Write :func:`scatter_figure` to a PNG.

    Raises:
        UsageError: it cannot be written.
    """
    _save(scatter_figure(points, labels, classes, title), path)


def scatter_figure(points: Float32Array, labels: Sequence[str], classes: Sequence[str], title: str) -> Figure:
    """Points of a plane coloured by class (as the paper's figure 6).

    Args:
        points: (N, 2).
        labels: N class names.
        classes: all names, in the order of the legend.
        title: over the picture.
    """
    if len(points) != len(labels) or not set(labels) <= set(classes):
        raise ContractError(f"{len(points)} points and {len(labels)} labels of {sorted(set(labels))} do not fit")
    figure = Figure(figsize=(6.4, 5.2), dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    for number, name in enumerate(classes):
        own = points[[label == name for label in labels]]
        axes.scatter(own[:, 0], own[:, 1], s=26, color=colormaps["tab10"](number % 10), label=name, linewidths=0)
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])  # the axes of t-SNE mean nothing
    axes.set_yticks([])
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except OSError as error:
        raise UsageError(f"the picture cannot be written to {path}: {error.strerror}") from error
