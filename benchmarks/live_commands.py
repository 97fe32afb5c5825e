"""Scenarios that run the live path: ``live``, ``streams``, ``offline``, ``coldstart``, ``soak``."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console

from tsfmicro.benchmarks.coldstart import run_coldstart
from tsfmicro.benchmarks.live import run_live
from tsfmicro.benchmarks.objectives import parse_objective
from tsfmicro.benchmarks.offline import run_offline
from tsfmicro.benchmarks.outcome import Slo, finish
from tsfmicro.benchmarks.soak import Sample, run_soak
from tsfmicro.benchmarks.streams import run_streams
from tsfmicro.benchmarks.workload import workload
from tsfmicro.errors import UsageError
from tsfmicro.realtime.sources.demo import DEMO_NAME

_FOR_A_P99 = 1000
"""Frames of which ten lie beyond."""

_Clips = Annotated[
    list[str] | None, typer.Argument(metavar="[CLIP]...", help="A source each; demo: by default. Looped.")
]
_Clip = Annotated[str, typer.Argument(metavar="CLIP", help="A video, or demo:")]
_WarmUp = Annotated[float, typer.Option(help="First seconds that are not counted.", min=0)]
_Json = Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")]
_SpotOnly = Annotated[bool, typer.Option("--spot-only", help="Without naming emotions.")]


def attach(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog="Examples:\n\n    tsf-bench live --fps 60 --slo 'dropped<=0'\n\n    tsf-bench live a.mp4 b.mp4 --fps 30"
    )(live)
    app.command(epilog="Example:\n\n    tsf-bench streams --fps 30 --json streams.json")(streams)
    app.command(epilog="Example:\n\n    tsf-bench offline interview.mp4 --json offline.json")(offline)
    app.command(epilog="Example:\n\n    tsf-bench coldstart --json coldstart.json")(coldstart)
    app.command(epilog="Examples:\n\n    tsf-bench soak --minutes 30\n\n    tsf-bench soak --minutes 30 --unpaced")(
        soak
    )


def live(
    clips: _Clips = None,
    fps: Annotated[list[float] | None, typer.Option(help="Frames a second; repeatable.", min=1)] = None,
    duration: Annotated[float, typer.Option(help="Seconds at each rate.", min=2)] = 60.0,
    warm_up: _WarmUp = 5.0,
    spot_only: _SpotOnly = False,
    json_file: _Json = None,
    slo: Slo = None,
) -> None:
    """Run whole sessions on clips that arrive at their own pace; latency counts from when a frame was due."""
    objectives = [parse_objective(text) for text in slo or []]
    if warm_up >= duration:
        raise UsageError(f"--warm-up is {warm_up:g} s of {duration:g} s; nothing would be counted")
    console, rows = Console(stderr=True), list[dict[str, Any]]()
    with workload(clips, spot_only) as work:
        for rate in fps or [30.0, 60.0, 120.0, 200.0]:
            rows.append(run_live(work.files, rate, duration, warm_up, work.recogniser))
            console.print(f"{rate:g} frames/s: {rows[-1]['dropped']} dropped, {rows[-1]['late']} late")
        settings = {"clips": list(work.names), "spot_only": spot_only, "duration_s": duration, "warm_up_s": warm_up}
        inputs = work.inputs
    finish(json_file, "live", rows, settings, objectives, inputs)


def streams(
    clip: _Clip = DEMO_NAME,
    fps: Annotated[float, typer.Option(help="Frames a second of every source.", min=1)] = 30.0,
    duration: Annotated[float, typer.Option(help="Seconds of every repeat.", min=2)] = 45.0,
    warm_up: _WarmUp = 5.0,
    repeats: Annotated[int, typer.Option(help="How often a number of sources must hold.", min=1)] = 5,
    spot_only: _SpotOnly = False,
    json_file: _Json = None,
    slo: Slo = None,
) -> None:
    """Find how many sources hold their deadline: p99 within a frame period, one frame in a thousand dropped."""
    objectives = [parse_objective(text) for text in slo or []]
    if (duration - warm_up) * fps < _FOR_A_P99:
        raise UsageError(f"{duration - warm_up:g} s at {fps:g} frames/s are too few frames for a p99; raise --duration")
    console, rows = Console(stderr=True), list[dict[str, Any]]()
    with workload([clip], spot_only) as work:
        for row in run_streams(work.files[0], fps, duration, warm_up, repeats, work.recogniser):
            rows.append(row)
            if "sources" in row:
                console.print(f"{row['sources']} sources: {'hold' if row['holds'] else 'too many'}")
        settings = {"clip": work.names[0], "spot_only": spot_only, "duration_s": duration, "warm_up_s": warm_up}
        settings, inputs = {**settings, "repeats": repeats}, work.inputs
    finish(json_file, "streams", rows, settings, objectives, inputs)


def offline(
    clips: _Clips = None,
    rounds: Annotated[int, typer.Option(help="How often each clip is run.", min=1)] = 3,
    spot_only: _SpotOnly = False,
    json_file: _Json = None,
    slo: Slo = None,
) -> None:
    """Time recordings from the file to the last event, as fast as they can be read."""
    objectives = [parse_objective(text) for text in slo or []]
    with workload(clips, spot_only) as work:
        rows = run_offline(work.files, rounds, work.recogniser)
        settings, inputs = {"clips": list(work.names), "spot_only": spot_only}, work.inputs
    finish(json_file, "offline", rows, settings, objectives, inputs)


def coldstart(
    clip: _Clip = DEMO_NAME,
    rounds: Annotated[int, typer.Option(help="Processes to start.", min=2)] = 6,
    json_file: _Json = None,
    slo: Slo = None,
) -> None:
    """Time what a user waits for: from the start of the process to the first face."""
    objectives = [parse_objective(text) for text in slo or []]
    with workload([clip], spot_only=False) as work:  # the timed processes load the same bundle for themselves
        rows = run_coldstart(work.files[0], rounds)
        settings, inputs = {"clip": work.names[0], "rounds": rounds}, work.inputs
    finish(json_file, "coldstart", rows, settings, objectives, inputs)


def soak(
    clips: _Clips = None,
    minutes: Annotated[float, typer.Option(help="Media time.", min=0.1)] = 30.0,
    fps: Annotated[float, typer.Option(help="Frames a second of every source.", min=1)] = 30.0,
    unpaced: Annotated[bool, typer.Option("--unpaced", help="As fast as frames are decoded.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.05)] = 1.0,
    spot_only: _SpotOnly = False,
    json_file: _Json = None,
    slo: Slo = None,
) -> None:
    """Run one long session and record its memory, threads and handles."""
    objectives = [parse_objective(text) for text in slo or []]
    console = Console(stderr=True)

    def tell(sample: Sample) -> None:
        console.print(f"{sample.t_s:6.0f} s  {sample.rss_mib:7.1f} MiB  {sample.threads} threads", end="\r")

    with workload(clips, spot_only) as work, TemporaryDirectory() as folder:
        events = Path(folder) / "events.jsonl"
        rows = run_soak(work.files, fps, minutes * 60, not unpaced, work.recogniser, events, every, tell)
        settings, inputs = {"clips": list(work.names), "spot_only": spot_only}, work.inputs
    finish(json_file, "soak", rows, settings, objectives, inputs)
