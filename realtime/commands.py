"""The ``tsf-live`` command."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console

from tsfmicro.align import AlignSpec
from tsfmicro.bundle import Bundle, default_bundle_path, read_bundle
from tsfmicro.errors import SourceError, UsageError
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime.interruption import Interruption
from tsfmicro.realtime.outputs import DEFAULT_RECORD_LIMIT_GIB, OutputSpec, open_outputs
from tsfmicro.realtime.pipeline import PipelineSpec
from tsfmicro.realtime.privacy import Privacy
from tsfmicro.realtime.recognise import Namer
from tsfmicro.realtime.recording.layout import REPLAY_PREFIX
from tsfmicro.realtime.recording.replay import ReplaySource, open_recording
from tsfmicro.realtime.session import Outputs, Session
from tsfmicro.realtime.sliding import SlideSpec
from tsfmicro.realtime.source_run import Limits
from tsfmicro.realtime.sources import (
    CameraSource,
    CameraSpec,
    Source,
    SourceSpec,
    open_lasting,
    open_source,
    tell_apart,
)
from tsfmicro.realtime.sources.camera import CameraMode
from tsfmicro.realtime.sources.demo import DEMO_NAME, DemoSource
from tsfmicro.realtime.sources.images import DEFAULT_IMAGES_FPS
from tsfmicro.realtime.sources.reconnect import DEFAULT_RETRY_FOR_S, ReconnectingSource, RetrySpec
from tsfmicro.realtime.sources.stream import TRANSPORTS, StreamSpec
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.realtime.terminal import print_summary, print_truth
from tsfmicro.realtime.window import Controls
from tsfmicro.realtime.window_recognise import Ensemble, load_namer, of_windows
from tsfmicro.runners import BACKENDS, beside_the_frames, choose
from tsfmicro.synthetic.timecourse import TrueEvent

_EPILOG = """
Examples:

    tsf-live demo:

    tsf-live clip.mp4 --video out.mp4 --timeline out.png

    tsf-live --camera 0 --camera-size 1280x720 --camera-format MJPG

    tsf-live rtsp://USER:PASSWORD@192.168.1.20:554/stream1 --retry-for inf

    tsf-live --camera 0 rtsp://cam2/live --events both.jsonl

    tsf-live frames/ --events - | jq .type

    tsf-live clip.mp4 --spot-only --events out.jsonl

    tsf-live clip.mp4 --model fdp.tsf --slide 0.25 --events windows.jsonl

    tsf-live --camera 0 --record session1

    tsf-live replay:session1 --events again.jsonl

    tsf-live --camera 0 --privacy events-only --events out.jsonl
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog=_EPILOG)
def live(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE...",
            help="Video, stream (rtsp://, http://, ...), folder or glob of images, replay:DIR, or demo:",
        ),
    ] = None,
    camera: Annotated[list[int] | None, typer.Option(metavar="N", help="Camera index; may be repeated.", min=0)] = None,
    camera_size: Annotated[str | None, typer.Option(metavar="WxH", help="Picture to ask cameras for.")] = None,
    camera_fps: Annotated[float | None, typer.Option(help="Frames a second to ask cameras for.")] = None,
    camera_format: Annotated[str | None, typer.Option(metavar="FOURCC", help="Such as MJPG or YUYV.")] = None,
    images_fps: Annotated[float, typer.Option(help="Pictures a second of image folders.")] = DEFAULT_IMAGES_FPS,
    rtsp_transport: Annotated[str, typer.Option(help=f"{' or '.join(TRANSPORTS)}.")] = TRANSPORTS[0],
    retry_for: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long to try a lost camera or stream again; inf for ever.")
    ] = DEFAULT_RETRY_FOR_S,
    model: Annotated[
        list[Path] | None,
        typer.Option(help="Bundle (NAME.tsf); by default the demonstration one. Repeated: their mean is the answer."),
    ] = None,
    slide: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Name the last half second of every face this often, spotted or not; needs FDP."
        ),
    ] = None,
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
    privacy: Annotated[
        str,
        typer.Option(
            help="none; blur makes faces unrecognisable wherever they are shown; events-only shows and stores none."
        ),
    ] = "none",
    evidence: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For every micro-expression a picture of what was seen, to check it."),
    ] = None,
    evidence_rejected: Annotated[
        bool, typer.Option("--evidence-rejected", help="And for every movement that was rejected.")
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep what replay:DIR needs for the same events: crops of every frame."),
    ] = None,
    record_limit: Annotated[
        float, typer.Option(metavar="GIB", help="End the recording at this size; the run goes on.")
    ] = DEFAULT_RECORD_LIMIT_GIB,
    stats: Annotated[
        Path | None, typer.Option(help="Milliseconds per stage, latency and frame counts to FILE (JSON).")
    ] = None,
) -> None:
    """Find micro-expressions in cameras, streams or videos: onset, apex, offset, emotion.

    Several sources run at once. A lost camera or stream is tried again (exit code 4 when it stays away). Events are
    JSON lines (schema tsf.event/1); messages go to standard error.
    """
    asked = OutputSpec(
        events=events, video=video, timeline=timeline, evidence=evidence, evidence_rejected=evidence_rejected,
        record=record, record_limit_gib=record_limit, privacy=cast(Privacy, privacy), display=not no_display,
    )  # fmt: skip
    console = Console(stderr=True, highlight=False)
    clock = StageClock()
    with ExitStack() as stack:
        interruption = stack.enter_context(Interruption())
        spec = SourceSpec(
            images_fps,
            StreamSpec(rtsp_transport=rtsp_transport),
            CameraSpec(_size(camera_size), camera_fps, camera_format),
        )
        try:
            opened = _open(sources or [], camera or [], spec, RetrySpec(retry_for), stack)
        except SourceError:
            if interruption.requested:  # it may have been the wait for this source that was too long
                raise KeyboardInterrupt from None
            raise
        modes = [_mode_of(source) for source in opened]
        for source, mode in zip(opened, modes, strict=True):
            if mode is not None:
                _tell_mode(console, source.name, mode, spec.camera)
        if spot_only and (backend != "auto" or model):
            raise UsageError("--spot-only uses no recogniser; leave out --model and --backend, or --spot-only")
        bundles = [] if spot_only else [read_bundle(path) for path in model or [default_bundle_path()]]
        recogniser = _load(bundles, backend, clock, stack, console)
        session = Session(
            lambda: FaceMeshDetector(max_faces), recogniser, _describe(bundles, recogniser),
            Limits(duration, max_frames), clock, PipelineSpec(slide=_slide(slide, recogniser)),
            lambda: interruption.requested,
        )  # fmt: skip
        if recogniser is not None:
            console.print(f"recogniser: {' + '.join(b.manifest.name for b in bundles)} on {recogniser.backend}")
        truth = [event for source in opened for event in _truth(source)]
        preprocess = PreprocessSpec() if recogniser is None else recogniser.preprocess
        _check_replay(opened, preprocess.align)
        outputs = Outputs()
        stack.callback(outputs.close)
        controls = Controls(session.recalibrate, lambda: interruption.requested)
        open_outputs(
            asked, outputs, opened, truth, session.spec.spot, preprocess, console, controls, of_windows(recogniser)
        )
        try:
            summary = session.run(opened, outputs)
        except BrokenPipeError:
            # The reader of our events left, which is how `| head` says it has enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        finally:
            if stats is not None:
                _write_stats(stats, clock, session.reports(), modes)
    print_summary(console, summary)
    if truth:
        print_truth(console, truth, summary.events)
    for source in opened:
        if isinstance(source, ReplaySource) and source.note is not None:
            console.print(source.note, markup=False, soft_wrap=True)
    for path in asked.written():
        console.print(f"wrote {path}", highlight=False)


