"""The tables of ``docs/benchmarks.md``, written from committed results."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tsfmicro.benchmarks.compare import compare
from tsfmicro.benchmarks.figures import read_result
from tsfmicro.benchmarks.provenance import SCHEMA_ID

Row = dict[str, Any]
Column = tuple[str, str]
"""Title, and the figure of the row; a figure with an interval beside it is told with it."""


def benchmark_figures(results: Path, plots: Path) -> str:
    """Markdown: a section for each scenario, its results one below the other, or what to type for the first one.

    Args:
        results: folder of results; those of a scenario are told apart by what they are, not by their name.
        plots: folder of ``tsf-bench plots``; what is not there is not shown.

    Raises:
        UsageError: a result cannot be read.
    """
    found = _by_scenario(results)
    lines: list[str] = []
    for scenario, tables in _SECTIONS.items():
        lines += [f"### {scenario}", ""]
        if scenario not in found:
            lines += [f"Not measured yet: `tsf-bench {scenario} --json benchmarks/results/{scenario}.json`.", ""]
        for record in found.get(scenario, []):
            for table in tables:
                lines += table(record["rows"])
            lines += [_origin(record), ""]
        if scenario in found and (plots / f"{scenario}.png").is_file():
            lines += [f"![{scenario}]({plots.name}/{scenario}.png)", ""]
    lines += ["### compare", "", *_comparisons(results / "compare")]
    return "\n".join(lines).rstrip()


def _by_scenario(results: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(results.glob("*.json")):
        if json.loads(path.read_text(encoding="utf-8")).get("schema") == SCHEMA_ID:
            record = read_result(path)
            found.setdefault(record["scenario"], []).append(record)
    return found


def _comparisons(folder: Path) -> list[str]:
    """A table for each pair of results that ``tsf-bench alternate`` wrote."""
    lines: list[str] = []
    for pair in sorted(path.parent for path in folder.glob("*/after.json")):
        before, after = (read_result(pair / f"{name}.json", "tsf-bench alternate") for name in ("before", "after"))
        made = [record["provenance"] for record in (before, after)]
        planted = f"{made[1]['slowed_percent']:g} % planted" if made[1]["slowed_percent"] else "nothing planted"
        rows = [{**asdict(one), "interval": one.interval} for one in compare(before, after)]
        lines += [
            f"`tsf-bench {before['scenario']}` of commits `{made[0]['commit']}` and `{made[1]['commit']}` in "
            f"{before['settings']['turns']} turns, {planted}, load {made[0]['load_average_1min']} and "
            f"{made[1]['load_average_1min']}:",
            "",
            *_table(_COMPARED)(rows),
        ]
    return lines or ["Not measured yet: `tsf-bench alternate . . --out benchmarks/results/compare/same -- stages`."]


def _origin(record: dict[str, Any]) -> str:
    made = record["provenance"]
    settings = ", ".join(f"{name} {_setting(value)}" for name, value in record["settings"].items())
    return (
        f"{made['cpus']} × {made['cpu']}, load {made['load_average_1min']} before it was written, commit "
        f"`{made['commit']}`, {made['time_utc'][:10]}. Settings: {settings}."
    )


def _table(
    columns: Sequence[Column], what: str | None = None, title: str | None = None, having: str | None = None
) -> Callable[[list[Row]], list[str]]:
    """A table of the rows that are of one kind, or have a figure; none where there are no such rows."""

    def lines(rows: list[Row]) -> list[str]:
        chosen = [row for row in rows if what in (None, row.get("what")) and (having is None or having in row)]
        if not chosen:
            return []
        head = [f"{title}:", ""] if title else []
        head += [f"| {' | '.join(name for name, _ in columns)} |", "|---" * len(columns) + "|"]
        return [*head, *(f"| {' | '.join(_told(row, figure) for _, figure in columns)} |" for row in chosen), ""]

    return lines


def _told(row: Row, figure: str) -> str:
    value: Any = row
    for part in figure.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    interval = row.get(f"{figure}_interval")
    return _cell(value) + (f" ({_cell(interval[0])} to {_cell(interval[1])})" if interval and value is not None else "")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, list | tuple):
        return " ".join(_cell(one) for one in value)
    return str(value).replace("|", "\\|")


def _setting(value: Any) -> str:
    """As a cell, and of a digest the beginning."""
    is_digest = isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None
    return value[:12] if is_digest else _cell(value)


def _stage_rows(rows: list[Row]) -> list[str]:
    """The stages of the whole path, one a line."""
    stages = [
        {"what": row["what"], "stage": name, **stage} for row in rows for name, stage in row.get("stages", {}).items()
    ]
    return _table([("path", "what"), ("stage", "stage"), ("times", "count"), *_MS_OF_STAGES])(stages)


def _held(rows: list[Row]) -> list[str]:
    return [f"Sources that hold at {_cell(row['fps'])} frames/s: {row['sources_held']}." for row in rows[-1:]
            if "sources_held" in row] + [""]  # fmt: skip


def _assumed(rows: list[Row]) -> list[str]:
    """What the sizing takes for granted; nothing where a result does not tell."""
    told = [row for row in rows if row["what"] == "sizing" and "frame_ms" in row][:1]
    return [
        line
        for row in told
        for line in (
            f"Assumed of every camera: {row['picture']}, {_cell(row['faces_per_frame'])} faces a frame, "
            f"{_cell(row['frame_ms'])} ms of one core a frame and {_cell(row['naming_ms'])} ms a naming, on cores like "
            f"these; everything on the {row['device'].upper()}, no GPU. Of those: share of the cores that is at work.",
            "",
        )
    ]


def _growth(rows: list[Row]) -> list[str]:
    told = []
    for row in (row for row in rows if row["what"] == "growth"):
        unit = next(key for key in row if key.startswith("analysis_ms_per_")).removeprefix("analysis_ms_per_")
        for stage in ("analysis", "decode"):
            grows, (low, high) = row[f"{stage}_ms_per_{unit}"], row[f"{stage}_interval"]
            told.append(f"{stage} {_cell(grows)} ms a {unit} ({_cell(low)} to {_cell(high)})")
    return [f"Growth of a frame's cost, straight line through the points, 95 %: {'; '.join(told)}.", ""] if told else []


_COMPARED = [
    ("row", "row"),
    ("figure", "figure"),
    ("before, median", "before"),
    ("after, median", "after"),
    ("after / before", "ratio"),
    ("95 %", "interval"),
    ("p", "p"),
    ("verdict", "verdict"),
]
_MS_OF_STAGES = [("p50, ms", "p50_ms"), ("p95, ms", "p95_ms"), ("p99, ms", "p99_ms")]
_FRAMES = [("captured", "captured"), ("dropped", "dropped")]
_SECTIONS: dict[str, list[Callable[[list[Row]], list[str]]]] = {
    "stages": [
        _table(
            [
                ("what", "what"),
                ("median, ms a frame", "median_ms_per_frame"),
                ("processor, ms a frame", "processor_ms_per_frame"),
                ("frames/s", "frames_per_s"),
                ("ratio", "median"),
            ]
        ),
        _stage_rows,
    ],
    "live": [
        _table(
            [
                ("frames/s", "fps"),
                ("sources", "sources"),
                *_FRAMES,
                ("late", "late"),
                ("p50, ms", "p50_ms"),
                ("p90, ms", "p90_ms"),
                ("p95, ms", "p95_ms"),
                ("p99, ms", "p99_ms"),
                ("p99.9, ms", "p99_9_ms"),
                ("max, ms", "max_ms"),
            ]
        )
    ],
    "streams": [
        _table(
            [
                ("sources", "sources"),
                ("frames/s", "fps"),
                ("repeats", "repeats"),
                *_FRAMES,
                ("p50, ms", "p50_ms"),
                ("p99, ms", "p99_ms"),
                ("holds", "holds"),
            ],
            having="sources",
        ),
        _held,
    ],
    "peers": [
        _table(
            [
                ("what", "what"),
                ("median, ms a frame", "median_ms_per_frame"),
                ("processor ms", "median_cpu_ms_per_frame"),
                ("frames with a face", "frames_with_a_face"),
                ("ratio", "median"),
            ]
        )
    ],
    "offline": [
        _table(
            [
                ("clip", "clip"),
                ("frames", "frames"),
                ("frames/s of it", "fps_of_clip"),
                ("s, median", "wall_s"),
                ("processor s", "processor_s"),
                ("frames/s", "frames_per_s"),
                ("× real time", "times_real_time"),
                ("rounds", "rounds"),
            ]
        )
    ],
    "coldstart": [
        _table(
            [
                ("start", "what"),
                ("interpreter, s", "interpreter_s"),
                ("imports, s", "imports_s"),
                ("bundle verified, s", "bundle_verified_s"),
                ("recogniser loaded, s", "recogniser_loaded_s"),
                ("first face, s", "first_face_s"),
            ]
        )
    ],
    "event": [
        _table(
            [
                ("hidden", "hidden"),
                ("found", "tp"),
                ("false", "fp"),
                ("missed", "fn"),
                ("F1", "f1"),
                ("onset error, ms", "onset_error_median_ms"),
                ("apex error, ms", "apex_error_median_ms"),
                ("apex told after, ms", "apex_lookahead_median_ms"),
                ("at most, ms", "apex_lookahead_max_ms"),
            ]
        )
    ],
    "soak": [
        _table(
            [
                ("sources", "sources"),
                ("frames/s", "fps"),
                ("paced", "paced"),
                ("media, s", "media_s"),
                *_FRAMES,
                ("memory growth, MiB an hour", "rss_slope_mib_per_hour"),
                ("95 %", "rss_slope_interval"),
                ("in use, MiB an hour", "in_use_slope_mib_per_hour"),
                ("95 %", "in_use_slope_interval"),
                ("threads before, most, after", "threads_before"),
                ("", "threads_most"),
                ("", "threads_after"),
                ("handles before, most, after", "handles_before"),
                ("", "handles_most"),
                ("", "handles_after"),
            ]
        )
    ],
    "scaling": [
        _table(
            [
                ("sweep", "axis"),
                ("faces", "faces_shown"),
                ("found a frame", "faces_per_frame"),
                ("picture", "picture"),
                ("frames/s", "fps"),
                ("decode, ms", "decode_mean_ms"),
                ("analysis, ms", "analysis_mean_ms"),
                ("analysis p99, ms", "analysis_p99_ms"),
                ("naming one, ms", "naming_mean_ms"),
                ("wall over processor", "wall_over_processor"),
                ("cores busy", "busy_cores"),
            ],
            "service",
            "Processor time of a frame, one source (means)",
        ),
        _growth,
        _table(
            [
                ("sweep", "axis"),
                ("sources", "sources"),
                ("faces", "faces_shown"),
                ("frames/s", "fps"),
                ("p50, ms", "p50_ms"),
                ("modelled", "modelled_p50_ms"),
                ("error", "p50_ms_error"),
                ("p99, ms", "p99_ms"),
                ("modelled", "modelled_p99_ms"),
                ("error", "p99_ms_error"),
                ("dropped, share", "dropped_share"),
                ("modelled", "modelled_dropped_share"),
                ("holds", "holds"),
                ("modelled", "modelled_holds"),
            ],
            "live",
            "Sessions, measured and modelled",
        ),
        _table(
            [
                ("cameras", "cameras"),
                ("frames/s", "fps"),
                ("named a minute on each", "named_per_minute"),
                ("cores a process", "cores_per_process"),
                ("sources a process", "sources_per_process"),
                ("processes", "processes"),
                ("cores", "cores"),
                ("cores busy", "busy_cores"),
                ("of those", "utilisation"),
            ],
            "sizing",
            "Modelled: what so many cameras need",
        ),
        _assumed,
    ],
}
