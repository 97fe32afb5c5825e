"""Pictures and recordings over HTTP, and servers that answer nothing useful."""

from __future__ import annotations

import itertools
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from tests.streams.conftest import FILM_FRAMES, Stage
from tests.streams.serving import closed_port, http_server, send_file, send_mjpeg, silent_server
from tests.streams.test_rtsp import AGAIN, QUICK, assert_increasing, lasting
from tsfmicro.errors import SourceError, SourceLostError
from tsfmicro.realtime.events import SourceLost, SourceRestored
from tsfmicro.realtime.source_run import Limits
from tsfmicro.realtime.sources import Source, SourceSpec, open_lasting, open_source
from tsfmicro.realtime.sources.stream import StreamedRecording, StreamSource, StreamSpec
from tsfmicro.values import Frame

SHORT = SourceSpec(stream=StreamSpec(open_s=1.0, read_s=0.6))


def test_pictures_over_http_are_timed_by_their_arrival(stage: Stage) -> None:
    with http_server(lambda request: send_mjpeg(request, 200, fps=50)) as address:
        source = open_source(f"{address}/live?token=S3cret&channel=1")
        assert isinstance(source, StreamSource)
        assert source.name == f"{address}/live?token=***&channel=1"
        stage.run(source, limits=Limits(max_frames=40))
    assert_increasing(stage.frames)
    assert {frame.pixels.shape for frame in stage.frames} == {(96, 96, 3)}
    waits = np.diff([frame.captured_s for frame in stage.frames])
    assert np.diff([frame.t_s for frame in stage.frames]) == pytest.approx(waits, abs=1e-6)  # not 25 a second


def test_broken_pictures_are_counted_and_keep_their_number(stage: Stage) -> None:
    with http_server(lambda request: send_mjpeg(request, 200, fps=50, broken=range(20, 200, 5))) as address:
        summary = stage.run(open_source(f"{address}/live"), limits=Limits(max_frames=40))
    ledger = summary.ledger
    assert ledger.undecodable >= 5 and ledger.captured == ledger.analysed + ledger.dropped
    assert summary.tally.dropped == ledger.undecodable + ledger.dropped
    holes = set(range(stage.frames[-1].index + 1)) - {frame.index for frame in stage.frames}
    assert len(holes) == summary.tally.dropped


def test_a_picture_that_changes_its_size_is_a_new_beginning(stage: Stage) -> None:
    asked: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        changes_at = 40 if len(asked) == 1 else 0
        send_mjpeg(request, 200, fps=50, side=lambda index: 96 if index < changes_at else 64)

    def act(frame: Frame) -> None:
        stage.interrupted = frame.pixels.shape == (64, 64, 3)

    stage.on_frame = act
    with http_server(answer) as address, pytest.raises(KeyboardInterrupt):
        stage.run(lasting(f"{address}/live"))
    resized = [event for event in stage.of(SourceLost) if isinstance(event, SourceLost) and event.reason == "resized"]
    assert resized and resized[0].detail == f"{address}/live changed its picture from 96x96 to 64x64"


def test_pictures_over_http_that_end_are_an_outage(stage: Stage) -> None:
    def act(event: object) -> None:
        stage.interrupted = isinstance(event, SourceRestored)

    stage.on_event = act
    with http_server(lambda request: send_mjpeg(request, 25, fps=100)) as address, pytest.raises(KeyboardInterrupt):
        stage.run(lasting(f"{address}/live"))
    (lost,) = stage.of(SourceLost)
    assert isinstance(lost, SourceLost) and lost.reason in {"ended", "broken"}


