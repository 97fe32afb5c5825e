"""Faces that nobody can recognise any more, in every picture that leaves the program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
from rich.console import Console

from tests.factories import astronaut, make_frame
from tests.realtime.test_session import ListViewer
from tests.running import Prompt
from tsfmicro.landmarks import FaceMeshDetector, landmarks_of_photo
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime import outputs
from tsfmicro.realtime.dynamic_images import DynamicImages
from tsfmicro.realtime.events import Event, Stats
from tsfmicro.realtime.pipeline import FaceView, Step
from tsfmicro.realtime.privacy import HOLD_S, KEEP_S, Blurred, Cover, Privacy, blurred, cover_of
from tsfmicro.realtime.session import Outputs
from tsfmicro.realtime.spot import SpotSpec
from tsfmicro.realtime.window import Controls, StopRequested
from tsfmicro.synthetic.portrait import framed
from tsfmicro.values import Face, Moment, UInt8Array

FPS = 10.0
SHAPE = (240, 320, 3)
NOISE: UInt8Array = np.random.default_rng(11).integers(0, 255, SHAPE, dtype=np.uint8)
BOX = (120.0, 80.0, 180.0, 155.0)
"""Of a face with an inter-ocular distance of about 41 px."""


def picture(iod_px: float = 118.0) -> tuple[UInt8Array, Face]:
    portrait = framed(astronaut(), 640, 480, iod_px, (0.5, 0.42))
    return portrait.pixels, Face(portrait.landmarks_px)


def view(box: tuple[float, float, float, float] = BOX, face_id: int = 1) -> FaceView:
    return FaceView(face_id, box, 0.5, False)


def a_step(index: int, *faces: FaceView, source: str = "test", events: Sequence[Event] = ()) -> Step:
    frame = make_frame(NOISE.copy(), index, index / FPS)
    object.__setattr__(frame, "source", source)
    return Step(frame, faces, tuple(events))


def stats(index: int, source: str = "test") -> Stats:
    return Stats(source, Moment(index, index / FPS), index, 0, 0, None)


class Shown(ListViewer):
    """Keeps the pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[int, Step] = {}

    def see(self, step: Step) -> None:
        super().see(step)
        self.steps[step.frame.index] = step

    def changed(self, index: int) -> UInt8Array:
        """(H, W) where a picture is not the camera's."""
        return np.asarray((self.steps[index].frame.pixels != NOISE).any(axis=2), dtype=np.uint8)

    def hides(self, index: int, box: tuple[float, float, float, float] = BOX) -> bool:
        left, top, right, bottom = map(round, box)
        return float(self.changed(index)[top:bottom, left:right].mean()) > 0.99


def shown(steps: Sequence[Step]) -> Shown:
    viewer = Shown()
    blur = Blurred(viewer)
    for step in steps:
        blur.see(step)
    blur.finish([stats(len(steps))])
    return viewer


# --- one picture ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("iod_px", [60.0, 118.0])
def test_no_face_is_found_in_what_is_left(iod_px: float) -> None:
    pixels, face = picture(iod_px)
    hidden = blurred(pixels, [cover_of(FaceView(1, face.box_px, 0.0, False), iod_px)])
    with FaceMeshDetector(1) as detector:
        assert landmarks_of_photo(pixels, detector) is not None
    with FaceMeshDetector(1) as detector:
        assert landmarks_of_photo(hidden, detector) is None


def test_nothing_is_left_of_the_face_but_the_colours_of_its_cells() -> None:
    cover = Cover(100.0, 60.0, 220.0, 180.0, 40.0)  # 6 x 6 cells of 20 px
    rng = np.random.default_rng(3)
    shuffled = NOISE.copy()
    for y in range(60, 180, 20):
        for x in range(100, 220, 20):
            block = shuffled[y : y + 20, x : x + 20].reshape(-1, 3)
            shuffled[y : y + 20, x : x + 20] = rng.permutation(block).reshape(20, 20, 3)
    assert not np.array_equal(shuffled, NOISE)
    assert np.array_equal(blurred(shuffled, [cover])[60:180, 100:220], blurred(NOISE, [cover])[60:180, 100:220])


