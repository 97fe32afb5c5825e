"""Learning a face anew in the middle of a session, and in its recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.realtime.test_recording import FIRST, Portraits, comparable, no_detector
from tests.realtime.test_session import ListSink, ListViewer
from tsfmicro.align import AlignSpec
from tsfmicro.landmarks import FaceMeshDetector, LandmarkDetector
from tsfmicro.realtime.pipeline import Step
from tsfmicro.realtime.recording.recorder import GIB, Recorder
from tsfmicro.realtime.recording.replay import ReplaySource, open_recording
from tsfmicro.realtime.session import Outputs, Session
from tsfmicro.realtime.source_run import Limits
from tsfmicro.realtime.sources import Source
from tsfmicro.realtime.stage_clock import StageClock


def test_a_recalibration_is_part_of_the_recording(tmp_path: Path) -> None:
    class Asks(ListViewer):
        """Asks twice: between two movements, and in the middle of one."""

        def __init__(self, session: Session) -> None:
            super().__init__()
            self.session, self.steps = session, list[Step]()

        def see(self, step: Step) -> None:
            self.steps.append(step)
            if step.frame.index in (10, 50):
                self.session.recalibrate()

    def told(source: Source, detector: Callable[[], LandmarkDetector]) -> tuple[list[dict[str, Any]], list[Step]]:
        session = Session(detector, None, None, Limits(), StageClock())
        sink, viewer = ListSink(), Asks(session)
        outputs = Outputs([sink], [viewer])
        if not isinstance(source, ReplaySource):
            keeps = Recorder(tmp_path / "kept", AlignSpec(), GIB, print)
            outputs.sinks.append(keeps)
            outputs.viewers.append(keeps)
        session.run([source], outputs)
        return comparable(sink), viewer.steps

    first, steps = told(Portraits(FIRST), lambda: FaceMeshDetector(1))
    assert [step.frame.index for step in steps if step.sight and step.sight.afresh] == [11, 51]
    learning = [step.frame.index for step in steps if not all(face.calibrated for face in step.faces)]
    assert learning == [*range(11 + 30), *range(51, 51 + 30)]
    (source,) = open_recording(f"replay:{tmp_path / 'kept'}")
    with source:
        assert told(source, no_detector)[0] == first
