"""The picture of a movement: what moved is coloured where it moved, and files sort as events do."""

from __future__ import annotations

import dataclasses
import functools
import gc
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from dataclasses import replace
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
import pytest

from tests.factories import astronaut, make_finished, make_sample
from tests.running import Prompt, environment, spawn
from tsfmicro.align import AlignSpec, apply_transform, crop_transform, warp_crop
from tsfmicro.errors import TsfError, UsageError
from tsfmicro.motion import MOTION_POINTS, REGIONS, Displacement, FacePatch
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime.analyzer import Closing
from tsfmicro.realtime.events import FaceLost, MeEnd, MeRejected
from tsfmicro.realtime.evidence import picture
from tsfmicro.realtime.evidence.artist import Artist, Job
from tsfmicro.realtime.evidence.material import Material, face_mask, motion_of, pooled_by_rank
from tsfmicro.realtime.evidence.picture import details, headline, write_picture
from tsfmicro.realtime.evidence.writer import EvidenceWriter
from tsfmicro.realtime.window_recognise import WindowRecogniser
from tsfmicro.synthetic.portrait import framed
from tsfmicro.synthetic.scene import Scene, SceneRenderer
from tsfmicro.synthetic.timecourse import TimeCourse, TrueEvent
from tsfmicro.values import CropPair, Float32Array, Interval, Moment, Recognition, UInt8Array

ALIGN = AlignSpec()
CHEEK, REACH_PX = (75.0, 120.0), 14.0
INTERVAL = Interval(Moment(15, 0.25), Moment(30, 0.5), Moment(54, 0.9))
SURE = Recognition({"happiness": 0.87, "disgust": 0.129, "others": 0.001}, ())
UNSURE = Recognition({"happiness": 0.35, "disgust": 0.65}, ("low_probability", "low_magnitude"))


@functools.cache
def crop_of_portrait() -> tuple[UInt8Array, Float32Array]:
    """(S, S, 3) crop and its (K, 2) points."""
    portrait = astronaut()
    to_crop = crop_transform(portrait.landmarks_px, ALIGN)
    points = apply_transform(to_crop, portrait.landmarks_px[list(MOTION_POINTS)])
    return warp_crop(portrait.pixels, to_crop, ALIGN), points


def a_material(moved_px: tuple[float, float] = (0.0, -3.0), align: AlignSpec = ALIGN) -> Material:
    """A cheek that went so far, and nothing else."""
    crop, points = crop_of_portrait()
    y, x = np.mgrid[0 : crop.shape[0], 0 : crop.shape[1]].astype(np.float32)
    weight = np.exp(-((((x - CHEEK[0]) ** 2 + (y - CHEEK[1]) ** 2) / (2 * REACH_PX**2)) ** 2))
    apex = cv2.remap(crop, x - weight * moved_px[0], y - weight * moved_px[1], cv2.INTER_CUBIC)
    times_s = np.arange(60) / 60
    course = np.clip(1 - np.abs(times_s - 0.5) / 0.3, 0, 1)
    traces = course[:, None] * np.linspace(0.2, 2.0, len(REGIONS))
    return Material(CropPair(crop, np.asarray(apex, np.uint8)), align, points, times_s, traces)


def an_end(recognition: Recognition | None = SURE, source: str = "clip.mp4", event_id: str = "f001-00001") -> MeEnd:
    return MeEnd(source, 1, event_id, INTERVAL, REGIONS[-1], 2.0, 8.0, recognition, True, 0.1)


def a_rejection(event_id: str = "f001-00001") -> MeRejected:
    evidence = {"head_shift_percent_iod": 22.125, "eye_opening_ratio": 0.5}
    reasons = ("blink", "head_motion")
    return MeRejected("clip.mp4", 1, event_id, INTERVAL, REGIONS[-1], 2.0, 8.0, reasons, evidence)


# --- what moved -----------------------------------------------------------------------------------------------------


def test_what_moved_is_told_where_it_moved_and_how_far() -> None:
    motion = motion_of(a_material((0.0, -3.0)))
    y, x = np.unravel_index(int(motion.magnitude.argmax()), motion.magnitude.shape)
    assert abs(x - CHEEK[0]) < 12 and abs(y - CHEEK[1]) < 12
    assert motion.magnitude.max() == pytest.approx(3.0, abs=0.4)
    other_side = motion.magnitude[90:150, 130:180]
    assert other_side.max() < 0.2
    near = np.hypot(*(motion.points_px - CHEEK).T) < 8
    assert near.sum() >= 4 and motion.moves_px[near].mean(axis=0) == pytest.approx([0.0, -2.6], abs=0.5)


