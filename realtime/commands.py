"""The ``tsf-live`` command."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tsfmicro.bundle import Bundle, default_bundle_path, read_bundle
from tsfmicro.errors import UsageError
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.realtime.interruption import Interruption
from tsfmicro.realtime.recognise import Recogniser
from tsfmicro.realtime.session import Limits, Outputs, Session
from tsfmicro.realtime.sinks import JsonLinesSink
from tsfmicro.realtime.sources import CameraSource, Source, open_source
from tsfmicro.realtime.sources.demo import DEMO_NAME, DemoSource
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.realtime.terminal import ProgressViewer, print_summary, print_truth
from tsfmicro.realtime.track import PATIENCE_S
from tsfmicro.realtime.viewers import HindsightVideo, TimelineViewer
from tsfmicro.realtime.window import Window, display_available
from tsfmicro.runners import BACKENDS, load
from tsfmicro.synthetic.timecourse import TrueEvent

_EPILOG = """
Examples:

    tsf-live demo:

    tsf-live clip.mp4 --video out.mp4 --timeline out.png

    tsf-live --camera 0

    tsf-live frames/ --events - | jq .type

    tsf-live clip.mp4 --spot-only --events out.jsonl
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog=_EPILOG)
def live(
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="SOURCE...", help="Video, folder or glob of images, or demo:")
    ] = None,
    camera: Annotated[int | None, typer.Option(help="Camera index instead of SOURCE.", min=0)] = None,
    model: Annotated[Path | None, typer.Option(help="Bundle (NAME.tsf); by default the demonstration one.")] = None,
    backend: Annotated[str, typer.Option(help=f"One of {', '.join(BACKENDS)}.")] = "auto",
    events: Annotated[
        str | None, typer.Option(help="Event stream to FILE, or - for standard output; default where piped.")
    ] = None,
    video: Annotated[Path | None, typer.Option(help="Annotated video to FILE (.mp4, .mov, .mkv).")] = None,
    timeline: Annotated[Path | None, typer.Option(help="Picture of the timeline to FILE (.png).")] = None,
    duration: Annotated[float | None, typer.Option(help="Stop after this much media time, seconds.", min=0)] = None,
    max_frames: Annotated[int | None, typer.Option(help="Stop after this many frames.", min=1)] = None,
    max_faces: Annotated[int, typer.Option(help="Follow at most this many faces.", min=1)] = 4,
    no_display: Annotated[bool, typer.Option("--no-display", help="Never open a window.")] = False,
    spot_only: Annotated[bool, typer.Option("--spot-only", help="Find events without naming emotions.")] = False,
    stats: Annotated[Path | None, typer.Option(help="Milliseconds per stage to FILE (JSON).")] = None,
) -> None:
    """Find micro-expressions in a camera or a video: onset, apex, offset, emotion.

    Events are JSON lines (schema tsf.event/1); messages go to standard error.
    """
    console = Console(stderr=True, highlight=False)
    clock = StageClock()
    with ExitStack() as stack:
        interruption = stack.enter_context(Interruption())
        opened = [stack.enter_context(source) for source in _open(sources or [], camera)]
        if spot_only and (backend != "auto" or model is not None):
            raise UsageError("--spot-only uses no recogniser; leave out --model and --backend, or --spot-only")
        bundle = None if spot_only else read_bundle(model or default_bundle_path())
        recogniser = None if bundle is None else _load(bundle, backend, clock, stack)
        session = Session(
            lambda: FaceMeshDetector(max_faces), recogniser, _describe(bundle, recogniser),
            Limits(duration, max_frames), clock, interrupted=lambda: interruption.requested,
        )  # fmt: skip
        if recogniser is not None:
            console.print(f"recogniser: {bundle.manifest.name if bundle else ''} on {recogniser.runner.backend}")
        truth = [event for source in opened for event in _truth(source)]
        outputs = Outputs()
        stack.callback(outputs.close)
        _add_outputs(outputs, session, opened, console, events, video, timeline, truth)
        if display_available() and not no_display:
            outputs.viewers.append(Window(session.spec.spot.threshold))
        try:
            summary = session.run(opened, outputs)
        except BrokenPipeError:
            # The reader of our events left, which is how `| head` says it has enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        finally:
            if stats is not None:
                _write_stats(stats, clock)
    print_summary(console, summary)
    if truth:
        print_truth(console, truth, summary.events)
    for path in (video, timeline, None if events == "-" else events):
        if path is not None:
            console.print(f"wrote {path}", highlight=False)


def _load(bundle: Bundle, backend: str, clock: StageClock, stack: ExitStack) -> Recogniser:
    return Recogniser(stack.enter_context(load(bundle, backend)), bundle.manifest.calibration, clock)


def _open(names: Sequence[str], camera: int | None) -> list[Source]:
    if bool(names) == (camera is not None):
        raise UsageError("give either a SOURCE or --camera N; tsf-live demo: runs the clip that ships with it")
    if camera is not None:
        return [CameraSource(camera)]
    return [DemoSource() if name == DEMO_NAME else open_source(name) for name in names]


def _truth(source: Source) -> tuple[TrueEvent, ...]:
    return source.truth if isinstance(source, DemoSource) else ()


def _describe(bundle: Bundle | None, recogniser: Recogniser | None) -> dict[str, Any] | None:
    if bundle is None or recogniser is None:
        return None
    manifest = bundle.manifest
    return {
        "name": manifest.name,
        "digest": bundle.digest,
        "protocol": manifest.protocol_id,
        "labels": list(manifest.labels),
        "backend": recogniser.runner.backend,
        "device": recogniser.runner.device,
    }


def _add_outputs(
    outputs: Outputs,
    session: Session,
    opened: Sequence[Source],
    console: Console,
    events: str | None,
    video: Path | None,
    timeline: Path | None,
    truth: Sequence[TrueEvent],
) -> None:
    if len(opened) > 1 and (video or timeline):
        raise UsageError("--video and --timeline show one source; run tsf-live once for each")
    if events is None and not sys.stdout.isatty():
        events = "-"
    spot = session.spec.spot
    if events is not None:
        outputs.sinks.append(JsonLinesSink(events))
    if video is not None:
        outputs.viewers.append(HindsightVideo(video, spot.threshold, spot.lookback_s + PATIENCE_S))
    if timeline is not None:
        outputs.viewers.append(TimelineViewer(timeline, spot.threshold, truth, opened[0].name))
    if len(opened) == 1:
        outputs.viewers.append(ProgressViewer(console, opened[0]))


def _write_stats(path: Path, clock: StageClock) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"schema": "tsf.stats/1", "stages": clock.report()}, indent=2) + "\n")
    except OSError as error:
        raise UsageError(f"the statistics cannot be written to {path}: {error.strerror}") from error
