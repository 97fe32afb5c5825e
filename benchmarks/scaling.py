"""Scenario ``scaling``: what grows with sources, faces, frame size and frame rate, and what many cameras need.

Measured as far as this machine goes; beyond, modelled (``queueing``) from the measured service times, and the model
held against every point that was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from tsfmicro.benchmarks.crowd import TILES, write_faces, write_scaled
from tsfmicro.benchmarks.live import run_live
from tsfmicro.benchmarks.queueing import simulate
from tsfmicro.benchmarks.service import Service, joined, measure_service
from tsfmicro.benchmarks.sizing import in_step, modelled, size
from tsfmicro.benchmarks.spread import percentiles, slope
from tsfmicro.benchmarks.streams import holds
from tsfmicro.realtime.recognise import Recogniser

_SCALES = (0.5, 2.0, 3.0)
_WARM_UP_S = 1.0
"""Of a measurement of service times."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    fps: float = 30.0
    """Of everything but the sweep of rates."""
    rates: Sequence[float] = (60.0, 120.0, 200.0)
    service_s: float = 20.0
    """Media time of a measurement of service times."""
    rounds: int = 3
    """Of those."""
    live_s: float = 45.0
    """Media time of a session."""
    live_warm_up_s: float = 5.0
    max_sources: int = 16
    """Sessions end here even where more would hold."""
    cameras: Sequence[int] = (10, 100, 1000)


@dataclass(frozen=True, slots=True)
class Case:
    """One point of a sweep: one thing differs from the plain clip."""

    axis: str
    clip: Path
    fps: float
    faces: int = 1


def cases(clip: Path, folder: Path, plan: Plan) -> list[Case]:
    """The plain clip first, then every sweep; composed clips are written into the folder."""
    frames = round(plan.service_s * plan.fps)
    by_faces = [
        Case("faces", write_faces(clip, folder / f"faces_{n}.mp4", n, frames), plan.fps, n) for n in range(1, TILES + 1)
    ]
    by_size = [
        Case("frame size", write_scaled(clip, folder / f"scaled_{s:g}.mp4", s, frames), plan.fps) for s in _SCALES
    ]
    return [
        Case("plain", clip, plan.fps),
        *by_faces,
        *by_size,
        *(Case("frame rate", clip, rate) for rate in plan.rates),
    ]


def run_scaling(
    clip: Path,
    folder: Path,
    plan: Plan,
    recogniser: Recogniser | None,
    cores: float,
    live: Callable[..., dict[str, Any]] = run_live,
) -> Iterator[dict[str, Any]]:
    """Everything, row by row.

    Args:
        clip: of one face.
        folder: for the composed clips.
        plan: how much.
        recogniser: None only spots.
        cores: of this machine; what the model is told where it is held against sessions.
        live: :func:`~tsfmicro.benchmarks.live.run_live`.

    Yields:
        ``service`` rows, ``growth`` by faces and by frame size, ``live`` rows with what the model says of the same
        session, ``sizing`` rows.
    """
    measured: list[tuple[Case, Service]] = []
    for case in cases(clip, folder, plan):
        count, warm_up = round(plan.service_s * case.fps), round(_WARM_UP_S * case.fps)
        passes = [measure_service(case.clip, case.fps, count, warm_up, recogniser) for _ in range(plan.rounds)]
        measured.append((case, joined(passes)))
        yield _service_row(case, passes, measured[-1][1])
    yield _growth("faces", "face", [(float(case.faces), service) for case, service in measured if case.axis == "faces"])
    pictures = [(_megapixels(service), service) for case, service in measured if case.axis in ("plain", "frame size")]
    yield _growth("frame size", "megapixel", pictures)
    (plain_case, plain), *others = measured
    for number in range(1, plan.max_sources + 1):
        row = _compared(plain_case, plain, number, plan, recogniser, cores, live)
        yield row
        if not row["holds"]:
            break
    for case, service in others:
        if case.axis in ("faces", "frame rate"):
            yield _compared(case, service, 1, plan, recogniser, cores, live)
    yield from size(plain, plan.fps, plan.cameras)


def _service_row(case: Case, passes: list[Service], all_passes: Service) -> dict[str, Any]:
    decode_ms, analysis_ms = (values * 1e3 for values in (all_passes.decode_s, all_passes.analysis_s))
    naming_ms = all_passes.naming_s[all_passes.naming_s > 0] * 1e3
    busy_s = float(decode_ms.mean() + analysis_ms.mean() + all_passes.naming_s.mean() * 1e3) / 1e3
    processor_s = float(all_passes.analysis_s.sum() + all_passes.naming_s.sum())
    return {
        "what": "service",
        "axis": case.axis,
        "faces_shown": case.faces,
        "picture": all_passes.picture,
        "fps": case.fps,
        "faces_per_frame": round(all_passes.faces_per_frame, 3),
        "decode_mean_ms": round(float(decode_ms.mean()), 3),
        "analysis_mean_ms": round(float(analysis_ms.mean()), 3),
        **{f"analysis_{name}": value for name, value in percentiles(analysis_ms.tolist(), "ms").items()},
        "named": len(naming_ms),
        "naming_mean_ms": round(float(naming_ms.mean()), 3) if len(naming_ms) else None,
        "wall_over_processor": round(float(all_passes.wall_s.sum()) / processor_s, 3),
        "busy_cores": round(busy_s * case.fps, 3),
        "samples": {
            "decode_mean_ms": [round(float(one.decode_s.mean()) * 1e3, 4) for one in passes],
            "analysis_mean_ms": [round(float(one.analysis_s.mean()) * 1e3, 4) for one in passes],
        },
    }


def _growth(axis: str, unit: str, points: Sequence[tuple[float, Service]]) -> dict[str, Any]:
    places = [place for place, _ in points]
    row: dict[str, Any] = {"what": "growth", "axis": axis, "points": len(points)}
    for stage in ("decode", "analysis"):
        means_ms = [fmean(getattr(service, f"{stage}_s")) * 1e3 for _, service in points]
        grows, low, high = slope(places, means_ms)
        row |= {f"{stage}_ms_per_{unit}": round(grows, 3), f"{stage}_interval": [round(low, 3), round(high, 3)]}
    return row


def _compared(
    case: Case,
    service: Service,
    sources: int,
    plan: Plan,
    recogniser: Recogniser | None,
    cores: float,
    live: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """A session as it was, and as the model has it."""
    seen = live([case.clip] * sources, case.fps, plan.live_s, plan.live_warm_up_s, recogniser)
    model = modelled(simulate(in_step(service, sources, case.fps, plan.live_s), cores), plan.live_warm_up_s)
    row: dict[str, Any] = {
        "what": "live",
        "axis": "sources" if case.axis == "plain" else case.axis,
        "sources": sources,
        "faces_shown": case.faces,
        "fps": case.fps,
        "holds": holds(seen),
        "modelled_holds": holds({**model, "fps": case.fps}),
    }
    for name in ("p50_ms", "p90_ms", "p99_ms", "p99_ms_interval"):
        row |= {name: seen[name], f"modelled_{name}": model[name]}
        if not name.endswith("interval"):
            known = seen[name] is not None and model[name] is not None
            row[f"{name}_error"] = round(model[name] / seen[name] - 1, 3) if known else None
    row["dropped_share"] = round(seen["dropped"] / max(seen["captured"], 1), 4)
    row["modelled_dropped_share"] = round(model["dropped"] / max(model["captured"], 1), 4)
    return row


def _megapixels(service: Service) -> float:
    width, height = service.picture.split("x")
    return int(width) * int(height) / 1e6