def test_nothing_glows_where_nothing_moved() -> None:
    assert motion_of(a_material((0.0, 0.0))).magnitude.max() < 0.01


def test_percent_are_of_the_inter_ocular_distance() -> None:
    whole = motion_of(a_material())
    half = motion_of(a_material(align=replace(ALIGN, iod_px=50.0)))
    assert half.magnitude == pytest.approx(2 * whole.magnitude, abs=1e-4)


def test_the_background_is_left_out() -> None:
    crop, points = crop_of_portrait()
    shifted = np.roll(crop, 2, axis=1)
    motion = motion_of(replace(a_material(), crops=CropPair(crop, shifted)))
    outside = face_mask(points, crop.shape[0]) == 0
    assert outside.mean() > 0.3 and motion.magnitude[outside].max() == 0
    assert motion.magnitude[100:130, 60:160].mean() == pytest.approx(2.0, abs=0.3)


@pytest.mark.parametrize("side", [224, 130])
def test_crops_of_any_size_have_a_map_of_their_size(side: int) -> None:
    crop, points = crop_of_portrait()
    small = np.asarray(cv2.resize(crop, (side, side)), np.uint8)
    pair = CropPair(small, small)
    motion = motion_of(replace(a_material(), crops=pair, points_px=points * np.float32(side / crop.shape[0])))
    assert motion.magnitude.shape == (side, side) and motion.magnitude.dtype == np.float32


# --- the picture ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (an_end(), "happiness  87%"),
        (an_end(UNSURE), "no label (low probability, low magnitude); most likely disgust  65%"),
        (an_end(None), "micro-expression, not named"),
        (a_rejection(), "rejected: blink, head motion"),
    ],
)
def test_the_headline_says_what_came_of_it(event: MeEnd | MeRejected, words: str) -> None:
    assert headline(event) == words


def test_the_details_say_whose_and_when() -> None:
    late = replace(
        an_end(source="rtsp://" + 40 * "long-" + "/end"),
        interval=Interval(Moment(0, 5423.467), Moment(1, 5423.6), Moment(2, 5423.967)),
    )
    text = details(late)
    assert "face 1    at 1:30:23.467" in text and "chin 2.0 % of the inter-ocular distance" in text
    assert "onset to apex 133 ms, to offset 500 ms" in text
    assert text.startswith("rtsp://long-") and "-long-/end    face" in text and len(text) < 180


@pytest.mark.parametrize("event", [an_end(), an_end(UNSURE), an_end(None), a_rejection()])
def test_the_course_is_marked_at_onset_apex_and_offset(event: MeEnd | MeRejected) -> None:
    figure = picture._figure(a_material(), event)
    course = figure.axes[-1]
    lines = [np.asarray(line.get_xdata(), dtype=float) for line in course.get_lines()]
    assert sorted(x[0] for x in lines if len(x) == 2) == [0.25, 0.5, 0.9]
    words = [text.get_text() for text in course.texts]
    assert words == ["onset  0.250 s", "apex  0.500 s", "offset  0.900 s"]
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["onset   0.250 s   frame 15", "apex   0.500 s   frame 30"]
    assert any("inter-ocular" in axes.get_ylabel() for axes in figure.axes[:-1])  # of the colours


def test_every_probability_is_shown() -> None:
    figure = picture._figure(a_material(), an_end())
    shown = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert {"87%", "13%", "< 1%"} <= set(shown)
    labels = [tick.get_text() for axes in figure.axes for tick in axes.get_yticklabels()]
    assert {"happiness", "disgust", "others"} <= set(labels)


def test_a_rejection_shows_its_numbers() -> None:
    figure = picture._figure(a_material(), a_rejection())
    shown = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert {"head shift, % IOD", "22.12", "eye opening ratio", "0.50"} <= set(shown)


def test_the_same_movement_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first.png", "second.png"):
        write_picture(tmp_path / name, a_material(), an_end())
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    height, width = cv2.imread(str(tmp_path / "first.png")).shape[:2]
    assert width >= 1200 and height >= 700


