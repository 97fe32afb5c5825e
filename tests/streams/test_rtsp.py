"""A real RTSP server: read, killed, frozen, brought back smaller or slower, and locked."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from tests.streams.conftest import FILM_FRAMES, OneFace, Serve, Stage
from tests.streams.serving import write_film
from tsfmicro.errors import SourceError, SourceLostError
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.realtime.events import FaceLost, FaceNew, SessionEnd, SourceLost, SourceRestored
from tsfmicro.realtime.source_run import Limits
from tsfmicro.realtime.sources import Source, SourceSpec, open_lasting, open_source
from tsfmicro.realtime.sources.reconnect import RetrySpec
from tsfmicro.realtime.sources.stream import StreamSource, StreamSpec
from tsfmicro.values import Face, Frame

QUICK = SourceSpec(stream=StreamSpec(open_s=10.0, read_s=0.6))
"""Short waits for data, so that tests are short; a loaded machine still connects."""
AGAIN = RetrySpec(retry_for_s=60.0, first_s=0.05, longest_s=0.2)


def lasting(url: str, retry: RetrySpec = AGAIN) -> Source:
    return open_lasting(lambda: open_source(url, QUICK), retry)


def assert_increasing(frames: list[Frame]) -> None:
    for before, after in itertools.pairwise(frames):
        assert after.t_s > before.t_s and after.index > before.index and after.captured_s >= before.captured_s


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_stream_is_read_with_its_own_times(serve: Serve, stage: Stage, transport: str) -> None:
    spec = SourceSpec(stream=StreamSpec(rtsp_transport=transport))
    source = open_source(serve().url, spec)
    assert isinstance(source, StreamSource) and isinstance(source, Source)
    assert source.live and source.name == f"rtsp://127.0.0.1:{source.name.split(':')[2]}"
    summary = stage.run(source, limits=Limits(max_frames=60))
    assert summary.reason == "max_frames"
    assert_increasing(stage.frames)
    assert stage.frames[0].t_s == 0.0 and {frame.pixels.shape for frame in stage.frames} == {(120, 160, 3)}
    steps = np.diff([f.t_s for f in stage.frames]) / np.diff([f.index for f in stage.frames])
    assert np.median(steps) == pytest.approx(1 / 30, abs=1e-3)
    ledger = summary.ledger
    assert ledger.captured == ledger.analysed + ledger.dropped and ledger.analysed == 60
    assert summary.tally.dropped == ledger.dropped + ledger.undecodable + ledger.misstamped
    (report,) = summary.sources
    assert report["live"] and report["capture_to_decision"]["count"] == 60


@pytest.mark.parametrize("back", ["same", "smaller", "slower"])
def test_a_stream_that_is_killed_comes_back(
    serve: Serve, stage: Stage, pictures: Path, small_pictures: Path, back: str
) -> None:
    server = serve()
    clip, rate = (small_pictures if back == "smaller" else pictures), (10 if back == "slower" else 30)

    def act(frame: Frame) -> None:
        if len(stage.frames) == 15:
            server.kill()
        restored = stage.of(SourceRestored)
        if restored and sum(f.t_s >= cast(SourceRestored, restored[0]).at.t_s for f in stage.frames) == 25:
            stage.interrupted = True

    stage.on_frame = act
    stage.on_event = lambda event: server.start(clip, rate) if isinstance(event, SourceLost) else None
    with pytest.raises(KeyboardInterrupt):
        stage.run(lasting(server.url))

    (lost,), (restored,) = stage.of(SourceLost), stage.of(SourceRestored)
    assert isinstance(lost, SourceLost) and isinstance(restored, SourceRestored)
    assert lost.reason in {"ended", "broken"}
    assert_increasing(stage.frames)
    assert restored.at.t_s - lost.at.t_s == pytest.approx(restored.gap_s, abs=1e-3) and restored.gap_s > 0
    after = [frame for frame in stage.frames if frame.t_s >= restored.at.t_s]
    assert after[0].index == restored.at.frame > lost.at.frame
    size = (64, 96, 3) if back == "smaller" else (120, 160, 3)
    assert {frame.pixels.shape for frame in after} == {size}
    if back == "slower":
        step_s = (after[-1].t_s - after[0].t_s) / (after[-1].index - after[0].index)
        assert step_s == pytest.approx(0.1, abs=0.005)
    # Nothing is compared across the gap: the face is given up before it, and another one begins after it.
    kinds = [type(event) for event in stage.events]
    assert kinds.index(SourceLost) < kinds.index(FaceLost) < kinds.index(SourceRestored)
    assert FaceNew in kinds[kinds.index(SourceRestored) :]
    end = stage.events[-1]
    assert isinstance(end, SessionEnd) and end.ledger is not None
    assert end.ledger.times_lost == 1 and end.ledger.longest_gap_s >= restored.gap_s - 1e-3


def test_the_face_component_takes_the_new_size(serve: Serve, small_pictures: Path) -> None:
    server, stage = serve(), Stage(lambda: FaceMeshDetector(1))

    def act(frame: Frame) -> None:
        if len(stage.frames) == 5:
            server.kill()
        stage.interrupted = frame.pixels.shape == (64, 96, 3)

    stage.on_frame = act
    stage.on_event = lambda event: server.start(small_pictures) if isinstance(event, SourceLost) else None
    with pytest.raises(KeyboardInterrupt):
        stage.run(lasting(server.url))
    assert stage.frames[-1].pixels.shape == (64, 96, 3)


def test_a_stream_that_freezes_is_noticed_and_comes_back(serve: Serve, stage: Stage) -> None:
    server = serve()
    stage.on_frame = lambda frame: server.freeze() if len(stage.frames) == 15 else None

    def act(event: object) -> None:
        if isinstance(event, SourceLost):
            server.thaw()
        stage.interrupted = isinstance(event, SourceRestored)

    stage.on_event = act
    with pytest.raises(KeyboardInterrupt):
        stage.run(lasting(server.url))
    (lost,) = stage.of(SourceLost)
    assert isinstance(lost, SourceLost) and lost.reason == "timeout" and "silent" in lost.detail


def test_a_stream_that_stays_away_is_given_up(serve: Serve, stage: Stage) -> None:
    server = serve()
    stage.on_frame = lambda frame: server.kill() if len(stage.frames) == 10 else None
    with pytest.raises(SourceLostError, match=r"did not come back within 0\.5 s.*refuses the connection"):
        stage.run(lasting(server.url, RetrySpec(retry_for_s=0.5, first_s=0.05)))
    end = stage.events[-1]
    assert isinstance(end, SessionEnd) and end.reason == "source_lost" and end.frames >= 10


def test_one_stream_that_dies_leaves_the_other_alone(serve: Serve, stage: Stage) -> None:
    dies, lives = serve(), serve()

    def act(frame: Frame) -> None:
        if len(stage.frames) == 20:
            dies.kill()

    stage.on_frame = act
    with pytest.raises(SourceLostError, match="did not come back"):
        stage.run(
            lasting(dies.url, RetrySpec(retry_for_s=0.3, first_s=0.05)),
            lasting(lives.url),
            limits=Limits(max_frames=70),
        )
    seen = [frame.source for frame in stage.frames]
    assert seen.count(f"rtsp://127.0.0.1:{lives.port}/cam") == 70
    assert 0 < seen.count(f"rtsp://127.0.0.1:{dies.port}/cam") < 70


def test_what_piled_up_before_the_analysis_began_is_left_out(serve: Serve, stage: Stage) -> None:
    source = lasting(serve().url)
    time.sleep(1.0)  # as long as it may take to load a model
    stage.run(source, limits=Limits(max_frames=40))
    # A second at once would not be what the camera sees now.
    assert stage.frames[-1].captured_s - stage.frames[0].captured_s > 0.5 * stage.frames[-1].t_s


def test_a_recording_over_rtsp_ends_when_it_is_over(serve: Serve, stage: Stage, tmp_path: Path) -> None:
    frames = 4 * FILM_FRAMES  # what plays before the session is ready is gone
    source = lasting(serve(write_film(tmp_path / "film.mp4", frames)).url)
    assert source.live
    summary = stage.run(source)
    assert summary.reason == "end_of_source" and not stage.of(SourceLost)
    assert 10 < len(stage.frames) <= frames


def test_a_recording_over_rtsp_that_breaks_off_is_lost(serve: Serve, stage: Stage, tmp_path: Path) -> None:
    server = serve(write_film(tmp_path / "long.mp4", frames=300))

    def act(frame: Frame) -> None:
        if len(stage.frames) == 5:
            server.kill()

    stage.on_frame = act
    with pytest.raises(SourceLostError):
        stage.run(lasting(server.url, RetrySpec(retry_for_s=0.0)))
    assert len(stage.of(SourceLost)) == 1


class Sluggish(OneFace):
    """Three times slower than the stream."""

    def detect(self, frame: Frame) -> list[Face]:
        time.sleep(0.1)
        return super().detect(frame)


def test_a_slow_analysis_drops_frames_and_counts_them(serve: Serve) -> None:
    stage = Stage(Sluggish)
    summary = stage.run(lasting(serve().url), limits=Limits(max_frames=30))
    ledger = summary.ledger
    assert ledger.dropped > 20 and ledger.late > 20
    assert ledger.captured == ledger.analysed + ledger.dropped
    assert summary.tally.dropped == ledger.dropped + ledger.misstamped + ledger.undecodable
    assert_increasing(stage.frames)
    assert stage.frames[-1].index > 60  # it kept up with the stream


def test_the_analysis_ends_while_the_stream_is_frozen(serve: Serve, stage: Stage) -> None:
    server = serve()

    def act(frame: Frame) -> None:
        if len(stage.frames) == 10:
            server.freeze()

    stage.on_frame = act
    summary = stage.run(lasting(server.url, RetrySpec(retry_for_s=float("inf"))), limits=Limits(duration_s=1.5))
    assert summary.reason == "duration"  # by the monotonic clock: no frame came to say so


@pytest.mark.parametrize("kind", ["basic", "digest"])
def test_a_password_is_asked_for_and_never_shown(serve: Serve, stage: Stage, kind: str) -> None:
    server = serve(login=("bob", "S3cret!pw", kind))
    bare = server.url.replace("bob:S3cret!pw@", "")
    with pytest.raises(SourceError, match=r"asks for a user name and a password; write rtsp://USER:PASSWORD@"):
        open_source(bare, QUICK)
    with pytest.raises(SourceError, match="does not accept this user name and password") as error:
        open_source(server.url.replace("S3cret", "Wr0ng"), QUICK)
    assert "Wr0ng" not in str(error.value) and "bob" not in str(error.value)
    assert error.value.__cause__ is None and error.value.__suppress_context__
    source = open_source(server.url, QUICK)
    assert source.name == bare
    stage.run(source, limits=Limits(max_frames=3))
    assert {frame.source for frame in stage.frames} == {bare}


def test_an_unknown_path_is_explained(serve: Serve) -> None:
    with pytest.raises(SourceError, match=r"no stream of that path \(404\)"):
        open_source(serve().url + "/other", QUICK)


def test_nothing_leaks(serve: Serve) -> None:
    server = serve()

    def once() -> None:
        stage = Stage()
        stage.run(lasting(server.url), limits=Limits(max_frames=5))

    def held() -> tuple[int, int]:
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    once()  # libraries open what they keep
    before = held()
    for _ in range(3):
        once()
    assert held() == before
