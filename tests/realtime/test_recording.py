"""A recorded session run again gives the same events: files with several faces, streams with gaps, several sources."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.factories import astronaut, make_face
from tests.realtime.test_session import FakeSource, ListSink, ListViewer
from tests.running import Prompt, environment, spawn
from tsfmicro.align import AlignSpec
from tsfmicro.closing import Closing
from tsfmicro.errors import SourceLostError, UsageError
from tsfmicro.landmarks import FaceMeshDetector, LandmarkDetector
from tsfmicro.realtime.event_json import to_record
from tsfmicro.realtime.events import Event, SessionStart, SourceLost
from tsfmicro.realtime.pipeline import Step
from tsfmicro.realtime.recording import recorder
from tsfmicro.realtime.recording.layout import CROPS_FILE, HEADER_FILE, SIGHTS_FILE
from tsfmicro.realtime.recording.recorder import GIB, Recorder
from tsfmicro.realtime.recording.replay import RecordedWatch, open_recording
from tsfmicro.realtime.session import Outputs, Session
from tsfmicro.realtime.source_run import Limits
from tsfmicro.realtime.sources import Source
from tsfmicro.realtime.sources.reconnect import ReconnectingSource, RetrySpec
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.synthetic.portrait import framed
from tsfmicro.synthetic.scene import Scene, SceneRenderer
from tsfmicro.synthetic.timecourse import TimeCourse, TrueEvent
from tsfmicro.values import Face, Frame, Moment, UInt8Array

WALL_CLOCK = {"t_wall", "wall_s", "compute_s"}
FIRST = (TrueEvent(TimeCourse(1.5, 1.67, 1.89), "surprise", (1, 2), 3.5),)
SECOND = (TrueEvent(TimeCourse(1.9, 2.08, 2.32), "happiness", (6, 12), 3.5),)


@functools.cache
def pictures(events: tuple[TrueEvent, ...]) -> tuple[tuple[float, UInt8Array], ...]:
    """2.8 s of the public-domain portrait at 30 frames/s."""
    portrait = framed(astronaut(), 320, 240, 90.0, (0.5, 0.42))
    return tuple(SceneRenderer(portrait, Scene(duration_s=2.8, fps=30.0, events=events, seed=5)).frames())


class Portraits(FakeSource):
    """One portrait beside the other."""

    def __init__(self, *people: tuple[TrueEvent, ...], name: str = "clip") -> None:
        super().__init__(name)
        self._people = people

    def frames(self) -> Iterator[Frame]:
        for index, shown in enumerate(zip(*map(pictures, self._people), strict=True)):
            pixels = np.ascontiguousarray(np.hstack([picture for _, picture in shown]))
            yield Frame(pixels, index, shown[0][0], 0.0, self.name)


class OneFace:
    """An average face in every frame."""

    def detect(self, frame: Frame) -> list[Face]:
        return [make_face((320.0, 240.0), 40.0)]

    def close(self) -> None:
        pass


def comparable(sink: ListSink) -> list[dict[str, Any]]:
    records = [to_record(event, seq) for event, seq in zip(sink.events, sink.seqs, strict=True)]
    return [{key: value for key, value in record.items() if key not in WALL_CLOCK} for record in records]


def run(
    sources: Sequence[Source],
    detector: Callable[[], LandmarkDetector] = OneFace,
    record: Path | None = None,
    limit_bytes: float = GIB,
    said: list[str] | None = None,
    viewer: ListViewer | None = None,
) -> list[dict[str, Any]]:
    sink, viewer = ListSink(), viewer or ListViewer()
    outputs = Outputs([sink], [viewer])
    if record is not None:
        keeps = Recorder(record, AlignSpec(), limit_bytes, (said if said is not None else []).append)
        outputs.sinks.append(keeps)
        outputs.viewers.append(keeps)
    Session(detector, None, None, Limits(), StageClock()).run(sources, outputs)
    return comparable(sink)


def no_detector() -> LandmarkDetector:
    raise AssertionError("a recording needs no detector")


def again(folder: Path) -> list[dict[str, Any]]:
    with_files_closed = open_recording(f"replay:{folder}")
    try:
        return run(with_files_closed, no_detector)
    finally:
        for source in with_files_closed:
            source.close()


def kinds(records: Sequence[dict[str, Any]]) -> list[str]:
    return [record["type"] for record in records]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 40 frames."""
    folder = tmp_path_factory.mktemp("recordings") / "small"
    run([FakeSource(frames=40)], record=folder)
    return folder


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in small.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


