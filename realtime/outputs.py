"""What a run of ``tsf-live`` leaves behind, from the options that name it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from rich.console import Console

from tsfmicro.errors import UsageError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime.evidence.writer import EvidenceWriter
from tsfmicro.realtime.privacy import Blurred, Privacy
from tsfmicro.realtime.recording.recorder import GIB, Recorder
from tsfmicro.realtime.session import Outputs
from tsfmicro.realtime.sinks import STDOUT, JsonLinesSink
from tsfmicro.realtime.sources import Source
from tsfmicro.realtime.spot import SpotSpec
from tsfmicro.realtime.terminal import NoticeSink, ProgressViewer
from tsfmicro.realtime.track import PATIENCE_S
from tsfmicro.realtime.viewers import HindsightVideo, TimelineViewer, Viewer
from tsfmicro.realtime.window import Controls, Window, display_available
from tsfmicro.realtime.window_recognise import WindowRecogniser
from tsfmicro.synthetic.timecourse import TrueEvent

DEFAULT_RECORD_LIMIT_GIB = 16.0


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """The options, checked against each other.

    Raises:
        UsageError: they contradict each other.
    """

    events: str | None = None
    video: Path | None = None
    timeline: Path | None = None
    evidence: Path | None = None
    evidence_rejected: bool = False
    record: Path | None = None
    record_limit_gib: float = DEFAULT_RECORD_LIMIT_GIB
    privacy: Privacy = "none"
    display: bool = True

    def __post_init__(self) -> None:
        if self.privacy not in get_args(Privacy):
            raise UsageError(f"--privacy is {self.privacy}; expected one of {', '.join(get_args(Privacy))}")
        if self.evidence_rejected and self.evidence is None:
            raise UsageError("--evidence-rejected adds to --evidence DIR; give both")
        if not self.record_limit_gib > 0:
            raise UsageError(f"--record-limit is {self.record_limit_gib:g}; expected gibibytes, more than 0")
        asked = {"--video": self.video, "--evidence": self.evidence, "--record": self.record}
        forbidden = {"none": (), "blur": ("--evidence", "--record"), "events-only": tuple(asked)}[self.privacy]
        for option in forbidden:
            if asked[option] is not None:
                raise UsageError(
                    f"--privacy {self.privacy} stores no face, and {option} would; leave out one of the two"
                )

    def written(self) -> list[Path | str]:
        """Files and folders to name at the end."""
        events = None if self.events == STDOUT else self.events
        return [path for path in (self.video, self.timeline, self.evidence, self.record, events) if path is not None]


def open_outputs(
    spec: OutputSpec,
    outputs: Outputs,
    opened: Sequence[Source],
    truth: Sequence[TrueEvent],
    spot: SpotSpec,
    preprocess: PreprocessSpec,
    console: Console,
    controls: Controls,
    windows: WindowRecogniser | None = None,
) -> None:
    """Open everything asked for, into ``outputs``, which closes it.

    ``windows`` is the recogniser of windows, where there is one: for the evidence, and for the dynamic images in video
    and window.

    Raises:
        UsageError: something cannot be written, or shows one source where there are several.
    """
    if len(opened) > 1 and (spec.video or spec.timeline):
        raise UsageError("--video and --timeline show one source; run tsf-live once for each")
    outputs.sinks.append(NoticeSink(console))
    events = STDOUT if spec.events is None and not sys.stdout.isatty() else spec.events
    if events is not None:
        outputs.sinks.append(JsonLinesSink(events))
    if spec.evidence is not None:
        evidence = EvidenceWriter(spec.evidence, preprocess, spec.evidence_rejected, windows)
        outputs.sinks.append(evidence)
        outputs.keep = evidence.keep
    if spec.record is not None:
        recorder = Recorder(
            spec.record, preprocess.align, spec.record_limit_gib * GIB, lambda text: _say(console, text)
        )
        outputs.sinks.append(recorder)
        outputs.viewers.append(recorder)
    # A dynamic image shows a face, and nobody blurs it.
    images = windows.images if windows is not None and spec.privacy == "none" else None
    if spec.video is not None:
        video = HindsightVideo(spec.video, spot.threshold, spot.lookback_s + PATIENCE_S, images)
        outputs.viewers.append(_private(video, spec.privacy))
    if spec.timeline is not None:
        outputs.viewers.append(TimelineViewer(spec.timeline, spot.threshold, truth, opened[0].name))
    if len(opened) == 1:
        outputs.viewers.append(ProgressViewer(console, opened[0]))
    if spec.display and spec.privacy != "events-only" and display_available():
        outputs.viewers.append(_private(Window(spot.threshold, controls, images), spec.privacy))


def _private(viewer: Viewer, privacy: Privacy) -> Viewer:
    return Blurred(viewer) if privacy == "blur" else viewer


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
