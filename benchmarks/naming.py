"""Scenario ``naming``: the same clips through the live path with each recogniser, and with their mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from typing import Any

from tsfmicro.benchmarks.live import run_session
from tsfmicro.bundle import Bundle
from tsfmicro.errors import UsageError
from tsfmicro.realtime.events import Event, FaceWindow, MeEnd
from tsfmicro.realtime.pipeline import PipelineSpec
from tsfmicro.realtime.session import Outputs
from tsfmicro.realtime.sliding import SlideSpec
from tsfmicro.realtime.sources import open_source
from tsfmicro.realtime.sources.demo import DEMO_NAME, DemoSource
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.realtime.window_recognise import Ensemble, load_namer


class _Kept:
    """Keeps the events that carry a name."""

    def __init__(self) -> None:
        self.named: list[MeEnd | FaceWindow] = []

    def write(self, event: Event, seq: int) -> None:
        """See ``EventSink.write``."""
        if isinstance(event, MeEnd | FaceWindow):
            self.named.append(event)

    def close(self) -> None:
        """Nothing is held open."""


def run_naming(clips: Sequence[str], bundles: Sequence[Bundle], slide_s: float) -> list[dict[str, Any]]:
    """A row for each clip and recogniser, and one for each clip and two of them: how often they say the same.

    Args:
        clips: recordings, or ``demo:``.
        bundles: of one protocol, at least one; more than one are also averaged.
        slide_s: stride of the windows that are named without the spotter, by recognisers that take windows.

    Raises:
        UsageError: if the bundles answer under different protocols, or without any.
    """
    if len({bundle.manifest.protocol_id for bundle in bundles}) != 1:
        raise UsageError("the bundles answer under different protocols, or there are none; name bundles of one")
    rows: list[dict[str, Any]] = []
    for clip in clips:
        found = {name: _run(clip, chosen, slide_s) for name, chosen in _choices(bundles).items()}
        rows += [{"clip": Path(clip).name, "recogniser": name, **_row(*one)} for name, one in found.items()]
        answers = {name: _answers(named) for name, (named, _) in found.items()}
        rows += [
            {"clip": Path(clip).name, "recognisers": f"{one}, {other}", **_agreement(answers[one], answers[other])}
            for one, other in combinations(answers, 2)
        ]
    return rows


def _choices(bundles: Sequence[Bundle]) -> dict[str, tuple[Bundle, ...]]:
    choices: dict[str, tuple[Bundle, ...]] = {bundle.manifest.name: (bundle,) for bundle in bundles}
    return choices if len(bundles) < 2 else {**choices, "mean": tuple(bundles)}


def _run(clip: str, bundles: Sequence[Bundle], slide_s: float) -> tuple[list[MeEnd | FaceWindow], StageClock]:
    clock, kept = StageClock(), _Kept()
    with ExitStack() as stack:
        members = tuple(load_namer(bundle, "onnxruntime", None, clock, stack) for bundle in bundles)
        calibrations = tuple(bundle.manifest.calibration for bundle in bundles)
        namer = members[0] if len(members) == 1 else Ensemble(members, calibrations)
        source = stack.enter_context(DemoSource() if clip == DEMO_NAME else open_source(clip))
        slide = None if namer.window_frames is None else SlideSpec(slide_s)
        run_session([source], namer, clock, Outputs(sinks=[kept]), PipelineSpec(slide=slide))
    return kept.named, clock


def _row(named: Sequence[MeEnd | FaceWindow], clock: StageClock) -> dict[str, Any]:
    events = [event for event in named if isinstance(event, MeEnd)]
    windows = [event for event in named if isinstance(event, FaceWindow)]
    calls = clock.report().get("recognise")
    return {
        "micro_expressions": len(events),
        "answered": sum(event.recognition is not None and event.recognition.label is not None for event in events),
        "most_likely": dict(Counter(event.recognition.top_label for event in events if event.recognition)),
        "windows": len(windows),
        "windows_answered": sum(w.recognition is not None and w.recognition.label is not None for w in windows),
        "windows_most_likely": dict(Counter(w.recognition.top_label for w in windows if w.recognition)),
        "recognise_ms": calls,
        "events": [_told(event) for event in events],
    }


def _told(event: MeEnd) -> dict[str, Any]:
    recognition = event.recognition
    return {
        "onset_s": round(event.interval.onset.t_s, 3),
        "offset_s": round(event.interval.offset.t_s, 3),
        "magnitude_percent_iod": round(event.magnitude, 2),
        "label": None if recognition is None else recognition.label,
        "most_likely": None if recognition is None else recognition.top_label,
        "probability": None if recognition is None else round(recognition.probabilities[recognition.top_label], 3),
        "abstain": [] if recognition is None else list(recognition.abstain),
    }


def _answers(named: Sequence[MeEnd | FaceWindow]) -> dict[str, str]:
    """The most likely label of each event."""
    return {e.event_id: e.recognition.top_label for e in named if isinstance(e, MeEnd) and e.recognition}


def _agreement(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, Any]:
    both = sorted(set(one) & set(other))
    return {"events_of_both": len(both), "same_most_likely": sum(one[name] == other[name] for name in both)}