# --- the same events ------------------------------------------------------------------------------------------------


def test_two_faces_of_a_file_give_the_same_events(tmp_path: Path) -> None:
    first = run([Portraits(FIRST, SECOND)], lambda: FaceMeshDetector(2), tmp_path / "kept")
    assert {record["face_id"] for record in first if record["type"] == "me.end"} == {1, 2}
    assert again(tmp_path / "kept") == first


class LiveWithAGap(Closing):
    """Two connections, the first of which breaks off on the way back of a movement. Frames wait for the analysis."""

    live = True
    expected_frames: int | None = None
    expected_duration_s: float | None = None

    def __init__(self) -> None:
        self.name, self.skipped, self.undecodable, self.misstamped = "rtsp://cam/live", 4, 3, 1
        self.free = threading.Semaphore(4)
        self._connections = itertools.count()

    def frames(self) -> Iterator[Frame]:
        number = next(self._connections)
        for index, (t_s, pixels) in enumerate(pictures(FIRST)):
            if number == 0 and t_s > 1.795:  # its apex is just confirmed
                raise SourceLostError("rtsp://cam/live fell silent for 3 s", "timeout")
            if index in (20, 21, 60):
                continue  # dropped on the way
            assert self.free.acquire(timeout=30)
            yield Frame(pixels, index, t_s, time.monotonic(), self.name)

    def close(self) -> None:
        pass


def test_a_live_stream_with_a_gap_gives_the_same_events(tmp_path: Path) -> None:
    camera = LiveWithAGap()

    class Frees(ListViewer):
        def see(self, step: Step) -> None:
            camera.free.release()

    live = ReconnectingSource(camera, lambda: camera, RetrySpec(first_s=0.01))
    first = run([live], lambda: FaceMeshDetector(1), tmp_path / "kept", viewer=Frees())
    told = kinds(first)
    assert told.index("source.lost") < told.index("source.restored") < told.index("me.end")
    assert "me.rejected" in told[: told.index("source.restored")]
    assert first[-1]["dropped"] == 5 and first[-1]["ledger"]["undecodable"] == 6
    assert again(tmp_path / "kept") == first


def test_several_sources_keep_their_order(tmp_path: Path) -> None:
    sources = [FakeSource("first", 40, dropped=(3, 4)), FakeSource("second", 15), FakeSource("empty", 0)]
    first = run(sources, record=tmp_path / "kept")
    assert [record["source"] for record in first if record["type"] == "face.lost"] == ["second", "first"]
    assert again(tmp_path / "kept") == first


def test_a_recording_of_a_replay_is_the_recording(small: Path, tmp_path: Path) -> None:
    (source,) = open_recording(f"replay:{small}")
    with source:
        run([source], no_detector, tmp_path / "second")
    for name in (SIGHTS_FILE, CROPS_FILE):
        assert (tmp_path / "second" / name).read_bytes() == (small / name).read_bytes()


