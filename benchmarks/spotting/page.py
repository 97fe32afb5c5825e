"""The figures of ``docs/spotting.md``, written from committed results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tsfmicro.benchmarks.figures import read_result
from tsfmicro.benchmarks.spotting.chance import f1_interval, per_minute
from tsfmicro.intervals import Counts

_FILES = ("spotting.json", "spotting_yardsticks.json", "spotting_trials.json", "spotting_confidence.json")


def spotting_figures(results: Path) -> str:
    """Markdown of the benchmark's table, its bars, the trials and the calibration.

    Args:
        results: folder with the committed results.

    Raises:
        UsageError: a result is missing or not of schema ``tsf.bench/1``.
    """
    live, offline, trials, confidence = (read_result(results / name) for name in _FILES)
    rows = [row for row in (*live["rows"], *offline["rows"]) if "curve" not in row]
    injected = [row for row in rows if "f1" in row]
    untouched = [row for row in rows if "false_events_per_min" in row]
    (fit,) = confidence["rows"]
    return "\n".join(
        [
            f"Test side, measured at commit {live['provenance']['commit']} (yardsticks at "
            f"{offline['provenance']['commit']}). *Midpoint* and *onset + constant* are the trivial apexes: they are "
            "given the true interval, or the true onset. In brackets: 95 % intervals, of F1 by Wilson, of false events "
            "by Poisson, as if all events were independent.",
            "",
            "| method | footage | condition | events | found | false | F1 | apex error, ms (frames) | onset error, "
            "ms | midpoint, ms | onset + constant, ms | apex told after, ms |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|",
            *map(_injected, injected),
            "",
            "Nothing injected:",
            "",
            "| method | footage | watched, s | false events | a minute | blinks | rejected |",
            "|---|---|---|---|---|---|---|",
            *map(_untouched, untouched),
            "",
            "Against the bars:",
            "",
            "| footage | condition | figure | bar | measured | by |",
            "|---|---|---|---|---|---|",
            *_bars(live["rows"]),
            "",
            "Trials on the train side; each person's movements are judged by a confidence that was fitted without that "
            f"person (commit {trials['provenance']['commit']}):",
            "",
            "| variant | still 3 % F1 | quiet 2 % F1 | quiet 3 % F1 | expressive 2 % F1 | expressive 3 % F1 | 3 % with "
            "noise | 3 % with JPEG | false a minute, quiet | false a minute, expressive | the same, however played |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *_trials(trials["rows"]),
            "",
            "The same for each person of the train side that talks, grimaces or turns, always left out of the fit, and "
            "false events of untouched footage however it is played:",
            "",
            *_people(trials["rows"]),
            "",
            "How far the hidden events of the train side came, under all conditions: told; seen but not sure enough; "
            "rejected by a limit alone; overlapped only by movements of another place or length; unseen.",
            "",
            *_stages(trials["rows"]),
            "",
            f"Calibration of the confidence, on people left out: {fit['movements']} movements, {fit['true']} of them "
            f"true; log loss {fit['log_loss']:.2f}, expected calibration error "
            f"{fit['expected_calibration_error']:.2f}.",
        ]
    )


def _injected(row: dict[str, Any]) -> str:
    apex = "–"
    if row["apex_error_median_ms"] is not None:
        apex = f"{row['apex_error_median_ms']:.0f} ({row['apex_error_median_frames']:.1f})"
    others = [
        "–" if row[name] is None else f"{row[name]:.0f}"
        for name in (
            "onset_error_median_ms", "apex_midpoint_median_ms", "apex_onset_plus_constant_median_ms",
            "apex_told_after_median_ms",
        )
    ]  # fmt: skip
    counts = f"{row['hidden']} | {row['tp']} | {row['fp']} | {row['f1']:.2f}{_between(row, 'f1')}"
    method = row.get("method", "live")
    return f"| {method} | {row['kind']} | {row['condition']} | {counts} | {apex} | {' | '.join(others)} |"


def _untouched(row: dict[str, Any]) -> str:
    rejected = "–" if row["blinks_rejected"] is None else f"{100 * row['blinks_rejected']:.0f} %"
    false = f"{row['false_events']} | {row['false_events_per_min']:.1f}{_between(row, 'false_events_per_min')}"
    method = row.get("method", "live")
    return f"| {method} | {row['kind']} | {row['watched_s']:.0f} | {false} | {row['blinks']} | {rejected} |"


def _between(row: dict[str, Any], figure: str) -> str:
    interval = None
    if figure == "f1":
        interval = f1_interval(Counts(row["tp"], row["fp"], row["hidden"] - row["tp"]))
    elif figure == "false_events_per_min":
        interval = per_minute(row["false_events"], row["watched_s"])["false_events_per_min_interval"]
    return "" if interval is None else f" ({interval[0]:.2g}–{interval[1]:.2g})"


def _bars(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = []
    for row in rows:
        for figure, held in row.get("bars", {}).items():
            by = "" if held["by"] is None else f" by {abs(held['by']):g}"
            answer = ("met" if held["met"] else "missed") + by
            value = f"{row[figure]}{_between(row, figure)}"
            lines.append(f"| {row['kind']} | {row['condition']} | {figure} | {held['bar']} | {value} | {answer} |")
    return lines


def _trials(rows: Sequence[dict[str, Any]]) -> list[str]:
    wanted = (
        ("still", "3%", "f1"), ("quiet", "2%", "f1"), ("quiet", "3%", "f1"), ("expressive", "2%", "f1"),
        ("expressive", "3%", "f1"), ("expressive", "3% noise4", "f1"), ("expressive", "3% jpeg40", "f1"),
        ("quiet", "untouched", "false_events_per_min"), ("expressive", "untouched", "false_events_per_min"),
        ("expressive", "untouched, all", "false_events_per_min"),
    )  # fmt: skip
    lines = []
    for name in dict.fromkeys(row["variant"] for row in rows):
        mine = {(row["kind"], row["condition"]): row for row in rows if row["variant"] == name and "person" not in row}
        cells = [_cell(mine[kind, condition], figure) for kind, condition, figure in wanted]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _cell(row: dict[str, Any], figure: str) -> str:
    return f"{row[figure]:.2f}{_between(row, figure) if figure != 'f1' else ''}"


def _people(rows: Sequence[dict[str, Any]]) -> list[str]:
    wanted = ("2%", "3%", "3% noise4", "3% jpeg40")
    lines = [
        f"| variant | person | {' | '.join(f'{name} F1 (found, false)' for name in wanted)} | false in untouched |",
        "|---|---|---|---|---|---|---|",
    ]
    mine = [row for row in rows if "person" in row]
    for variant, person in dict.fromkeys((row["variant"], row["person"]) for row in mine):
        by_name = {r["condition"]: r for r in mine if (r["variant"], r["person"]) == (variant, person)}
        cells = [
            f"{row['f1']:.2f} ({row['tp']} of {row['hidden']}, {row['fp']})" if (row := by_name.get(name)) else "–"
            for name in wanted
        ]
        calm = by_name["untouched, all"]
        lines.append(
            f"| {variant} | {person} | {' | '.join(cells)} | {calm['false_events']} in {calm['watched_s']:.0f} s |"
        )
    return lines


def _stages(rows: Sequence[dict[str, Any]]) -> list[str]:
    known = ("told", "unsure", "misplaced", "unseen")
    lines = ["| variant | footage | told | unsure | rejected | misplaced | unseen |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        if "stages" in row:
            stages = row["stages"]
            rejected = {name: count for name, count in sorted(stages.items()) if name not in known}
            by = ", ".join(f"`{name}` {count}" for name, count in rejected.items())
            told, unsure, misplaced, unseen = (stages.get(name, 0) for name in known)
            total = f"{sum(rejected.values())}{f' ({by})' if by else ''}"
            lines.append(f"| {row['variant']} | {row['kind']} | {told} | {unsure} | {total} | {misplaced} | {unseen} |")
    return lines
