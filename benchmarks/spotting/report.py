"""The benchmark from the split to its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tsfmicro.benchmarks.spotting.clips import Clip, Kind
from tsfmicro.benchmarks.spotting.filming import TakeResult, film, stagings
from tsfmicro.benchmarks.spotting.scoring import THRESHOLDS, row_of, threshold_sweep, untouched_row
from tsfmicro.benchmarks.spotting.takes import AMPLITUDES, Condition, Take, takes_of
from tsfmicro.benchmarks.spotting.yardsticks import measure

LIVE, YARDSTICKS = "live", "yardsticks"
BARS: dict[tuple[Kind, str], dict[str, str]] = {
    (Kind.STILL, "3%"): {"f1": ">=0.98", "apex_error_median_ms": "<=8"},
    (Kind.STILL, "2%"): {"f1": ">=0.95"},
    (Kind.QUIET, "3%"): {"f1": ">=0.9", "apex_error_median_ms": "<=17"},
    (Kind.QUIET, "2%"): {"f1": ">=0.7"},
    (Kind.EXPRESSIVE, "3%"): {"f1": ">=0.4"},
    (Kind.QUIET, "untouched"): {"false_events_per_min": "<=0.5"},
    (Kind.EXPRESSIVE, "untouched"): {"false_events_per_min": "<=2"},
}
"""What the project set itself, by kind of footage and condition."""
BLINK_BAR = ">=0.95"


def run_clips(
    clips: Sequence[Clip], folder: Path, method: str, jobs: int, said: Callable[[str], None]
) -> list[TakeResult]:
    """Every take of the clips, in the order of the clips.

    Args:
        clips: of the split.
        folder: with the media.
        method: ``LIVE`` or ``YARDSTICKS``.
        jobs: processes; the result does not depend on it.
        said: told of each clip that is done, for progress.
    """
    run = partial(run_clip if method == LIVE else hold_against, folder=folder)
    if jobs == 1:
        return _collected(clips, map(run, clips), said)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return _collected(clips, pool.map(run, clips), said)


def run_clip(clip: Clip, folder: Path) -> list[TakeResult]:
    """Every take of one clip."""
    return [film(take, staged) for take, staged in stagings(clip, folder, takes_of(clip))]


def hold_against(clip: Clip, folder: Path) -> list[TakeResult]:
    """The first takes of one clip through the yardsticks, untouched and at the amplitude that all bars name."""
    takes = (Take(clip, Condition(0.0)), Take(clip, Condition(3.0)))
    return [result for take, staged in stagings(clip, folder, takes) for result in measure(take, staged)]


def _collected(
    clips: Sequence[Clip], done: Iterable[list[TakeResult]], said: Callable[[str], None]
) -> list[TakeResult]:
    results: list[TakeResult] = []
    for clip, found in zip(clips, done, strict=True):
        results += found
        said(f"{clip.name}: {len(found)} takes")
    return results


def rows_of(results: Sequence[TakeResult]) -> list[dict[str, Any]]:
    """One row a method, kind and condition, bars beside it; then blinks, and the trade-off curve of each kind."""
    rows: list[dict[str, Any]] = []
    for method in dict.fromkeys(result.method for result in results):
        mine = [result for result in results if result.method == method]
        own = [*_condition_rows(mine), *_blink_rows(mine), *(_curve_rows(mine) if method == LIVE else ())]
        rows += [{"method": method, **row} for row in own]
    return rows


def _condition_rows(results: Sequence[TakeResult]) -> Iterator[dict[str, Any]]:
    for kind in Kind:
        for name in dict.fromkeys(r.take.condition.name for r in results):
            mine = [r for r in results if r.take.clip.kind is kind and r.take.condition.name == name]
            if not mine:
                continue
            figures = untouched_row(mine) if name == "untouched" else row_of(mine)
            yield {"kind": kind.value, "condition": name, **figures, **_held_to(figures, BARS.get((kind, name), {}))}


def _blink_rows(results: Sequence[TakeResult]) -> Iterator[dict[str, Any]]:
    untouched = [r for r in results if r.take.condition.name == "untouched"]
    figures = untouched_row(untouched)
    if figures["blinks"]:
        chosen = {name: figures[name] for name in ("blinks", "blinks_rejected")}
        yield {"kind": "all", "condition": "untouched", **chosen, **_held_to(chosen, {"blinks_rejected": BLINK_BAR})}


def _curve_rows(results: Sequence[TakeResult]) -> Iterator[dict[str, Any]]:
    for kind in Kind:
        injected = [r for r in results if r.take.clip.kind is kind and r.take.condition.name == "3%"]
        untouched = [r for r in results if r.take.clip.kind is kind and r.take.condition.name == "untouched"]
        if injected and untouched:
            curve = threshold_sweep(injected, untouched, THRESHOLDS)
            yield {"kind": kind.value, "condition": "3%", "curve": curve}


def _held_to(figures: dict[str, Any], bars: dict[str, str]) -> dict[str, Any]:
    """``{"bars": {"f1": {"bar": ">=0.9", "met": false, "by": -0.12}}}``: by how much, negative where it is missed."""
    held = {}
    for figure, bar in bars.items():
        value, at_least, limit = figures[figure], bar.startswith(">="), float(bar[2:])
        by = None if value is None else round(value - limit if at_least else limit - value, 4)
        held[figure] = {"bar": bar, "met": by is not None and by >= 0, "by": by}
    return {"bars": held} if held else {}


def detection_by_amplitude(rows: Sequence[dict[str, Any]], kind: str) -> list[tuple[float, float]]:
    """Amplitude, percent of the inter-ocular distance, and detection rate."""
    by_name = {row["condition"]: row for row in rows if row["kind"] == kind and "detection_rate" in row}
    return [(a, by_name[f"{a:g}%"]["detection_rate"]) for a in AMPLITUDES if f"{a:g}%" in by_name]