@pytest.mark.parametrize("frames", [2, 8, 20])
def test_a_window_adds_a_strip_below(frames: int) -> None:
    window = np.stack([crop_of_portrait()[0]] * frames)
    plain, shown = (
        picture._figure(material, an_end()) for material in (a_material(), replace(a_material(), window=window))
    )
    strip = shown.axes[len(plain.axes) :]
    titles = [axes.get_title() for axes in strip]
    assert titles[0] == f"frame 1 of {frames}" and titles[-1] == "pooled by rank"
    assert titles[-2] == f"frame {frames} of {frames}" and len(titles) == min(frames, 8) + 1
    # What was there keeps its size and stands above it.
    before, after = (figure.axes[0].get_position().height * figure.get_figheight() for figure in (plain, shown))
    assert after == pytest.approx(before)
    assert max(axes.get_position().y1 for axes in strip) < min(axes.get_position().y0 for axes in shown.axes[:5])
    drawn_too = picture._figure(replace(a_material(), window=window), an_end(), np.zeros((64, 64), np.float32))
    assert [axes.get_title() for axes in drawn_too.axes][-2:] == ["pooled by rank", "drawn by the network"]


@pytest.mark.parametrize("frames", [2, 5, 8])
def test_frames_are_pooled_by_the_harmonic_coefficients(frames: int) -> None:
    """64 px frames, so that nothing is resampled: alpha_t = 2 (T - t + 1) - (T + 1)(H_T - H_{t-1})."""
    rng = np.random.default_rng(frames)
    grey = rng.integers(0, 256, (frames, 64, 64))
    window = np.repeat(grey[..., None], 3, axis=3).astype(np.uint8)
    harmonic = [sum(1 / k for k in range(1, n + 1)) for n in range(frames + 1)]
    alphas = [2 * (frames - t + 1) - (frames + 1) * (harmonic[frames] - harmonic[t - 1]) for t in range(1, frames + 1)]
    pooled = sum(alpha * frame for alpha, frame in zip(alphas, grey, strict=True))
    expected = (pooled - pooled.min()) / (pooled.max() - pooled.min())
    np.testing.assert_allclose(pooled_by_rank(window), expected, atol=1e-5)
    assert (pooled_by_rank(np.repeat(window[:1], frames, axis=0)) == 0).all()


# --- while a session runs -------------------------------------------------------------------------------------------


def a_closing(event_id: str = "f001-00001", rejected: bool = False) -> Closing:
    crop, points = crop_of_portrait()
    grey = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.uint8)
    samples = [
        replace(
            make_sample(i, i / 60),
            patch=FacePatch(grey, np.eye(2, 3), points),
            pixels=crop.copy(),
            pixels_to_crop=np.eye(2, 3),
        )
        for i in range(60)
    ]
    finished = make_finished(samples, (0.25, 0.5, 0.9))
    moved = Displacement(np.zeros(len(REGIONS)), np.eye(2, 3), 0.0)
    return Closing("clip.mp4", event_id, rejected, finished, moved)


def drawn(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("rejected", [False, True])
def test_files_are_named_by_the_events_they_show(tmp_path: Path, rejected: bool) -> None:
    writer = EvidenceWriter(tmp_path / "seen", PreprocessSpec(), rejected)
    writer.keep(a_closing("f001-00001"))
    writer.keep(a_closing("f001-00002", rejected=True))
    writer.write(FaceLost("clip.mp4", 1, Moment(5, 0.1)), 6)
    writer.write(an_end(event_id="f001-00001"), 7)
    writer.write(a_rejection("f001-00002"), 12)
    writer.close()
    writer.close()
    expected = ["000000007-me.end.png", *(["000000012-me.rejected.png"] if rejected else [])]
    assert drawn(tmp_path / "seen") == expected


class Draws:
    """A recogniser of windows that remembers what it was asked to draw."""

    window_frames = 4

    def __init__(self) -> None:
        self.asked: list[UInt8Array] = []

    def dynamic_image(self, window: UInt8Array) -> Float32Array:
        self.asked.append(window)
        return np.full((64, 64), 0.5, np.float32)


@pytest.mark.parametrize("rejected", [False, True])
def test_the_dynamic_image_of_every_movement_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rejected: bool
) -> None:
    jobs: list[Job] = []
    monkeypatch.setattr(Artist, "draw", lambda self, job: jobs.append(job))
    draws = Draws()
    writer = EvidenceWriter(tmp_path / "seen", PreprocessSpec(), rejected, cast(WindowRecogniser, draws))
    writer.keep(a_closing("f001-00001"))
    writer.keep(a_closing("f001-00002", rejected=True))
    writer.write(an_end(), 7)
    writer.write(a_rejection("f001-00002"), 12)
    writer.close()
    assert len(jobs) == len(draws.asked) == 1 + rejected
    for job, asked in zip(jobs, draws.asked, strict=True):
        assert job.material.window is asked and asked.shape == (4, 224, 224, 3)
        assert job.dynamic_image is not None and (job.dynamic_image == 0.5).all()