@pytest.mark.parametrize("times", [2, 5])
def test_a_face_that_is_nearer_shows_no_more(times: int) -> None:
    """Cells are as large as the face is: however many pixels it has, the same colours are left."""
    noise = np.random.default_rng(5).integers(0, 255, (12, 12, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    far = blurred(noise, [Cover(0.0, 0.0, 120.0, 120.0, 40.0)])
    nearer = cv2.resize(noise, None, fx=times, fy=times, interpolation=cv2.INTER_NEAREST)
    side = 120.0 * times
    near = blurred(np.asarray(nearer, np.uint8), [Cover(0.0, 0.0, side, side, 40.0 * times)])
    enlarged = cv2.resize(far, None, fx=times, fy=times, interpolation=cv2.INTER_LINEAR)
    assert np.abs(near.astype(float) - enlarged).max() < 4
    assert far.std() > 4  # there is something to compare


def test_the_rest_of_the_picture_and_the_original_stay() -> None:
    before = NOISE.copy()
    cover = Cover(100.0, 60.0, 220.0, 180.0, 40.0)
    hidden = blurred(NOISE, [cover])
    assert np.array_equal(NOISE, before)
    outside = np.ones(SHAPE[:2], dtype=bool)
    outside[60:180, 100:220] = False
    assert np.array_equal(hidden[outside], NOISE[outside])


def test_the_whole_box_and_more_is_covered() -> None:
    cover = cover_of(view(), iod_px=41.0)
    assert cover.left <= BOX[0] - 14 and cover.right >= BOX[2] + 14 and cover.bottom >= BOX[3] + 14
    assert cover.top <= BOX[1] - 24  # the hairline


def test_a_turned_face_is_blurred_as_much() -> None:
    """Its eyes come together in the picture; its height stays."""
    assert cover_of(view(), iod_px=8.0).unit_px == pytest.approx(0.55 * 75)


@pytest.mark.parametrize("box", [(-50.0, -80.0, 40.0, 40.0), (300.0, 200.0, 400.0, 330.0), (500.0, 20.0, 560.0, 90.0)])
def test_faces_that_reach_over_the_edge_are_covered_as_far_as_they_are_seen(
    box: tuple[float, float, float, float],
) -> None:
    hidden = blurred(NOISE, [cover_of(view(box))])
    left, top, right, bottom = (int(np.clip(v, 0, limit)) for v, limit in zip(box, (320, 240, 320, 240), strict=True))
    inside = (hidden != NOISE).any(axis=2)[top:bottom, left:right]
    assert inside.size == 0 or inside.mean() > 0.99


# --- over time ------------------------------------------------------------------------------------------------------


def test_a_face_is_hidden_in_every_picture_around_its_sightings() -> None:
    """Seen in frames 20 to 40 but for 28 to 31: before it was found, between, and after it was lost."""
    seen = {*range(20, 28), *range(32, 41)}
    viewer = shown([a_step(i, *([view()] if i in seen else [])) for i in range(90)])
    assert viewer.seen == list(range(90))
    first, last = 20 - round(HOLD_S * FPS) - 1, 40 + round(KEEP_S * FPS)
    assert [i for i in range(90) if viewer.hides(i)] == list(range(first, last + 1))
    assert not viewer.changed(first - 1).any() and not viewer.changed(last + 1).any()


def test_between_two_sightings_the_whole_way_is_covered() -> None:
    there = (200.0, 80.0, 260.0, 155.0)
    steps = [a_step(i, *([view()] if i < 10 else [view(there)] if i >= 15 else [])) for i in range(20)]
    viewer = shown(steps)
    for index in range(10, 15):
        assert viewer.hides(index, (BOX[0], BOX[1], there[2], there[3]))


def test_every_face_is_hidden() -> None:
    other = (20.0, 100.0, 60.0, 150.0)
    viewer = shown([a_step(i, view(), view(other, 2)) for i in range(3)])
    assert viewer.hides(1) and viewer.hides(1, other)


def test_sources_do_not_wait_for_each_other() -> None:
    viewer = Shown()
    blur = Blurred(viewer)
    for index in range(5):
        blur.see(a_step(index, view(), source="first"))
        blur.see(a_step(index + 100, view(), source="second"))
    assert viewer.seen == []
    blur.finish([stats(5, "first")])
    assert viewer.seen == [0, 1, 2, 3, 4]
    blur.finish([stats(5, "second")])
    assert viewer.seen[5:] == [100, 101, 102, 103, 104]


def test_a_picture_goes_on_with_its_events_and_without_its_crops() -> None:
    told = stats(0)
    viewer = shown([a_step(0, view(), events=[told]), a_step(1)])
    assert viewer.steps[0].events == (told,) and viewer.steps[0].sight is None
    assert viewer.steps[0].faces == (view(),)
    assert viewer.finished == [stats(2)]


def test_a_window_that_was_closed_gets_nothing_more() -> None:
    viewer = ListViewer({0: StopRequested()})
    blur = Blurred(viewer)
    with pytest.raises(StopRequested):
        for index in range(20):
            blur.see(a_step(index))
    blur.finish([stats(20)])
    assert viewer.seen == [0] and viewer.finishes == 1
    blur.close()
    assert viewer.closed == 1


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """The portrait, standing still, for 40 frames; it is away in the first five."""
    pixels, _ = picture()
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.options = 640, 480, "yuv420p", {"crf": "12"}
        for index in range(40):
            shown = np.full_like(pixels, 128) if index < 5 else pixels
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def faces_of(path: Path) -> list[int]:
    """In how many of the first frames a face can be found."""
    found = []
    with av.open(str(path)) as container:
        for index, decoded in enumerate(container.decode(video=0)):
            with FaceMeshDetector(1) as detector:
                pixels = np.asarray(decoded.to_ndarray(format="rgb24"), np.uint8)
                if index % 4 == 2 and landmarks_of_photo(pixels, detector):
                    found.append(index)
    return found


def test_the_annotated_video_shows_no_face(prompt: Prompt, film: Path, tmp_path: Path) -> None:
    words = (film, "--spot-only", "--video", tmp_path / "out.mp4")
    assert prompt.live(*words).code == 0
    assert len(faces_of(tmp_path / "out.mp4")) == 9
    assert prompt.live(*words, "--privacy", "blur").code == 0
    assert faces_of(tmp_path / "out.mp4") == []


class NoWindow:
    def __init__(self, *_: object) -> None:
        raise AssertionError("a window was opened")


def test_events_only_opens_no_window(prompt: Prompt, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "display_available", lambda: True)
    monkeypatch.setattr(outputs, "Window", NoWindow)
    words = ("tsf-live", clip, "--spot-only")
    assert prompt(*words).code == 1  # the window is what fails
    assert prompt(*words, "--privacy", "blur").code == 1
    done = prompt(*words, "--privacy", "events-only")
    assert done.code == 0 and done.records[-1]["type"] == "session.end"


def test_the_window_is_blurred(prompt: Prompt, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_screen: list[UInt8Array] = []
    monkeypatch.setattr(outputs, "display_available", lambda: True)
    monkeypatch.setattr("cv2.namedWindow", lambda *_: None)
    monkeypatch.setattr("cv2.destroyAllWindows", lambda: None)
    monkeypatch.setattr("cv2.imshow", lambda _, bgr: on_screen.append(bgr[..., ::-1].copy()))
    monkeypatch.setattr("cv2.waitKey", lambda _: 255)
    assert prompt("tsf-live", film, "--spot-only", "--privacy", "blur").code == 0
    assert len(on_screen) == 40
    for pixels in (on_screen[6], on_screen[30]):
        with FaceMeshDetector(1) as detector:
            assert landmarks_of_photo(pixels, detector) is None


@pytest.mark.parametrize("privacy", ["none", "blur", "events-only"])
def test_a_dynamic_image_shows_a_face_and_is_drawn_only_where_faces_are_shown(
    privacy: Privacy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody blurs it: under blur there is none, neither in the window nor in the video."""
    given: dict[str, object] = {}

    class Shows:
        def __init__(self, *words: object) -> None:
            given[str(len(words))] = words[-1]

        def close(self) -> None:
            pass

    class Drawer:
        window_frames, images = 8, DynamicImages()

    monkeypatch.setattr(outputs, "display_available", lambda: True)
    monkeypatch.setattr(outputs, "Window", Shows)  # threshold, controls, images
    monkeypatch.setattr(outputs, "HindsightVideo", Shows)  # path, threshold, lookback, images
    opened: Any = [SimpleNamespace(name="clip")]
    video = None if privacy == "events-only" else tmp_path / "out.mp4"
    asked = outputs.OutputSpec(video=video, privacy=privacy)
    controls = Controls(lambda: None, lambda: False)
    drawer: Any = Drawer()
    monkeypatch.setattr(outputs, "ProgressViewer", lambda *_: Shows(0))
    into = Outputs()
    outputs.open_outputs(asked, into, opened, (), SpotSpec(), PreprocessSpec(), Console(), controls, drawer)
    into.close()
    wanted = {"none": Drawer.images, "blur": None}
    seen = {count: images for count, images in given.items() if count in ("3", "4")}
    assert seen == ({} if privacy == "events-only" else dict.fromkeys(("3", "4"), wanted[privacy]))


@pytest.mark.parametrize(
    ("privacy", "option"),
    [
        ("events-only", "--video"),
        ("events-only", "--evidence"),
        ("events-only", "--record"),
        ("blur", "--evidence"),
        ("blur", "--record"),
    ],
)
def test_what_would_store_a_face_is_refused(
    prompt: Prompt, clip: Path, tmp_path: Path, privacy: str, option: str
) -> None:
    target = tmp_path / "out.mp4"
    prompt.live(clip, "--spot-only", "--privacy", privacy, option, target).assert_refused(
        2, f"--privacy {privacy}", option, "leave out one of the two"
    )
    assert not target.exists()


def test_an_unknown_privacy_is_refused(prompt: Prompt, clip: Path) -> None:
    prompt.live(clip, "--privacy", "some").assert_refused(2, "--privacy is some", "none, blur, events-only")


def test_events_only_leaves_no_picture(prompt: Prompt, film: Path, tmp_path: Path) -> None:
    """The timeline is there, and shows curves alone."""
    target = tmp_path / "out.png"
    assert prompt.live(film, "--spot-only", "--privacy", "events-only", "--timeline", target).code == 0
    timeline = np.asarray(cv2.cvtColor(cv2.imread(str(target)), cv2.COLOR_BGR2RGB), np.uint8)
    with FaceMeshDetector(1) as detector:
        assert landmarks_of_photo(timeline, detector) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "out.png"]