def _load(
    bundles: Sequence[Bundle], backend: str, clock: StageClock, stack: ExitStack, console: Console
) -> Namer | None:
    """What names the movements; None without a bundle."""
    if len({bundle.manifest.protocol_id for bundle in bundles}) > 1:
        names = ", ".join(f"{bundle.path.name} ({bundle.manifest.protocol_id})" for bundle in bundles)
        raise UsageError(f"{names} answer under different protocols; name bundles of one")
    members = tuple(_member(bundle, backend, clock, stack, console) for bundle in bundles)
    if len(members) < 2:
        return members[0] if members else None
    return Ensemble(members, tuple(bundle.manifest.calibration for bundle in bundles))


def _member(bundle: Bundle, backend: str, clock: StageClock, stack: ExitStack, console: Console) -> Namer:
    if backend == "auto":
        choice = choose(bundle)
        console.print(f"backend {choice}", markup=False, soft_wrap=True)
        backend = choice.backend
    if backend == "torch-compiled":
        console.print("compiling the network; the first time that takes minutes")
    return load_namer(bundle, backend, beside_the_frames(), clock, stack)


def _slide(stride_s: float | None, recogniser: Namer | None) -> SlideSpec | None:
    if stride_s is None:
        return None
    if recogniser is None or recogniser.window_frames is None:
        raise UsageError("--slide names windows of frames, which FDP does; add --model with an FDP bundle")
    return SlideSpec(stride_s)


