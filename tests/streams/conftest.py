"""An RTSP server where one can be had, and a session with its ends in the test's hands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.factories import make_face
from tests.streams.serving import RtspServer, rtsp_missing, write_film, write_pictures
from tsfmicro.landmarks import LandmarkDetector
from tsfmicro.realtime.events import Event
from tsfmicro.realtime.pipeline import Step
from tsfmicro.realtime.session import Outputs, Session, Summary
from tsfmicro.realtime.source_run import Limits
from tsfmicro.realtime.sources import Source
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.values import Face, Frame

Serve = Callable[..., RtspServer]
FILM_FRAMES = 45


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("stream") / "pictures")


@pytest.fixture(scope="session")
def small_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("stream") / "small", 96, 64)


@pytest.fixture
def serve(pictures: Path) -> Iterator[Serve]:
    """Start RTSP servers; they are gone after the test."""
    missing = rtsp_missing()
    if missing:
        pytest.skip(missing)
    servers: list[RtspServer] = []

    def start(clip: Path = pictures, login: tuple[str, str, str] | None = None) -> RtspServer:
        servers.append(RtspServer(clip, login=login))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 1.5 s at 30 frames/s whose table of contents comes first."""
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4", FILM_FRAMES)


class OneFace:
    """The same face in every picture."""

    def detect(self, frame: Frame) -> list[Face]:
        height, width = frame.pixels.shape[:2]
        return [make_face((width / 2, height / 2), iod_px=width / 5)]

    def close(self) -> None:
        pass


class Stage:
    """Runs a session and remembers what came out. ``on_frame`` and ``on_event`` run in between: they act the world."""

    def __init__(self, detector: Callable[[], LandmarkDetector] = OneFace) -> None:
        self.frames: list[Frame] = []
        self.events: list[Event] = []
        self.on_frame: Callable[[Frame], None] = lambda frame: None
        self.on_event: Callable[[Event], None] = lambda event: None
        self.interrupted = False
        self._detector = detector

    def run(self, *sources: Source, limits: Limits | None = None) -> Summary:
        session = Session(
            self._detector, None, None, limits or Limits(), StageClock(), interrupted=lambda: self.interrupted
        )
        try:
            return session.run(sources, Outputs([self], [self]))
        finally:
            for source in sources:
                source.close()

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def write(self, event: Event, seq: int) -> None:
        assert seq == len(self.events)
        self.events.append(event)
        self.on_event(event)

    def see(self, step: Step) -> None:
        self.frames.append(step.frame)
        self.on_frame(step.frame)

    def finish(self, events: Sequence[Event]) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def stage() -> Stage:
    return Stage()