@pytest.mark.slow
def test_the_demo_gives_the_same_events(prompt: Prompt, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    first = prompt.live("demo:", "--record", kept, "--duration", 7)
    second = prompt.live(f"replay:{kept}", "--evidence", tmp_path / "seen")
    assert (first.code, second.code) == (0, 0), second.err
    assert len(list((tmp_path / "seen").iterdir())) == kinds(first.records).count("me.end") >= 2
    # Two runs: when each began and how long it took is theirs, and so is why it ended.
    own = WALL_CLOCK | {"reason"}
    strip = [[{k: v for k, v in r.items() if k not in own} for r in done.records] for done in (first, second)]
    assert strip[0] == strip[1]


def test_what_is_read_is_what_was_seen_bit_for_bit(tmp_path: Path) -> None:
    class Keeps(ListViewer):
        def __init__(self) -> None:
            super().__init__()
            self.steps: list[Step] = []

        def see(self, step: Step) -> None:
            self.steps.append(step)

    seen, read = Keeps(), Keeps()
    kept = tmp_path / "kept"
    run([Portraits(FIRST)], lambda: FaceMeshDetector(1), kept, viewer=seen)
    run(open_recording(f"replay:{kept}"), no_detector, viewer=read)
    assert len(seen.steps) == len(read.steps) == 84
    for then, now in zip(seen.steps, read.steps, strict=True):
        assert (now.frame.index, now.frame.t_s, now.frame.source) == (then.frame.index, then.frame.t_s, "clip")
        assert now.frame.pixels.shape == then.frame.pixels.shape
        assert then.sight is not None
        assert_same(now.sight, then.sight)


def assert_same(now: Any, then: Any) -> None:
    """Bit for bit, field by field: also fields that a recording does not know of yet."""
    assert type(now) is type(then)
    if dataclasses.is_dataclass(then):
        for field in dataclasses.fields(then):
            assert_same(getattr(now, field.name), getattr(then, field.name))
    elif isinstance(then, np.ndarray):
        assert (now.dtype, now.shape, now.tobytes()) == (then.dtype, then.shape, then.tobytes())
    elif isinstance(then, dict):
        assert now.keys() == then.keys()
        for key in then:
            assert_same(now[key], then[key])
    else:
        assert now == then


def test_the_picture_of_a_replay_shows_the_faces_where_they_were(tmp_path: Path) -> None:
    run([Portraits(FIRST)], lambda: FaceMeshDetector(1), tmp_path / "kept")
    (source,) = open_recording(f"replay:{tmp_path / 'kept'}")
    with source:
        frame = next(source.frames())
    _, picture = pictures(FIRST)[0]
    recorded = (frame.pixels == picture).all(axis=2)
    middle = recorded[40:160, 110:210]
    assert middle.all() and not recorded.all()


def test_identities_end_in_a_replay_as_they_did(small: Path) -> None:
    watch = RecordedWatch()
    (source,) = open_recording(f"replay:{small}")
    with source:
        for frame in itertools.islice(source.frames(), 5):
            at = watch.look(frame, closely=False).at
    assert watch.forget() == ((1, at),)
    assert watch.forget() == ()


# --- what is on disk ------------------------------------------------------------------------------------------------


def test_a_killed_session_leaves_every_frame_up_to_then(prompt: Prompt, tmp_path: Path) -> None:
    kept, events = tmp_path / "kept", tmp_path / "out.jsonl"
    command = spawn("demo:", "--spot-only", "--no-display", "--record", kept, "--events", events)
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment()) as process:
        until = time.monotonic() + 120
        while events.exists() is False or "me.start" not in events.read_text(encoding="utf-8"):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    told = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    done = prompt.live(f"replay:{kept}", "--spot-only")
    assert done.code == 0
    assert "was cut off: demo: ends after" in done.err
    # The last one may have been told before its frame was kept.
    expected = [record for record in told[:-1] if record["type"] != "session.start"]
    assert expected and done.records[1 : len(expected) + 1] == expected


@pytest.mark.parametrize("file", [SIGHTS_FILE, CROPS_FILE])
@pytest.mark.parametrize("share", [0.0, 0.31, 0.5, 0.97])
def test_wherever_a_file_ends_the_frames_before_it_are_read(copy: Path, file: str, share: float) -> None:
    content = (copy / file).read_bytes()
    (copy / file).write_bytes(content[: max(round(share * len(content)), 1200 if file == SIGHTS_FILE else 0)])
    lines = (copy / SIGHTS_FILE).read_bytes().split(b"\n")[:-1]
    size = (copy / CROPS_FILE).stat().st_size
    whole = [json.loads(line) for line in lines]
    expected = [r["frame"] for r in whole if r["kind"] == "frame" and sum(r["faces"][0]["crop"][:2]) <= size]
    if not lines:
        return
    (source,) = open_recording(f"replay:{copy}")
    with source:
        assert [frame.index for frame in source.frames()] == expected
    assert len(expected) < 40
    assert source.note is not None and f"was cut off: first ends after {len(expected)} frames" in source.note


