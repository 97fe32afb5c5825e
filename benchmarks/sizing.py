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

_REPEATS = 3
_MODELLED_S = 60.0
_CORES = (1, 2, 4)
"""Of a process: its analysing thread uses one at most."""


def in_step(service: Service, sources: int, fps: float, duration_s: float) -> list[Arrivals]:
    """What scenario ``live`` does: every source plays the same clip from its beginning, decoded ahead of time."""
    count = round(duration_s * fps)
    due_s = np.arange(count) / fps
    return [_arrivals(service, due_s, 0, math.inf)] * sources


def like_cameras(service: Service, sources: int, fps: float, duration_s: float, seed: int) -> list[Arrivals]:
    """Every source at a place of its own in the clip and in the frame period, and nothing decoded before it is due."""
    rng = np.random.default_rng(seed)
    count = round(duration_s * fps)
    return [
        _arrivals(service, (np.arange(count) + rng.uniform()) / fps, int(rng.integers(len(service.decode_s))), 0.0)
        for _ in range(sources)
    ]


def modelled(served: Served, warm_up_s: float) -> dict[str, Any]:
    """The figures of scenario ``live``: percentiles after the warm-up, and every drop."""
    counted = served.latency_s[served.due_s >= warm_up_s] * 1e3
    return {"captured": served.captured, "dropped": served.dropped, **percentiles(counted.tolist(), "ms")}


def most_sources(service: Service, fps: float, cores: int) -> int:
    """The largest number of cameras one process holds in every repeat, by the rule of scenario ``streams``."""
    number = 0
    while all(_holds(service, number + 1, fps, cores, seed) for seed in range(_REPEATS)):
        number += 1
    return number


def size(service: Service, fps: float, cameras: Sequence[int]) -> list[dict[str, Any]]:
    """Rows: what so many cameras need, by the cores each process is given for itself.

    Processes do not share cores in this model, which asks for a little more than a machine that is shared out.
    """
    rows: list[dict[str, Any]] = []
    busy_s = float(np.mean(service.decode_s) + np.mean(service.analysis_s))
    for cores in _CORES:
        held = most_sources(service, fps, cores)
        for number in cameras:
            processes = math.ceil(number / held) if held else None
            needed = None if processes is None else processes * cores
            rows.append(
                {
                    "what": "sizing",
                    "cameras": number,
                    "fps": fps,
                    "cores_per_process": cores,
                    "sources_per_process": held,
                    "processes": processes,
                    "cores": needed,
                    "busy_cores": round(number * fps * busy_s, 1),
                }
            )
    return rows


def _holds(service: Service, number: int, fps: float, cores: int, seed: int) -> bool:
    served = simulate(like_cameras(service, number, fps, _MODELLED_S, seed), cores)
    return holds({**modelled(served, warm_up_s=1.0), "fps": fps})


def _arrivals(service: Service, due_s: np.ndarray[Any, np.dtype[np.float64]], start: int, lead_s: float) -> Arrivals:
    """Measured times in their order, over and over: heavy frames come in runs, which chance would tear apart."""
    places = (start + np.arange(len(due_s))) % len(service.decode_s)
    return Arrivals(due_s, service.decode_s[places], service.analysis_s[places], lead_s)