def test_a_recording_over_http_is_read_to_its_end_once(film: Path) -> None:
    asked: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        send_file(request, film)

    seen = []
    with http_server(answer) as address:
        for _ in range(2):
            stage = Stage()
            source = open_lasting(lambda: open_source(f"{address}/film.mp4"), AGAIN)
            assert isinstance(source, StreamedRecording) and isinstance(source, Source) and not source.live
            assert source.expected_frames == FILM_FRAMES
            summary = stage.run(source)
            assert (summary.reason, summary.ledger.dropped, summary.ledger.captured) == (
                "end_of_source",
                0,
                FILM_FRAMES,
            )
            assert [frame.t_s for frame in stage.frames] == pytest.approx(np.arange(FILM_FRAMES) / 30)
            seen.append(stage.events[1:-1])
    assert seen[0] == seen[1] and seen[0]  # the same file, the same events, the books included
    assert len(asked) == 2


def test_a_recording_that_breaks_off_is_lost_and_not_asked_for_again(film: Path, stage: Stage) -> None:
    half = film.stat().st_size // 5
    with (
        http_server(lambda request: send_file(request, film, half)) as address,
        pytest.raises(SourceLostError, match=r"broke off at 0\.\d s of 1\.5 s"),
    ):
        stage.run(open_lasting(lambda: open_source(f"{address}/film.mp4", SHORT), AGAIN))
    assert 0 < len(stage.frames) < 20 and not stage.of(SourceLost)


def test_several_recordings_are_merged_by_their_media_time(film: Path) -> None:
    orders = []
    for _ in range(2):
        stage = Stage()
        with http_server(lambda request: send_file(request, film)) as address:
            stage.run(open_source(f"{address}/film.mp4"), open_source(str(film)))
        orders.append([frame.index for frame in stage.frames])
        assert len({frame.source for frame in stage.frames}) == 2
    assert orders[0] == orders[1] == list(itertools.chain.from_iterable((i, i) for i in range(FILM_FRAMES)))


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtmp"])
def test_a_server_that_never_answers(scheme: str) -> None:
    with silent_server() as port, pytest.raises(SourceError, match="did not answer within 1 s"):
        open_source(f"{scheme}://bob:S3cret@127.0.0.1:{port}/live", SHORT)


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "rtmp"])
def test_a_closed_port(scheme: str) -> None:
    with pytest.raises(SourceError, match="refuses the connection") as error:
        open_source(f"{scheme}://bob:S3cret@127.0.0.1:{closed_port()}/live?key=S3cret", QUICK)
    assert "S3cret" not in str(error.value) and error.value.__suppress_context__


def test_a_host_that_is_not_known() -> None:
    with pytest.raises(SourceError, match=r"names a host that is not known here \(nowhere\.invalid\)"):
        open_source("rtsp://nowhere.invalid/live", SHORT)


def test_something_that_is_no_video() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        page = b"<html>Please log in</html>" * 100
        request.send_response(200)
        request.send_header("Content-Length", str(len(page)))
        request.end_headers()
        request.wfile.write(page)

    with http_server(answer) as address, pytest.raises(SourceError, match="answers, but not with video"):
        open_source(f"{address}/live", SHORT)


def test_a_play_list_cannot_read_files_of_this_machine(film: Path) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "application/vnd.apple.mpegurl")
        request.end_headers()
        text = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.5,\nfile://{film}\n#EXT-X-ENDLIST\n"
        request.wfile.write(text.encode())

    with http_server(answer) as address, pytest.raises(SourceError):
        open_source(f"{address}/live.m3u8", SHORT)


@pytest.mark.parametrize(
    ("code", "words"), [(401, "asks for a user name"), (404, "no stream of that path"), (500, "cannot be opened")]
)
def test_an_http_error_is_explained(code: int, words: str) -> None:
    with http_server(lambda request: request.send_error(code)) as address, pytest.raises(SourceError, match=words):
        open_source(f"{address}/live", SHORT)


@pytest.mark.parametrize("url", ["rtsp://", "http://", "rtsp://[::1", "rtsp://127.0.0.1:port/x", "udp://"])
def test_half_an_address_is_refused(url: str) -> None:
    with pytest.raises(SourceError) as error:
        open_source(url, SHORT)
    assert str(error.value).startswith(url)
