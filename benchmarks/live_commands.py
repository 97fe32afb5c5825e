"""Scenarios that run the live path: ``live``, ``streams``, ``offline``, ``coldstart``, ``soak``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
from tsfmicro.benchmarks.stages import write_demo
from tsfmicro.benchmarks.streams import run_streams
from tsfmicro.bundle import default_bundle_path, read_bundle
from tsfmicro.errors import SourceError, UsageError
from tsfmicro.realtime.recognise import Recogniser
from tsfmicro.realtime.sources.demo import DEMO_NAME
from tsfmicro.runners import load

_DEMO_S = 24.0
_DEMO_FPS = 60.0
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
    with _files(clips) as files, _recogniser(spot_only) as recogniser:
        for rate in fps or [30.0, 60.0, 120.0, 200.0]:
            rows.append(run_live(files, rate, duration, warm_up, recogniser))
            console.print(f"{rate:g} frames/s: {rows[-1]['dropped']} dropped, {rows[-1]['late']} late")
    finish(json_file, "live", rows, {"clips": _names(clips), "spot_only": spot_only}, objectives)


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
    with _files([clip]) as files, _recogniser(spot_only) as recogniser:
        for row in run_streams(files[0], fps, duration, warm_up, repeats, recogniser):
            rows.append(row)
            console.print(f"{row['sources']} sources: {'hold' if row['holds'] else 'too many'}")
    finish(json_file, "streams", rows, {"clip": _names([clip])[0], "spot_only": spot_only}, objectives)


def offline(
    clips: _Clips = None,
    rounds: Annotated[int, typer.Option(help="How often each clip is run.", min=1)] = 3,
    spot_only: _SpotOnly = False,
    json_file: _Json = None,
    slo: Slo = None,
) -> None:
    """Time recordings from the file to the last event, as fast as they can be read."""
    objectives = [parse_objective(text) for text in slo or []]
    with _files(clips) as files, _recogniser(spot_only) as recogniser:
        rows = run_offline(files, rounds, recogniser)
    finish(json_file, "offline", rows, {"clips": _names(clips), "spot_only": spot_only}, objectives)


def coldstart(
    clip: _Clip = DEMO_NAME,
    rounds: Annotated[int, typer.Option(help="Processes to start.", min=2)] = 6,
    json_file: _Json = None,
    slo: Slo = None,
) -> None:
    """Time what a user waits for: from the start of the process to the first face."""
    objectives = [parse_objective(text) for text in slo or []]
    with _files([clip]) as files:
        rows = run_coldstart(files[0], rounds)
    finish(json_file, "coldstart", rows, {"clip": _names([clip])[0], "rounds": rounds}, objectives)


def soak(
    clips: _Clips = None,
    minutes: Annotated[float, typer.Option(help="Media time.", min=0.1)] = 30.0,
    fps: Annotated[float, typer.Option(help="Frames a second of every source.", min=1)] = 30.0,
    unpaced: Annotated[bool, typer.Option("--unpaced", help="As fast as frames are decoded.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.05)] = 5.0,
    spot_only: _SpotOnly = False,
    json_file: _Json = None,
    slo: Slo = None,
) -> None:
    """Run one long session and record its memory, threads and handles."""
    objectives = [parse_objective(text) for text in slo or []]
    console = Console(stderr=True)

    def tell(sample: Sample) -> None:
        console.print(f"{sample.t_s:6.0f} s  {sample.rss_mib:7.1f} MiB  {sample.threads} threads", end="\r")

    with _files(clips) as files, _recogniser(spot_only) as recogniser, TemporaryDirectory() as folder:
        events = Path(folder) / "events.jsonl"
        rows = run_soak(files, fps, minutes * 60, not unpaced, recogniser, events, every, tell)
    finish(json_file, "soak", rows, {"clips": _names(clips), "spot_only": spot_only}, objectives)


@contextmanager
def _files(names: list[str] | None) -> Iterator[list[Path]]:
    """The clips as files; ``demo:`` is written to one first, so that there is something to decode."""
    with TemporaryDirectory() as folder:
        demo = Path(folder) / "demo.mp4"
        files = [demo if name == DEMO_NAME else Path(name) for name in names or [DEMO_NAME]]
        missing = [file for file in files if file != demo and not file.is_file()]
        if missing:
            raise SourceError(f"{missing[0]} is no file; expected a video file, or demo:")
        if demo in files:
            write_demo(demo, round(_DEMO_S * _DEMO_FPS))
        yield files


@contextmanager
def _recogniser(spot_only: bool) -> Iterator[Recogniser | None]:
    bundle = None if spot_only else read_bundle(default_bundle_path())
    with nullcontext() if bundle is None else load(bundle) as runner:
        yield None if bundle is None or runner is None else Recogniser(runner, bundle.manifest.calibration)


def _names(clips: list[str] | None) -> list[str]:
    return [Path(name).name for name in clips or [DEMO_NAME]]
