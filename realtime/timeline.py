"""One picture of a run: the score of every face over time, what was found, and what was truly there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tsfmicro.errors import ContractError, UsageError
from tsfmicro.realtime.overlay import EMOTION_COLOURS
from tsfmicro.values import Float64Array

SpanKind: TypeAlias = Literal["event", "rejected", "truth"]

MAX_FACES = 12
"""Rows of one picture; further faces are only counted."""
_INK, _MUTED, _GRID, _REJECTED = "#1f2730", "#67727e", "#e4e8ec", "#8b949e"
_GAP_S = 0.5
"""The line is broken where a face was out of view for longer."""
_LANES = 3
"""Lines of text above the curve."""
_LANE_SHARE = 0.13
"""Height of one of them, as a share of the row."""
_INCH_PER_LETTER = 0.063
_PLATE: dict[str, Any] = {"boxstyle": "round,pad=0.22", "facecolor": "white", "linewidth": 1.1}


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """The score of one face over time."""

    face_id: int
    t_s: Sequence[float] | Float64Array
    """(N,) media seconds, increasing."""
    score: Sequence[float] | Float64Array
    """(N,) robust z-scores; NaN where there is none."""
    threshold: float
    """Score from which a movement counts."""

    def __post_init__(self) -> None:
        if len(self.t_s) != len(self.score):
            raise ContractError(f"Trace has {len(self.t_s)} times and {len(self.score)} scores; expected as many")


@dataclass(frozen=True, slots=True)
class Span:
    """A movement from onset to offset, media seconds."""

    face_id: int
    onset_s: float
    apex_s: float
    offset_s: float
    label: str
    """Emotion; for an abstention or a rejection whatever is to be shown as the name."""
    kind: SpanKind
    detail: str
    """Shown after the label: a probability such as ``0.87``, or the reason of a rejection; may be empty."""

    def __post_init__(self) -> None:
        if not self.onset_s <= self.apex_s <= self.offset_s:
            times = (self.onset_s, self.apex_s, self.offset_s)
            raise ContractError(f"Span has onset, apex, offset at {times} s; expected them in this order")
        if self.kind not in get_args(SpanKind):
            raise ContractError(f"Span.kind is {self.kind!r}; expected one of {', '.join(get_args(SpanKind))}")

    @property
    def colour(self) -> str:
        """Hexadecimal colour of the emotion; grey for a rejection."""
        if self.kind == "rejected":
            return _REJECTED
        red, green, blue = EMOTION_COLOURS.get(self.label.lower(), EMOTION_COLOURS["others"])
        return f"#{red:02x}{green:02x}{blue:02x}"


def write_timeline(
    path: str | Path,
    traces: Sequence[Trace],
    events: Sequence[Span],
    truth: Sequence[Span] | None = None,
    title: str = "",
) -> None:
    """Write the picture as PNG.

    Args:
        path: the file; missing folders are made.
        traces: one for every face, in the order of the rows.
        events: what was found, of kinds ``event`` and ``rejected``; drawn in the row of the face they name.
        truth: what was truly there, of kind ``truth``, where it is known; drawn as a strip below the face it names,
            or at the bottom where no trace has that face.
        title: a line above.

    Raises:
        UsageError: nothing can be written there.
    """
    path = Path(path)
    figure = _figure(traces, events, truth or (), title)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # No program version in the file: the same run gives the same picture.
        figure.savefig(path, format="png", metadata={"Software": None})
    except OSError as error:
        raise UsageError(f"the timeline cannot be written to {path}: {error.strerror}; name another file.") from error


def _figure(traces: Sequence[Trace], events: Sequence[Span], truth: Sequence[Span], title: str) -> Figure:
    shown = traces[:MAX_FACES]
    by_face = {trace.face_id: [s for s in truth if s.face_id == trace.face_id] for trace in shown}
    homeless = [span for span in truth if span.face_id not in by_face]
    rows: list[tuple[Trace | None, list[Span]]] = []
    for trace in shown:
        rows.append((trace, []))
        if by_face[trace.face_id]:
            rows.append((None, by_face[trace.face_id]))
    if homeless or not rows:
        rows.append((None, homeless))
    end_s = max([float(t.t_s[-1]) for t in shown if len(t.t_s)] + [s.offset_s for s in (*events, *truth)], default=1.0)
    start_s = min([float(t.t_s[0]) for t in shown if len(t.t_s)] + [s.onset_s for s in (*events, *truth)], default=0.0)
    end_s = max(end_s, start_s + 0.1)
    width = float(np.clip(9.0 + (end_s - start_s) / 8.0, 10.0, 24.0))
    heights = [1.9 if trace else 0.3 for trace, _ in rows]
    head, foot, side, legend = 0.62, 0.62, 0.85, 1.75
    height = sum(heights) + 0.12 * (len(rows) - 1) + head + foot
    figure = Figure(figsize=(width, height), dpi=120, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        len(rows),
        1,
        height_ratios=heights,
        hspace=0.12 * len(rows) / sum(heights),
        left=side / width,
        right=1 - legend / width,
        bottom=foot / height,
        top=1 - head / height,
    )
    letter_s = _INCH_PER_LETTER * (end_s - start_s) / (width - side - legend)
    axes = figure.add_subplot(grid[0])
    for number, (row_trace, spans) in enumerate(rows):
        if number:
            axes = figure.add_subplot(grid[number], sharex=axes)
        _dress(axes)
        if row_trace is not None:
            _draw_score(axes, row_trace)
            _draw_spans(axes, [s for s in events if s.face_id == row_trace.face_id], letter_s, (start_s, end_s))
        else:
            _draw_truth(axes, spans)
    margin = 0.01 * (end_s - start_s)
    axes.set_xlim(start_s - margin, end_s + margin)
    axes.tick_params(labelbottom=True)
    axes.set_xlabel("time in the source (s)", fontsize=9.5, color=_INK)
    if not traces:
        axes.text(0.5, 0.5, "no face was followed", transform=axes.transAxes, ha="center", va="center", color=_MUTED)
    if len(traces) > len(shown):
        title = f"{title}  (first {len(shown)} of {len(traces)} faces)"
    figure.text(side / width, 1 - 0.3 / height, title, fontsize=12, fontweight="bold", color=_INK, va="center")
    figure.legend(
        handles=_legend([*events, *truth]),
        loc="upper left",
        frameon=False,
        fontsize=9,
        labelcolor=_INK,
        bbox_to_anchor=(1 - (legend - 0.08) / width, 1 - (head - 0.1) / height),
    )
    return figure


def _dress(axes: Axes) -> None:
    """Quiet frame and grid; no numbers below, which only the last row gets."""
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("bottom", "left"))
        spine.set_color(_GRID)
    axes.grid(axis="x", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_MUTED, labelsize=8.5, length=0, labelbottom=False)


def _draw_score(axes: Axes, trace: Trace) -> None:
    t_s, score = np.asarray(trace.t_s, dtype=np.float64), np.asarray(trace.score, dtype=np.float64)
    finite = score[np.isfinite(score)]
    top = max(1.6 * trace.threshold, float(finite.max()) if len(finite) else 0.0, 1e-6) * 1.05
    breaks = np.flatnonzero(np.diff(t_s) > _GAP_S) + 1
    t_s, score = np.insert(t_s, breaks, np.nan), np.insert(score, breaks, np.nan)
    axes.fill_between(t_s, score, color=_INK, alpha=0.08, linewidth=0, zorder=2)
    axes.plot(t_s, score, color=_INK, linewidth=1.0, zorder=4, solid_joinstyle="round")
    axes.axhline(trace.threshold, color="#d1495b", linewidth=0.9, linestyle=(0, (5, 3)), zorder=3)
    axes.set_ylim(0, top / (1 - _LANES * _LANE_SHARE))
    axes.set_yticks([tick for tick in axes.get_yticks() if tick <= top])
    axes.set_ylabel(f"face {trace.face_id}\nscore", fontsize=9.5, color=_INK)


def _draw_spans(axes: Axes, spans: Sequence[Span], letter_s: float, limits_s: tuple[float, float]) -> None:
    """Shaded spans, apex ticks, and their texts in lanes where they do not cover each other."""
    ceiling = axes.get_ylim()[1]
    band = 1 - _LANES * _LANE_SHARE
    for span in sorted(spans, key=lambda s: s.onset_s):
        if span.kind == "rejected":
            axes.axvspan(
                span.onset_s,
                span.offset_s,
                ymax=band,
                facecolor="#f0f2f4",
                edgecolor="#b4bcc4",
                hatch="////",
                linewidth=0.0,
                zorder=1,
            )
        else:
            axes.axvspan(span.onset_s, span.offset_s, ymax=band, color=span.colour, alpha=0.32, linewidth=0, zorder=1)
            axes.vlines(span.apex_s, 0, ceiling * band, color=span.colour, linewidth=1.6, zorder=3)
    # Events before rejections: where room is short, it is a rejection that goes without its text.
    taken: list[list[tuple[float, float]]] = [[] for _ in range(_LANES)]
    for span in sorted(spans, key=lambda s: (s.kind != "event", s.onset_s)):
        text = f"{span.label} {span.detail}".strip()
        half_s = letter_s * (len(text) + 2) / 2
        centre_s = min(max(span.apex_s, limits_s[0] + half_s), max(limits_s[1] - half_s, limits_s[0] + half_s))
        left_s, right_s = centre_s - half_s, centre_s + half_s
        lane = next((n for n, used in enumerate(taken) if all(right_s <= a or left_s >= b for a, b in used)), None)
        if lane is None:
            continue
        taken[lane].append((left_s, right_s))
        height = ceiling * (band + (lane + 0.5) * _LANE_SHARE)
        is_event = span.kind == "event"
        axes.text(
            centre_s,
            height,
            text,
            fontsize=8.5 if is_event else 7.5,
            color=_INK if is_event else _MUTED,
            ha="center",
            va="center",
            zorder=6,
            fontweight="bold" if is_event else "normal",
            bbox=_PLATE | {"edgecolor": span.colour} if is_event else None,
        )
        colour = span.colour if is_event else "#c3cad1"
        foot_of_text = height - 0.4 * _LANE_SHARE * ceiling
        axes.vlines(span.apex_s, ceiling * band, foot_of_text, color=colour, linewidth=0.8, zorder=5)


def _draw_truth(axes: Axes, spans: Sequence[Span]) -> None:
    axes.set_yticks([])
    axes.set_ylim(0, 1)
    axes.grid(visible=False)
    if spans:
        axes.set_ylabel("truth", fontsize=8.5, color=_MUTED, rotation=0, ha="right", va="center", labelpad=6)
    for span in spans:
        axes.axvspan(span.onset_s, span.offset_s, ymin=0.12, ymax=0.88, color=span.colour, alpha=0.85, linewidth=0)
        axes.vlines(span.apex_s, 0.12, 0.88, color=_INK, linewidth=1.2)


def _legend(spans: Sequence[Span]) -> list[Patch | Line2D]:
    colours = {span.label: span.colour for span in spans if span.kind != "rejected"}
    entries: list[Patch | Line2D] = [
        Line2D([], [], color=_INK, linewidth=1.0, label="score"),
        Line2D([], [], color="#d1495b", linewidth=0.9, linestyle=(0, (5, 3)), label="threshold"),
    ]
    entries += [Patch(facecolor=colour, alpha=0.6, label=label) for label, colour in sorted(colours.items())]
    if any(span.kind == "rejected" for span in spans):
        entries.append(Patch(facecolor="#f0f2f4", edgecolor="#b4bcc4", hatch="////", linewidth=0, label="rejected"))
    if colours:
        entries.append(
            Line2D([], [], color=_MUTED, linewidth=0, marker="|", markersize=11, markeredgewidth=1.6, label="apex")
        )
    return entries
