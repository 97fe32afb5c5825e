"""``tsf-bench spotting`` and ``tsf-bench strs``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tsfmicro.benchmarks.objectives import parse_objective, require_met
from tsfmicro.benchmarks.outcome import Slo
from tsfmicro.benchmarks.provenance import write_result
from tsfmicro.benchmarks.spotting.clips import Clip, Side, read_split, require_media
from tsfmicro.benchmarks.spotting.recordings import read_recordings, record
from tsfmicro.benchmarks.spotting.strs import read_intervals, strs_row
from tsfmicro.benchmarks.spotting.table import show
from tsfmicro.errors import UsageError
from tsfmicro.realtime.spot import SpotSpec

_MEDIA = Path("../shared/media")


def spotting(
    media: Annotated[Path, typer.Option(help="Folder of the real footage that the split names.")] = _MEDIA,
    side: Annotated[str, typer.Option(help="Side of the fixed split: test, or train to tune on.")] = "test",
    only: Annotated[list[str] | None, typer.Option(help="This clip of the split alone; repeatable.")] = None,
    method: Annotated[str, typer.Option(help="live, or yardsticks: what is known offline.")] = "live",
    jobs: Annotated[int, typer.Option(help="Processes; the result does not depend on it.", min=1)] = 1,
    dataset: Annotated[str | None, typer.Option(help="Long videos of a data set instead: samm-lv or cas-me2.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder that the data set was unpacked into.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for the plots.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")] = None,
) -> None:
    """Find micro-expressions of known truth in real footage and stills, or those of a data set's long videos."""
    said = Console(stderr=True).print
    if (dataset is None) != (root is None):
        raise UsageError("--dataset and --root go together: which data set, and where it was unpacked")
    if dataset is not None and root is not None:
        from tsfmicro.benchmarks.spotting.longvideos import find_long_videos, rows_of_videos, run_long_videos

        videos = find_long_videos(dataset, root)
        rows = rows_of_videos(run_long_videos(videos, said))
        settings: dict[str, Any] = {"dataset": dataset, "videos": len(videos), "method": "live"}
    else:
        rows, settings = _on_the_split(media, side, only or [], method, jobs, said)
    show(rows)
    if plots is not None:
        from tsfmicro.benchmarks.spotting.plots import draw

        for path in draw(rows, plots):
            typer.echo(f"wrote {path}", err=True)
    if json_file is not None:
        write_result(json_file, "spotting", rows, settings)


