"""Frames of files, images and cameras: exact times, nothing invented, and errors that help."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import TypeAlias, cast

import av
import cv2
import numpy as np
import pytest

from tsfmicro.errors import ContractError, SourceError, UsageError
from tsfmicro.realtime.sources import FileSource, ImagesSource, Source, SourceSpec, open_source, tell_apart
from tsfmicro.realtime.sources.file import MediaClock, UprightRgb
from tsfmicro.values import Float64Array, Frame, UInt8Array

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
MEDIA = SHARED / "media"

CLIP_FRAMES = {
    "derived_leave_return_vfr.mp4": 338,
    "intel_asl_yes.mkv": 65,
    "intel_prev_classroom.gif": 45,
    "intel_prev_face-demographics-walking-and-pause.gif": 41,
    "intel_prev_head-pose-face-detection-female-and-male.gif": 56,
    "intel_prev_head-pose-face-detection-male.gif": 62,
    "lp_d18.mp4": 216,
    "lp_d19.mp4": 250,
    "lp_d20.mp4": 175,
    "lp_d3.mp4": 354,
    "lp_d9.mp4": 587,
    "lp_s18.mp4": 282,
    "pyfeat_WolfgangLanger_Pexels.mp4": 472,
    "pyfeat_face_noface.mov": 169,
    "pyfeat_multi_face.jpg": 1,
    "pyfeat_no_face.mp4": 95,
    "pyfeat_single_face.jpg": 1,
    "pyfeat_single_face.mp4": 72,
    "tc_nasa_13013.mp4": 325,
}
"""Decodable frames, counted with two libraries (the manifest beside the clips)."""


Times: TypeAlias = Sequence[float] | Float64Array


def picture(step: int, width: int = 96, height: int = 64) -> UInt8Array:
    """Its mean red tells the step, 8 levels apart against compression; blue tells left from right."""
    pixels = np.full((height, width, 3), 40, dtype=np.uint8)
    pixels[..., 0] = 8 * (step % 30)
    pixels[..., 2] = np.linspace(0, 120, width, dtype=np.uint8)
    return pixels


def step_of(frame: Frame) -> int:
    return round(float(frame.pixels[..., 0].mean()) / 8)


def write_video(
    path: Path, times_s: Times, codec: str = "libx264", size: tuple[int, int] = (96, 64), ticks: int = 90_000
) -> Path:
    """A film of ``picture(0)``, ``picture(1)`` ... at exactly these times."""
    with av.open(str(path), "w") as container:
        stream = cast(av.VideoStream, container.add_stream(codec, rate=30))
        stream.width, stream.height = size
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, ticks)
        if codec == "libx264":
            stream.options = {"crf": "10", "preset": "ultrafast", "g": "5"}
        for step, t_s in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(picture(step, *size), format="rgb24")
            frame.pts, frame.time_base = round(t_s * ticks), Fraction(1, ticks)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_image(path: Path, step: int, width: int = 96, height: int = 64) -> Path:
    cv2.imwrite(str(path), picture(step, width, height)[..., ::-1])
    return path


def read(source: Source) -> list[Frame]:
    with source:
        return list(source.frames())


def assert_contract(frames: Sequence[Frame]) -> None:
    assert frames[0].t_s == 0.0
    assert (np.diff([f.t_s for f in frames]) > 0).all()
    assert (np.diff([f.captured_s for f in frames]) >= 0).all()
    assert (np.diff([f.index for f in frames]) > 0).all()
    assert len({f.pixels.shape for f in frames}) == 1


# --- video files ----------------------------------------------------------------------------------------------------


def test_variable_rate_and_late_start_are_kept(tmp_path: Path) -> None:
    times = np.cumsum([0.85] + [0.0137, 0.0417, 0.05, 0.02] * 6)
    source = open_source(str(write_video(tmp_path / "vfr.mkv", times, ticks=1000)))
    assert isinstance(source, FileSource) and isinstance(source, Source)
    assert not source.live and source.name == str(tmp_path / "vfr.mkv")
    frames = read(source)
    assert_contract(frames)
    assert [f.t_s for f in frames] == pytest.approx(times - times[0], abs=1.1e-3)
    assert [step_of(f) for f in frames] == list(range(25))
    assert (source.skipped, source.repaired) == (0, 0)


def test_expected_length_is_only_a_hint_but_there(tmp_path: Path) -> None:
    with FileSource(write_video(tmp_path / "a.mp4", np.arange(30) / 30)) as source:
        assert source.expected_frames == 30
        assert source.expected_duration_s == pytest.approx(1.0, abs=0.05)


@dataclass
class Stamped:
    """The part of a decoded frame that its time comes from."""

    pts: int | None
    time_base: Fraction | None = Fraction(1, 10)
    duration: int = 0


@pytest.mark.parametrize(
    ("stamps", "expected", "repaired"),
    [
        ([5, 6, 8, 9], [0.0, 0.1, 0.3, 0.4], 0),
        ([0, 1, 1, 2], [0.0, 0.1, None, 0.2], 0),
        ([0, 1, 2, 3, 1, 2, 4], [0.0, 0.1, 0.2, 0.3, None, None, 0.4], 0),  # a jump back, as after packet loss
        ([None, 50, 51], [0.0, 0.25, 0.35], 1),  # the first frame of a network stream
        ([0, None, 5], [0.0, 0.25, 0.5], 1),
        ([None, None, None], [0.0, 0.25, 0.5], 3),
    ],
)
def test_stamps_are_repaired_or_refused(stamps: list[int | None], expected: list[float | None], repaired: int) -> None:
    stream = SimpleNamespace(average_rate=Fraction(4), guessed_rate=None, time_base=Fraction(1, 10))
    clock = MediaClock(stream)  # type: ignore[arg-type]
    times = [clock.time_of(Stamped(pts)) for pts in stamps]  # type: ignore[arg-type]
    assert times == [None if t is None else pytest.approx(t) for t in expected]
    assert clock.repaired == repaired


def test_stamps_that_stand_still_are_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = iter([True, True, False, True, False, False, True, True])
    honest = MediaClock.time_of
    monkeypatch.setattr(MediaClock, "time_of", lambda *args: honest(*args) if next(refused) else None)
    source = FileSource(write_video(tmp_path / "a.mp4", np.arange(8) / 30))
    frames = read(source)
    assert_contract(frames)
    assert [f.index for f in frames] == [0, 1, 3, 6, 7]  # what was dropped keeps its number
    assert (source.skipped, source.misstamped, source.undecodable) == (3, 3, 0)


def test_raw_stream_without_any_stamps_is_played_at_its_rate(tmp_path: Path) -> None:
    source = FileSource(write_video(tmp_path / "a.h264", np.arange(12) / 30))
    frames = read(source)
    assert_contract(frames)
    assert len(frames) == 12
    assert np.ptp(np.diff([f.t_s for f in frames])) < 1e-6
    assert (source.skipped, source.misstamped) == (0, 12)  # none is given up, but the times are ours


def test_truncated_file_yields_what_decodes(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", np.arange(60) / 30, size=(320, 240))
    data = whole.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) * 6 // 10])
    frames = read(FileSource(cut))
    assert_contract(frames)
    assert 10 < len(frames) < 60
    assert [step_of(f) for f in frames[:8]] == list(range(8))


def test_damage_inside_is_skipped_and_counted(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", np.arange(60) / 30, codec="mpeg4", size=(320, 240), ticks=30)
    with av.open(str(whole)) as container:
        payload = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data = bytearray(whole.read_bytes())
    for number in (20, 21):
        start = data.find(payload[number][:64])
        assert start > 0
        data[start : start + len(payload[number])] = bytes(len(payload[number]))
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(data)
    source = FileSource(damaged)
    frames = read(source)
    assert_contract(frames)
    assert source.undecodable == source.skipped > 0 and len(frames) + source.skipped <= 60
    assert frames[-1].t_s == pytest.approx(59 / 30, abs=2e-3)  # it goes on after the damage


def test_unfinished_mp4_is_refused_helpfully(tmp_path: Path) -> None:
    data = write_video(tmp_path / "whole.mp4", np.arange(30) / 30).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])  # the index of an MP4 comes last
    with pytest.raises(SourceError, match="unfinished recording or download"):
        open_source(str(tmp_path / "cut.mp4"))


@pytest.mark.parametrize("name", ["notes.mp4", "notes.txt", "notes", "notes.nfo", "notes.gif"])
def test_text_is_refused(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("Dear diary,\nthis is no video.\n" * 20)
    with pytest.raises(SourceError, match=r"not a video") as error:
        open_source(str(tmp_path / name))
    assert str(error.value).count(str(tmp_path)) == 1
    assert capfd.readouterr().err == ""  # ffmpeg's own complaints stay inside


def test_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(SourceError, match="not a video"):
        open_source(str(tmp_path / "empty.mp4"))


def test_playlist_cannot_reach_the_network(tmp_path: Path) -> None:
    called = threading.Event()

    def hang_up(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                server.accept()[0].close()
                called.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5.0)
        listener = threading.Thread(target=hang_up, args=(server,))
        listener.start()
        playlist = tmp_path / "list.m3u8"
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n")
        with pytest.raises(SourceError):
            open_source(str(playlist))
        server.shutdown(socket.SHUT_RDWR)
        listener.join(timeout=10.0)
    assert not called.is_set()


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        samples.sample_rate = 48_000
        container.mux(stream.encode(samples))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match=r"no video stream \(found: audio\)"):
        open_source(str(path))


def camera_picture(step: int, width: int, height: int) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(picture(step, width, height), format="rgb24").reformat(format="yuv420p")


def test_pictures_of_any_size_become_what_pyav_makes_of_them() -> None:
    upright = UprightRgb()
    for step, (width, height) in enumerate([(96, 64), (96, 64), (320, 240), (98, 66), (96, 64)]):
        coded = camera_picture(step, width, height)
        assert (upright.of(coded) == coded.to_ndarray(format="rgb24")).all()


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="with one core nothing starts threads")
def test_pictures_are_converted_without_threads() -> None:
    """Two for every picture cost more than the conversion, and left their memory behind."""

    def waits() -> int:
        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw

    upright, coded = UprightRgb(), [camera_picture(step, 640, 480) for step in range(60)]
    before = waits()
    for one in coded:
        upright.of(one)
    between = waits()
    for one in coded:
        one.to_ndarray(format="rgb24")
    assert waits() - between >= 60 > 30 > between - before  # whoever starts a thread waits for it


def test_rotation_of_the_camera_is_undone(tmp_path: Path) -> None:
    """A phone stores the picture lying and notes a quarter turn in the track header."""
    path = write_video(tmp_path / "phone.mp4", np.arange(3) / 30)
    upright = read(FileSource(path))[0].pixels
    data = bytearray(path.read_bytes())
    matrix = data.find(b"tkhd") + 4 + 40
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)  # 90 degrees clockwise
    path.write_bytes(data)
    turned = read(FileSource(path))[0].pixels
    assert turned.shape == (96, 64, 3)
    assert (turned == np.rot90(upright, -1)).all()
    assert turned[0, :, 2].mean() < turned[-1, :, 2].mean() - 60  # what was left is now on top


def test_gif_plays_once_with_its_own_times(tmp_path: Path) -> None:
    frames = read(open_source(str(write_video(tmp_path / "a.gif", [0, 0.1, 0.3, 0.4], codec="gif", ticks=100))))
    assert_contract(frames)
    assert [f.t_s for f in frames] == pytest.approx([0, 0.1, 0.3, 0.4], abs=1e-6)


def test_a_file_is_read_once(tmp_path: Path) -> None:
    with FileSource(write_video(tmp_path / "a.mp4", np.arange(3) / 30)) as source:
        assert len(list(source.frames())) == 3
        with pytest.raises(ContractError, match="read already"):
            next(iter(source.frames()))
    source.close()


def test_two_readings_are_equal(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", np.arange(20) / 30)
    first, second = read(FileSource(path)), read(FileSource(path))
    assert all((a.pixels == b.pixels).all() and a.t_s == b.t_s for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", CLIP_FRAMES)
def test_real_clips(name: str) -> None:
    if not (MEDIA / name).exists():
        pytest.skip("real clips are not in ../shared/media")
    source = open_source(str(MEDIA / name))
    count, last_s = 0, -1.0
    with source:
        for frame in source.frames():
            assert frame.t_s > last_s
            count, last_s = count + 1, frame.t_s
    assert (count, source.skipped) == (CLIP_FRAMES[name], 0)


# --- what was typed -------------------------------------------------------------------------------------------------


def test_missing_file_names_near_matches(tmp_path: Path) -> None:
    (tmp_path / "Interview_01.mp4").touch()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SourceError, match=r"did you mean .*Interview_01\.mp4\?"):
        open_source(str(tmp_path / "interview01.mp4"))
    with pytest.raises(SourceError, match="nothing of a similar name"):
        open_source(str(tmp_path / "zzzzzzzz"))
    with pytest.raises(SourceError, match="nor does its folder"):
        open_source(str(tmp_path / "nowhere" / "a.mp4"))


@pytest.mark.parametrize("url", ["ftp://bob:hunter2@10.0.0.1/live.mp4", "file:///etc/passwd", "srt://bob:hunter2@cam"])
def test_unknown_addresses_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(UsageError, match="expected rtsp, ") as error:
        open_source(url)
    assert "hunter2" not in str(error.value) and "bob" not in str(error.value)


def test_numbers_and_nothing_are_explained() -> None:
    with pytest.raises(UsageError, match="--camera 0"):
        open_source("0")
    with pytest.raises(UsageError, match="source is empty"):
        open_source(" ")


# --- images ---------------------------------------------------------------------------------------------------------


def test_folder_is_ordered_by_the_last_number(tmp_path: Path) -> None:
    names = ["s01_img9.jpg", "s01_img10.JPG", "s01_img2.png", "s01_img11.bmp", "s01_img100.TIF"]
    for step, name in zip((1, 2, 0, 3, 4), names, strict=True):
        write_image(tmp_path / name, step)
    for junk in (".hidden.jpg", "Thumbs.db", "Thumbs.jpg", "notes.txt"):
        (tmp_path / junk).write_bytes(b"junk")
    (tmp_path / "img5.png").mkdir()
    source = open_source(str(tmp_path), SourceSpec(images_fps=200.0))
    assert isinstance(source, ImagesSource) and isinstance(source, Source)
    frames = read(source)
    assert_contract(frames)
    assert [step_of(f) for f in frames] == [0, 1, 2, 3, 4]  # gaps in the numbers are no gap in time
    assert [f.t_s for f in frames] == pytest.approx(np.arange(5) / 200)
    assert (source.skipped, source.expected_frames, source.expected_duration_s) == (0, 5, 5 / 200)


def test_unreadable_and_odd_sized_images_keep_their_place(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for step in range(8):
        write_image(tmp_path / f"{step}.jpg", step)
    (tmp_path / "0.jpg").write_bytes(b"not an image")
    (tmp_path / "2.jpg").write_bytes(b"")
    noisy = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    for name, number in (("whole.jpg", 3), ("whole.png", 4)):
        data = cv2.imencode(Path(name).suffix, noisy)[1].tobytes()
        (tmp_path / f"{number}.jpg").write_bytes(data[: len(data) // 2])  # a decoder would fill the rest with grey
    write_image(tmp_path / "5.jpg", 5, width=48)
    source = ImagesSource(tmp_path, fps=10.0)
    frames = read(source)
    assert_contract(frames)
    assert [step_of(f) for f in frames] == [1, 6, 7]
    assert [f.index for f in frames] == [1, 6, 7]
    assert [f.t_s for f in frames] == pytest.approx([0.0, 0.5, 0.6])
    assert (source.skipped, source.undecodable, source.misstamped) == (5, 5, 0)
    assert capfd.readouterr().err == ""


def test_glob_and_single_image(tmp_path: Path) -> None:
    for step in range(3):
        write_image(tmp_path / f"a{step}.png", step)
        write_image(tmp_path / f"b{step}.png", step + 10)
    assert [step_of(f) for f in read(open_source(str(tmp_path / "b*.png")))] == [10, 11, 12]
    single = read(open_source(str(tmp_path / "a1.png")))
    assert len(single) == 1 and (single[0].pixels == picture(1)).all() and single[0].t_s == 0.0


def test_folder_without_images_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"looked for \.png, \.jpg"):
        open_source(str(tmp_path))
    with pytest.raises(SourceError, match=r"looked for \.png, \.jpg"):
        open_source(str(tmp_path / "*.png"))
    (tmp_path / "a.png").write_bytes(b"junk")
    with pytest.raises(SourceError, match="none of the 1 images can be read"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_frame_rate_of_images_is_checked(tmp_path: Path, fps: float) -> None:
    with pytest.raises(UsageError, match="expected a positive number"):
        ImagesSource(tmp_path, fps=fps)


def test_decoder_threads_never_call_into_python(tmp_path: Path) -> None:
    """PyAV's Python logger takes the GIL in ffmpeg's threads; closing a file holds it and waits for them."""
    with FileSource(write_video(tmp_path / "clip.mp4", [i / 30 for i in range(8)])) as source:
        read(source)
    assert av.logging.get_level() is None


def test_sources_of_one_name_are_told_apart() -> None:
    names = ["rtsp://***@cam/1", "demo:", "rtsp://***@cam/1", "demo: #2", "demo:", "rtsp://***@cam/1"]
    sources = [cast(Source, SimpleNamespace(name=name)) for name in names]
    tell_apart(sources)
    assert [source.name for source in sources] == [
        "rtsp://***@cam/1", "demo:", "rtsp://***@cam/1 #2", "demo: #2", "demo: #3", "rtsp://***@cam/1 #3",
    ]  # fmt: skip
