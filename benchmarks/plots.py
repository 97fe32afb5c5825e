"""Pictures of committed results: latency, stages, scaling. Each carries the digest of the result it was drawn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tsfmicro.benchmarks.figures import read_result
from tsfmicro.benchmarks.provenance import digest_of
from tsfmicro.benchmarks.spread import HISTOGRAM_GROWTH
from tsfmicro.errors import UsageError

DIGEST_KEY = "Source"
"""Of the picture's text: the SHA-256 of its result."""
_INK, _MUTED, _GRID, _LIMIT = "#1f2730", "#67727e", "#e4e8ec", "#b3261e"
_SERIES = ("#2f6fb3", "#c0651a", "#3a8f5c", "#7d54a8", "#a8853a")
_DPI = 140


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture."""

    scenario: str
    """Its result is ``SCENARIO.json``, the picture ``SCENARIO.png``."""
    draw: Callable[[dict[str, Any]], Figure]


def draw_all(results: Path, out: Path) -> tuple[list[Path], list[str]]:
    """Draw every picture whose result is there.

    Returns:
        The pictures, and the scenarios without a result.

    Raises:
        UsageError: there is none at all, or a picture cannot be written.
    """
    there = [plot for plot in PLOTS if (results / f"{plot.scenario}.json").is_file()]
    if not there:
        names = ", ".join(f"{plot.scenario}.json" for plot in PLOTS)
        raise UsageError(f"{results} holds none of {names}; write one with tsf-bench SCENARIO --json")
    drawn = []
    for plot in there:
        result = results / f"{plot.scenario}.json"
        figure = plot.draw(read_result(result))
        FigureCanvasAgg(figure)
        path = out / f"{plot.scenario}.png"
        try:
            out.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=_DPI, metadata={DIGEST_KEY: digest_of(result), "Software": None})
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from error
        drawn.append(path)
    return drawn, [plot.scenario for plot in PLOTS if plot not in there]


def draw_latency(result: dict[str, Any]) -> Figure:
    """Histogram of latency at every rate, with the frame period, p50 and p99."""
    rows = result["rows"]
    figure = Figure(figsize=(8.0, 1.0 + 1.5 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for axes, row in zip(panels, rows, strict=True):
        edges_counts = row["histogram_ms"]["upper_edge_count"]
        uppers = [edge for edge, _ in edges_counts]
        lowers = [edge / HISTOGRAM_GROWTH for edge in uppers]
        total = max(sum(count for _, count in edges_counts), 1)
        axes.bar(
            lowers,
            [count / total * 100 for _, count in edges_counts],
            width=[upper - lower for lower, upper in zip(lowers, uppers, strict=True)],
            align="edge",
            color=_SERIES[0],
            edgecolor="white",
            linewidth=0.5,
        )
        period_ms = 1e3 / row["fps"]
        axes.axvline(period_ms, color=_LIMIT, linewidth=1.2)
        told = (
            f"{row['sources']} source(s), {row['fps']:g} frames/s: p50 {_ms(row['p50_ms'])}, p99 {_ms(row['p99_ms'])}"
        )
        _style(axes, f"{told}, {row['dropped']} of {row['captured']} dropped; period {period_ms:.1f} ms (red)")
        axes.set_xscale("log")
        _plain_ticks(axes.xaxis)
        axes.set_ylabel("% of frames")
    panels[-1].set_xlabel("ms from when a frame was due to when all it brought was written")
    return _signed(figure, result)


def draw_stages(result: dict[str, Any]) -> Figure:
    """Cost of a frame by stage, stacked, beside the landmark model alone.

    A stage that does not run in every frame counts by how often it runs. Medians are what the result holds of each
    stage, so that a stack need not reach the whole path's median, which is drawn as a line.
    """
    rows = {row["what"]: row for row in result["rows"]}
    alone = rows["landmark model alone"]
    path = rows["decode to spotter, one thread"]
    stages = path["stages"]
    frames = max(stage["count"] for stage in stages.values())
    parts = {name: stage["p50_ms"] * stage["count"] / frames for name, stage in stages.items()}
    figure = Figure(figsize=(8.0, 2.6), layout="constrained")
    axes = figure.subplots()
    left = 0.0
    for number, (name, ms) in enumerate(sorted(parts.items(), key=lambda part: -part[1])):
        label = f"{name}: {ms:.2f} ms a frame, in {stages[name]['count'] / frames:.0%} of frames"
        axes.barh(["decode to spotter"], [ms], left=left, color=_SERIES[number % len(_SERIES)], label=label, height=0.5)
        left += ms
    axes.barh(["landmark model alone"], [alone["median_ms_per_frame"]], color=_MUTED, height=0.5)
    axes.plot([path["median_ms_per_frame"]] * 2, [-0.35, 0.35], color=_INK, linewidth=1.6, label="median, whole path")
    axes.invert_yaxis()
    _style(axes, f"One face, {alone['picture']}, one thread")
    axes.set_xlabel("ms a frame (median of each stage times how often it runs)")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=7.5)
    return _signed(figure, result)


def draw_scaling(result: dict[str, Any]) -> Figure:
    """p99 with sources, measured and modelled; cost with faces and with the picture; cores for so many cameras."""
    rows = result["rows"]
    figure = Figure(figsize=(10.0, 6.4), layout="constrained")
    (first, second), (third, fourth) = figure.subplots(2, 2)
    _draw_sources(first, [row for row in rows if row["what"] == "live" and row["axis"] == "sources"])
    service = [row for row in rows if row["what"] == "service"]
    faces = [row for row in service if row["axis"] == "faces"]
    _draw_cost(second, [row["faces_shown"] for row in faces], faces, f"Faces, picture {faces[0]['picture']}")
    second.set_xticks([row["faces_shown"] for row in faces])
    second.set_xlabel("faces")
    pictures = sorted((row for row in service if row["axis"] in ("plain", "frame size")), key=_megapixels)
    _draw_cost(third, [_megapixels(row) for row in pictures], pictures, "Frame size, one face, its share the same")
    third.set_xlabel("megapixels")
    sizing = [row for row in rows if row["what"] == "sizing"]
    kinds = sorted({(row["named_per_minute"], row["cores_per_process"]) for row in sizing})
    for number, (named, cores) in enumerate(kinds):
        some = [r for r in sizing if (r["named_per_minute"], r["cores_per_process"]) == (named, cores) and r["cores"]]
        held = f"{some[0]['sources_per_process']} source(s)" if some else "holds none"
        label = f"{named:g} named a minute, {cores} core(s) a process: {held}"
        x, y = [row["cameras"] for row in some], [row["cores"] for row in some]
        fourth.plot(x, y, marker="o", color=_SERIES[number // 2], linestyle=("-", "--")[number % 2], label=label)
    fourth.set(xscale="log", yscale="log")
    _plain_ticks(fourth.xaxis)
    _plain_ticks(fourth.yaxis)
    fourth.set_xlabel("cameras")
    fourth.set_ylabel("cores")
    _style(fourth, f"Modelled need at {sizing[0]['fps']:g} frames/s")
    fourth.legend(frameon=False, fontsize=6.5, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2)
    return _signed(figure, result)


def _draw_sources(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    period_ms = 1e3 / rows[0]["fps"]
    for name, label, colour, style in (
        ("p50_ms", "p50 measured", _SERIES[0], "o-"),
        ("modelled_p50_ms", "p50 modelled", _SERIES[0], "x:"),
        ("p99_ms", "p99 measured", _SERIES[1], "o-"),
        ("modelled_p99_ms", "p99 modelled", _SERIES[1], "x:"),
    ):
        seen = [(row["sources"], row[name]) for row in rows if row[name] is not None]
        axes.plot([n for n, _ in seen], [ms for _, ms in seen], style, color=colour, label=label)
    axes.axhline(period_ms, color=_LIMIT, linewidth=1.0)
    axes.set_yscale("log")
    _plain_ticks(axes.yaxis)
    axes.set_xticks([row["sources"] for row in rows])
    axes.set_xlabel("sources")
    axes.set_ylabel("latency, ms")
    _style(axes, f"Sources at {rows[0]['fps']:g} frames/s; period {period_ms:.1f} ms (red)")
    axes.legend(frameon=False, fontsize=8)


def _draw_cost(axes: Axes, places: Sequence[float], rows: Sequence[dict[str, Any]], title: str) -> None:
    for name, colour in (("analysis", _SERIES[0]), ("decode", _SERIES[2])):
        axes.plot(places, [row[f"{name}_mean_ms"] for row in rows], marker="o", color=colour, label=name)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("processor ms a frame")
    _style(axes, title)
    axes.legend(frameon=False, fontsize=8)


def _megapixels(row: dict[str, Any]) -> float:
    width, height = row["picture"].split("x")
    return int(width) * int(height) / 1e6


def _ms(value: float | None) -> str:
    return "unknown (too few)" if value is None else f"{value:.1f} ms"


def _style(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9, color=_INK)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=_MUTED)
    axes.xaxis.label.set_fontsize(8.5)
    axes.yaxis.label.set_fontsize(8.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _plain_ticks(axis: Axis) -> None:
    """On a logarithmic axis: at 1, 2 and 5, in plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _signed(figure: Figure, result: dict[str, Any]) -> Figure:
    made = result["provenance"]
    where = f"tsf-bench {result['scenario']}, {made['commit']}, {made['time_utc'][:10]}, {made['cpus']} × {made['cpu']}"
    figure.supxlabel(where, x=0.01, ha="left", fontsize=6.5, color=_MUTED)
    return figure


PLOTS = (Plot("live", draw_latency), Plot("stages", draw_stages), Plot("scaling", draw_scaling))