@pytest.mark.parametrize("file", [SIGHTS_FILE, CROPS_FILE])
def test_a_damaged_byte_ends_the_replay_there_with_4(prompt: Prompt, copy: Path, file: str) -> None:
    content = bytearray((copy / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / file).write_bytes(content)
    done = prompt.live(f"replay:{copy}", "--spot-only", "--events", copy / "out.jsonl")
    assert done.code == 4
    assert done.err.splitlines()[-1].startswith(f"error: the recording in {copy} is damaged in line ")
    assert "Traceback" not in done.err
    end = json.loads((copy / "out.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert (end["type"], end["reason"]) == ("session.end", "source_lost") and 10 < end["frames"] < 30


def _other_version(folder: Path) -> None:
    header = json.loads((folder / HEADER_FILE).read_text(encoding="utf-8"))
    (folder / HEADER_FILE).write_text(json.dumps(header | {"schema": "tsf.recording/9"}), encoding="utf-8")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no header": (lambda f: (f / HEADER_FILE).unlink(), "holds no recording.json"),
    "header cut off": (lambda f: (f / HEADER_FILE).write_text('{"schema": ', encoding="utf-8"), "is damaged"),
    "header a list": (lambda f: (f / HEADER_FILE).write_text("[]", encoding="utf-8"), "has schema None"),
    "header without align": (
        lambda f: (f / HEADER_FILE).write_text('{"schema": "tsf.recording/1", "sources": []}', encoding="utf-8"),
        "is damaged",
    ),
    "other version": (_other_version, "this version reads tsf.recording/1"),
    "no sights": (lambda f: (f / SIGHTS_FILE).unlink(), "the recording is incomplete"),
    "no crops": (lambda f: (f / CROPS_FILE).unlink(), "the recording is incomplete"),
    "no frame": (lambda f: (f / SIGHTS_FILE).write_bytes(b""), "holds no frame"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_recording_is_refused_with_3(prompt: Prompt, copy: Path, damage: str) -> None:
    harm, hint = DAMAGES[damage]
    harm(copy)
    prompt.live(f"replay:{copy}", "--spot-only", "--events", "-").assert_refused(3, str(copy), hint)


def test_a_recording_replaces_nothing(prompt: Prompt, copy: Path) -> None:
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    prompt.live("demo:", "--spot-only", "--record", copy).assert_refused(2, "is not empty", "name a new folder")
    prompt.live("demo:", "--spot-only", "--record", copy / HEADER_FILE).assert_refused(2, "it is a file")
    assert {file.name: file.read_bytes() for file in copy.iterdir()} == before


def test_a_replay_runs_alone_and_with_its_own_geometry(prompt: Prompt, copy: Path) -> None:
    prompt.live(f"replay:{copy}", "demo:", "--spot-only").assert_refused(2, "without another source")
    header = json.loads((copy / HEADER_FILE).read_text(encoding="utf-8"))
    header["align"]["iod_px"] = 90.0
    (copy / HEADER_FILE).write_text(json.dumps(header), encoding="utf-8")
    prompt.live(f"replay:{copy}", "--spot-only").assert_refused(2, "iod_px=90.0", "recorded with")


def test_at_its_limit_the_recording_ends_and_the_session_goes_on(small: Path, tmp_path: Path) -> None:
    size = sum(file.stat().st_size for file in small.iterdir())
    said: list[str] = []
    kept = tmp_path / "kept"
    first = run([FakeSource(frames=40)], record=kept, limit_bytes=size / 2, said=said)
    assert first[-1]["frames"] == 40
    assert len(said) == 1 and "is full" in said[0] and "the session goes on" in said[0]
    assert sum(file.stat().st_size for file in kept.iterdir()) < 0.6 * size
    (source,) = open_recording(f"replay:{kept}")
    with source:
        assert 15 < len(list(source.frames())) < 25
    assert source.note is not None and "was full at 0." in source.note


def test_passwords_are_not_recorded(tmp_path: Path) -> None:
    kept = Recorder(tmp_path / "kept", AlignSpec(), GIB, print)
    name = "rtsp://bob:hunter2@cam/live?token=abc"
    kept.write(SessionStart("0", (name,), None, "2026-01-01T00:00:00Z"), 0)
    kept.write(SourceLost(name, Moment(3, 0.1), "timeout", f"{name} fell silent"), 1)
    kept.close()
    text = "".join(file.read_text(encoding="utf-8") for file in (tmp_path / "kept").iterdir())
    assert "fell silent" in text and "cam/live" in text
    assert "hunter2" not in text and "bob" not in text and "abc" not in text


def test_sources_of_one_name_cannot_be_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name each one once"):
        run([FakeSource("same", 3), FakeSource("same", 3)], record=tmp_path / "kept")


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    def begin(self: Recorder, start: Event) -> None:
        self._sources, self._frames = {"first": 0}, [0]
        self._lines = self._crops = Full()  # type: ignore[assignment]

    monkeypatch.setattr(recorder.Recorder, "_begin", begin)
    with pytest.raises(UsageError, match=r"the recording cannot be written to .*: No space left on device"):
        run([FakeSource(frames=3)], record=tmp_path / "kept")


def test_a_recorded_file_can_be_watched_again(prompt: Prompt, small: Path, tmp_path: Path) -> None:
    done = prompt.live(f"replay:{small}", "--spot-only", "--video", tmp_path / "out.mp4")
    assert done.code == 0 and (tmp_path / "out.mp4").stat().st_size > 1000
    assert [record["source"] for record in done.records if "source" in record] == ["first"] * 3
