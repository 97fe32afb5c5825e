"""Scenario ``scaling`` on the command line."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console

from tsfmicro.benchmarks.machine import cores_granted
from tsfmicro.benchmarks.objectives import parse_objective
from tsfmicro.benchmarks.outcome import Slo, finish
from tsfmicro.benchmarks.scaling import Plan, run_scaling
from tsfmicro.benchmarks.workload import workload
from tsfmicro.errors import UsageError
from tsfmicro.realtime.sources.demo import DEMO_NAME

_PLAN = Plan()


def attach(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Examples:\n\n    tsf-bench scaling --json scaling.json\n\n"
        "    tsf-bench scaling interview.mp4 --fps 25 --cameras 8 --cameras 64"
    )(scaling)


def scaling(
    clip: Annotated[str, typer.Argument(metavar="CLIP", help="A video of one face, or demo:")] = DEMO_NAME,
    fps: Annotated[float, typer.Option(help="Frames a second of every source.", min=1)] = _PLAN.fps,
    rates: Annotated[list[float] | None, typer.Option("--rate", help="Other rates; repeatable.", min=1)] = None,
    service_s: Annotated[
        float, typer.Option("--service", help="Seconds of media to take service times from.", min=2)
    ] = _PLAN.service_s,
    rounds: Annotated[int, typer.Option(help="How often.", min=1)] = _PLAN.rounds,
    live_s: Annotated[float, typer.Option("--live", help="Seconds of every session.", min=2)] = _PLAN.live_s,
    warm_up: Annotated[float, typer.Option(help="First seconds of a session, not counted.", min=0)] = 5.0,
    max_sources: Annotated[int, typer.Option(help="No session has more.", min=1)] = _PLAN.max_sources,
    cameras: Annotated[list[int] | None, typer.Option(help="Numbers to size for; repeatable.", min=1)] = None,
    spot_only: Annotated[bool, typer.Option("--spot-only", help="Without naming emotions.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result to FILE.")] = None,
    slo: Slo = None,
) -> None:
    """Measure what grows with sources, faces, frame size and rate; model what 10, 100 and 1,000 cameras need."""
    objectives = [parse_objective(text) for text in slo or []]
    if warm_up >= live_s:
        raise UsageError(f"--warm-up is {warm_up:g} s of {live_s:g} s; nothing would be counted")
    plan = Plan(
        fps=fps,
        rates=tuple(rates or _PLAN.rates),
        service_s=service_s,
        rounds=rounds,
        live_s=live_s,
        live_warm_up_s=warm_up,
        max_sources=max_sources,
        cameras=tuple(cameras or _PLAN.cameras),
    )
    console, rows, cores = Console(stderr=True), list[dict[str, Any]](), cores_granted()
    with workload([clip], spot_only) as work, TemporaryDirectory() as folder:
        for row in run_scaling(work.files[0], Path(folder), plan, work.recogniser, cores):
            rows.append(row)
            console.print(_told(row), soft_wrap=True)
        settings = {"clip": work.names[0], "spot_only": spot_only, **asdict(plan)}
        inputs = work.inputs
    finish(json_file, "scaling", rows, settings, objectives, inputs)


def _told(row: dict[str, Any]) -> str:
    keys = [
        key for key in ("what", "axis", "sources", "faces_shown", "picture", "fps", "cameras", "cores") if key in row
    ]
    return "  ".join(str(row[key]) if key == "what" else f"{key} {row[key]}" for key in keys)