def test_frames_are_let_go_at_once(tmp_path: Path) -> None:
    writer = EvidenceWriter(tmp_path / "seen", PreprocessSpec())
    closing = a_closing()
    held = [weakref.ref(sample.pixels) for sample in closing.finished.samples]
    writer.keep(closing)
    del closing
    gc.collect()
    assert not any(pixels() is not None for pixels in held)
    writer.close()


def test_events_hold_no_picture() -> None:
    """The session remembers thousands of them."""
    assert {field.name for field in dataclasses.fields(MeEnd)} == {
        "source", "face_id", "event_id", "interval", "region", "magnitude", "score", "recognition", "calibrated",
            "lookahead_s", "compute_s", "confidence",
        }  # fmt: skip


def test_a_picture_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with Artist() as artist, pytest.raises(UsageError, match=r"the evidence cannot be written to .*: No such file"):
        artist.draw(Job(tmp_path / "gone" / "x.png", a_material(), an_end()))


def test_a_writer_tells_of_a_picture_that_could_not_be_written(tmp_path: Path) -> None:
    writer = EvidenceWriter(tmp_path / "seen", PreprocessSpec())
    writer.keep(a_closing())
    (tmp_path / "seen").rmdir()
    writer.write(an_end(), 0)
    with pytest.raises(UsageError, match="the evidence cannot be written"):
        writer.close()


def test_a_dead_artist_is_one_sentence(tmp_path: Path) -> None:
    with Artist() as artist:
        artist.draw(Job(tmp_path / "x.png", a_material(), an_end()))
        pid = artist._process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(TsfError, match="ended before"):
            for _ in range(100):
                artist.draw(Job(tmp_path / "x.png", a_material(), an_end()))
                time.sleep(0.05)


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The portrait with one micro-expression and one movement that rises too slowly."""
    hidden = (
        TrueEvent(TimeCourse(1.5, 1.67, 1.89), "surprise", (1, 2), 3.5),
        TrueEvent(TimeCourse(2.3, 3.0, 3.9), "happiness", (6, 12), 12.0),
    )
    renderer = SceneRenderer(
        framed(astronaut(), 320, 240, 90.0, (0.5, 0.42)), Scene(duration_s=4.2, fps=30.0, events=hidden, seed=5)
    )
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.options = 320, 240, "yuv420p", {"crf": "8"}
        for _, pixels in renderer.frames():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("types", [("me.end",), ("me.end", "me.rejected")])
def test_every_event_has_its_picture(prompt: Prompt, film: Path, tmp_path: Path, types: tuple[str, ...]) -> None:
    more = ["--evidence-rejected"] if "me.rejected" in types else []
    done = prompt.live(film, "--evidence", tmp_path / "seen", *more)
    assert done.code == 0, done.err
    wanted = [f"{record['id']}.png" for record in done.records if record["type"] in types]
    assert drawn(tmp_path / "seen") == wanted and {name[10:-4] for name in wanted} == set(types)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_of_every_process_leaves_what_was_found(tmp_path: Path, sent: signal.Signals) -> None:
    """A terminal and a service manager tell all of them."""
    events, seen = tmp_path / "out.jsonl", tmp_path / "seen"
    command = spawn("demo:", "--spot-only", "--no-display", "--evidence", seen, "--events", events)
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    ) as process:
        until = time.monotonic() + 120
        while not events.exists() or "me.end" not in events.read_text(encoding="utf-8"):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        os.killpg(process.pid, sent)
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in err, err
    told = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    assert told[-1]["type"] == "session.end"
    assert drawn(seen) == [f"{record['id']}.png" for record in told if record["type"] == "me.end"] != []


def test_a_forgotten_artist_does_not_keep_the_program() -> None:
    script = "if __name__ == '__main__':\n from tsfmicro.realtime.evidence.artist import Artist\n kept = Artist()"
    assert subprocess.run([sys.executable, "-c", script], env=environment(), timeout=120, check=False).returncode == 0


def test_evidence_replaces_nothing_and_needs_a_place(prompt: Prompt, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "kept.png").write_bytes(b"kept")
    prompt.live(clip, "--spot-only", "--evidence", tmp_path).assert_refused(2, "is not empty", "name a new folder")
    prompt.live(clip, "--spot-only", "--evidence-rejected").assert_refused(2, "--evidence DIR; give both")
    assert drawn(tmp_path) == ["kept.png"]