def _open(
    names: Sequence[str], cameras: Sequence[int], spec: SourceSpec, retry: RetrySpec, stack: ExitStack
) -> list[Source]:
    """Every source, opened in the order of the command line; closed by the stack."""
    if not names and not cameras:
        raise UsageError("give a SOURCE or --camera N; tsf-live demo: runs the clip that ships with it")
    if spec.camera != CameraSpec() and not cameras and not any(name.startswith("/dev/") for name in names):
        raise UsageError("--camera-size, --camera-fps and --camera-format are for cameras; add --camera 0")
    if any(name.startswith(REPLAY_PREFIX) for name in names):
        if len(names) > 1 or cameras:
            raise UsageError("a recording runs again alone; give replay:DIR without another source")
        return [stack.enter_context(source) for source in open_recording(names[0])]
    openers: list[Callable[[], Source]] = [partial(CameraSource, index, spec.camera) for index in cameras]
    openers += [DemoSource if name == DEMO_NAME else partial(open_source, name, spec) for name in names]
    sources = [stack.enter_context(open_lasting(opener, retry)) for opener in openers]
    tell_apart(sources)
    return sources


def _check_replay(opened: Sequence[Source], align: AlignSpec) -> None:
    for source in opened:
        if isinstance(source, ReplaySource) and source.header.align != align:
            raise UsageError(
                f"the recording's crops are {source.header.align}, and the recogniser wants {align}; give the --model "
                f"that it was recorded with"
            )


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise UsageError(f"--camera-size is {text}; expected width x height such as 1280x720")
    return int(sides[0]), int(sides[1])


def _mode_of(source: Source) -> CameraMode | None:
    connection = source.connection if isinstance(source, ReconnectingSource) else source
    return connection.mode if isinstance(connection, CameraSource) else None


def _tell_mode(console: Console, name: str, mode: CameraMode, asked: CameraSpec) -> None:
    wishes = [f"{asked.size_px[0]}x{asked.size_px[1]}" if asked.size_px else "", asked.format or ""]
    wishes.append(f"{asked.fps:g} frames/s" if asked.fps else "")
    wish = " ".join(filter(None, wishes))
    console.print(
        f"{name}: {mode.width_px}x{mode.height_px} {mode.format}, says {mode.fps:g} frames/s"
        f"{f' (asked for {wish})' if wish else ''}; the rate is measured",
        markup=False,
        soft_wrap=True,
    )


def _truth(source: Source) -> tuple[TrueEvent, ...]:
    return source.truth if isinstance(source, DemoSource) else ()


def _describe(bundles: Sequence[Bundle], recogniser: Namer | None) -> dict[str, Any] | None:
    if recogniser is None:
        return None
    manifest = bundles[0].manifest
    return {
        "name": " + ".join(bundle.manifest.name for bundle in bundles),
        "digest": " + ".join(bundle.digest for bundle in bundles),
        "protocol": manifest.protocol_id,
        "labels": list(manifest.labels),
        "backend": recogniser.backend,
        "device": recogniser.device,
    }


def _write_stats(
    path: Path, clock: StageClock, reports: Sequence[Mapping[str, Any]], modes: Sequence[CameraMode | None]
) -> None:
    sources = [
        {**report, "camera": None if mode is None else asdict(mode)}
        for report, mode in zip(reports, modes, strict=False)
    ]
    record = {"schema": "tsf.stats/1", "stages": clock.report(), "sources": sources}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the statistics cannot be written to {path}: {error.strerror}") from error
