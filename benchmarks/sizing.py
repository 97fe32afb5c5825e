"""From the measured service times to how many sources a process holds, and what so many cameras need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tsfmicro.benchmarks.queueing import Arrivals, Served, simulate
from tsfmicro.benchmarks.service import Service
from tsfmicro.benchmarks.spread import percentiles
from tsfmicro.benchmarks.streams import holds
from tsfmicro.values import Float64Array

_REPEATS = 3
_MODELLED_S = 120.0
_CORES = (1, 2)
"""Of a process: its analysing thread uses one at most; decoding and naming take far less than that."""
_NAMED_PER_MINUTE = (0.0, 1.0, 6.0)
"""Micro-expressions on every camera: how often they are is a guess, and what naming them costs is paid by all."""


def in_step(service: Service, sources: int, fps: float, duration_s: float) -> list[Arrivals]:
    """What scenario ``live`` does: every source plays the same clip from its beginning, decoded ahead of time."""
    due_s = np.arange(round(duration_s * fps)) / fps
    return [_arrivals(service, due_s, 0, service.naming_s, math.inf)] * sources


def like_cameras(
    service: Service, sources: int, fps: float, duration_s: float, named_per_minute: float, seed: int
) -> list[Arrivals]:
    """Every source at a place of its own in the clip and in the frame period, and nothing decoded before it is due.

    Movements to be named come by chance (Poisson), and each takes as long as one of those that were measured.
    """
    rng = np.random.default_rng(seed)
    count, known_s = round(duration_s * fps), service.naming_s[service.naming_s > 0]
    sources_of: list[Arrivals] = []
    for _ in range(sources):
        due_s, start = (np.arange(count) + rng.uniform()) / fps, int(rng.integers(len(service.decode_s)))
        naming_s = np.zeros(count)
        if len(known_s):
            named = np.flatnonzero(rng.random(count) < named_per_minute / 60 / fps)
            naming_s[named] = rng.choice(known_s, len(named))
        sources_of.append(_arrivals(service, due_s, start, naming_s, 0.0))
    return sources_of


def modelled(served: Served, warm_up_s: float) -> dict[str, Any]:
    """The figures of scenario ``live``: percentiles after the warm-up, and every drop."""
    counted = served.latency_s[served.due_s >= warm_up_s] * 1e3
    return {"captured": served.captured, "dropped": served.dropped, **percentiles(counted.tolist(), "ms")}


def most_sources(service: Service, fps: float, cores: int, named_per_minute: float) -> int:
    """The largest number of cameras one process holds in every repeat, by the rule of scenario ``streams``."""
    number = 0
    while all(_holds(service, number + 1, fps, cores, named_per_minute, seed) for seed in range(_REPEATS)):
        number += 1
    return number


def size(service: Service, fps: float, cameras: Sequence[int]) -> list[dict[str, Any]]:
    """Rows: what so many cameras need, by how often something is named and the cores each process has for itself.

    Each row says what it assumes: picture and faces of every camera, what a frame and a naming cost, all of it on the
    CPU, and the share of the cores that are then at work.

    Processes do not share cores in this model, which asks for a little more than a machine that is shared out.
    """
    rows: list[dict[str, Any]] = []
    known_s = service.naming_s[service.naming_s > 0]
    naming_s = float(known_s.mean()) if len(known_s) else 0.0
    frame_s = float(np.mean(service.decode_s) + np.mean(service.analysis_s))
    for named_per_minute in _NAMED_PER_MINUTE if len(known_s) else (0.0,):
        busy = fps * frame_s + named_per_minute / 60 * naming_s
        for cores in _CORES:
            held = most_sources(service, fps, cores, named_per_minute)
            for number in cameras:
                processes = math.ceil(number / held) if held else None
                rows.append(
                    {
                        "what": "sizing",
                        "cameras": number,
                        "fps": fps,
                        "named_per_minute": named_per_minute,
                        "cores_per_process": cores,
                        "sources_per_process": held,
                        "processes": processes,
                        "cores": None if processes is None else processes * cores,
                        "busy_cores": round(number * busy, 1),
                        "utilisation": None if processes is None else round(number * busy / (processes * cores), 3),
                        "picture": service.picture,
                        "faces_per_frame": round(service.faces_per_frame, 3),
                        "frame_ms": round(frame_s * 1e3, 3),
                        "naming_ms": round(naming_s * 1e3, 1),
                        "device": "cpu",
                    }
                )
    return rows


def _holds(service: Service, number: int, fps: float, cores: int, named_per_minute: float, seed: int) -> bool:
    served = simulate(like_cameras(service, number, fps, _MODELLED_S, named_per_minute, seed), cores)
    return holds({**modelled(served, warm_up_s=0.0), "fps": fps})


def _arrivals(service: Service, due_s: Float64Array, start: int, naming_s: Float64Array, lead_s: float) -> Arrivals:
    """Measured times in their order, over and over: heavy frames come in runs, which chance would tear apart."""
    places = (start + np.arange(len(due_s))) % len(service.decode_s)
    naming = naming_s[np.arange(len(due_s)) % len(naming_s)]
    return Arrivals(due_s, service.decode_s[places], service.analysis_s[places], lead_s, naming)