def _on_the_split(
    media: Path, side: str, only: list[str], method: str, jobs: int, said: Callable[[str], None]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows and settings of a run over one side of the split."""
    from tsfmicro.benchmarks.spotting.report import LIVE, YARDSTICKS, rows_of, run_clips

    if side not in set(Side):
        raise UsageError(f"--side is {side!r}; expected {' or '.join(Side)}")
    if method not in (LIVE, YARDSTICKS):
        raise UsageError(f"--method is {method!r}; expected {LIVE} or {YARDSTICKS}")
    clips = read_split(Side(side))
    unknown = sorted(set(only) - {clip.name for clip in clips})
    if unknown:
        raise UsageError(f"the {side} side has no clip {', '.join(unknown)}; it has {', '.join(c.name for c in clips)}")
    clips = tuple(clip for clip in clips if not only or clip.name in only)
    require_media(media, clips)
    rows = rows_of(run_clips(clips, media, method, jobs, said))
    return rows, {"side": side, "method": method, "clips": [clip.name for clip in clips]}


_Recordings = Annotated[Path, typer.Option(help="Folder for recorded takes; what is lacking is recorded first.")]
_RECORDINGS = Path("runs/recordings")


def confidence(
    media: Annotated[Path, typer.Option(help="Folder of the real footage that the split names.")] = _MEDIA,
    recordings: _Recordings = _RECORDINGS,
    out: Annotated[Path, typer.Option(help="Where the model is written.")] = Path("realtime/confidence.json"),
    json_file: Annotated[Path | None, typer.Option("--json", help="Write its calibration to FILE.")] = None,
) -> None:
    """Fit the confidence of spotted movements on the train side, checked on people left out."""
    from tsfmicro.benchmarks.spotting.fitting import (
        calibration_of,
        fit_scorer,
        labels_of,
        left_out,
        patterns_without,
        record_of,
    )
    from tsfmicro.benchmarks.spotting.movements import movements_in

    clips = _recorded(media, recordings)
    known = patterns_without(read_recordings(recordings), SpotSpec())
    movements = [
        movement
        for recording in read_recordings(recordings)
        for movement in movements_in(recording, SpotSpec(), known[recording.take.clip.person])
    ]
    admitted, confidences = left_out(movements)
    row = calibration_of(labels_of(admitted), confidences).to_dict()
    about = {"command": "tsf-bench confidence", "people": sorted({clip.person for clip in clips}), "left_out": row}
    try:
        out.write_text(json.dumps(record_of(fit_scorer(movements), about), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the model cannot be written to {out}: {error.strerror}") from error
    show([row])
    if json_file is not None:
        write_result(json_file, "confidence", [row], {"side": "train", "clips": [clip.name for clip in clips]})


def trials(
    media: Annotated[Path, typer.Option(help="Folder of the real footage that the split names.")] = _MEDIA,
    recordings: _Recordings = _RECORDINGS,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")] = None,
) -> None:
    """Try variants of the spotter on the train side, each judged on people its confidence was not fitted on."""
    from tsfmicro.benchmarks.spotting.trials import run_trials

    clips = _recorded(media, recordings)
    rows = run_trials(recordings)
    show(rows)
    if json_file is not None:
        write_result(json_file, "trials", rows, {"side": "train", "clips": [clip.name for clip in clips]})


def _recorded(media: Path, recordings: Path) -> tuple[Clip, ...]:
    """The clips of the train side, once all their takes are recorded."""
    clips = read_split(Side.TRAIN)
    require_media(media, clips)
    for path in record(clips, media, recordings):
        Console(stderr=True).print(f"recorded {path.stem}")
    return clips


def strs(
    truth: Annotated[Path, typer.Option(help="CSV of true events: subject,video,onset,offset,emotion.")],
    predictions: Annotated[Path, typer.Option(help="CSV of found events, same columns.")],
    megc_compat: Annotated[
        bool, typer.Option("--megc-compat", help="Count as the challenge's script does; see docs/spotting.md.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")] = None,
    slo: Slo = None,
) -> None:
    """Spot-then-recognise score of a table of found events, from frames and names."""
    objectives = [parse_objective(text) for text in slo or []]
    row = strs_row(read_intervals(truth), read_intervals(predictions), megc_compat=megc_compat)
    show([_flat(row)])
    if json_file is not None:
        settings = {"truth": truth.name, "predictions": predictions.name, "megc_compat": megc_compat}
        write_result(json_file, "strs", [row], settings)
    require_met(objectives, [_flat(row)])


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Nested figures under ``spotting_f1`` and the like."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= {f"{name}_{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def attach(app: typer.Typer) -> None:
    """Add the scenarios to the command."""
    app.command(
        epilog="Examples:\n\n    tsf-bench spotting --json benchmarks/results/spotting.json --plots runs/spotting\n\n"
        "    tsf-bench spotting --side train --only d9\n\n"
        "    tsf-bench spotting --dataset samm-lv --root ~/SAMM_longvideos"
    )(spotting)
    app.command(epilog="Example:\n\n    tsf-bench confidence --json benchmarks/results/confidence.json")(confidence)
    app.command(epilog="Example:\n\n    tsf-bench trials --json benchmarks/results/spotting_trials.json")(trials)
    app.command(epilog="Example:\n\n    tsf-bench strs --truth truth.csv --predictions found.csv --json strs.json")(
        strs
    )
