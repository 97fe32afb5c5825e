"""The window, with OpenCV's part of it replaced: no test machine has a screen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.factories import make_frame
from tsfmicro.realtime import window
from tsfmicro.realtime.dynamic_images import DynamicImages
from tsfmicro.realtime.events import Event, MeEnd, MeRejected
from tsfmicro.realtime.overlay import FaceMark
from tsfmicro.realtime.pipeline import FaceView, Step
from tsfmicro.realtime.viewers import LABEL_HOLD_S
from tsfmicro.realtime.window import Controls, StopRequested, Window, display_available
from tsfmicro.values import Interval, Moment, Recognition, UInt8Array

NOTHING = 255
SPACE, ESCAPE = ord(" "), 27
NO_CONTROLS = Controls(lambda: None, lambda: False)


@dataclass
class Screen:
    """Keys to press, and what was shown."""

    keys: list[int] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    shown: list[UInt8Array] = field(default_factory=list)
    marks: list[Sequence[FaceMark]] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    opened: int = 0
    closed: int = 0

    def key(self, wait_ms: int) -> int:
        self.waits.append(wait_ms)
        return self.keys.pop(0) if self.keys else NOTHING


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    fake = Screen()

    def opened(title: str, flags: int) -> None:
        fake.opened += 1
        fake.titles.append(title)

    def closed() -> None:
        fake.closed += 1

    def shown(title: str, picture: UInt8Array) -> None:
        fake.shown.append(picture)

    def drawn(pixels: UInt8Array, marks: Sequence[FaceMark], footer: str) -> UInt8Array:
        fake.marks.append(marks)
        return pixels

    monkeypatch.setattr("cv2.namedWindow", opened)
    monkeypatch.setattr("cv2.destroyAllWindows", closed)
    monkeypatch.setattr("cv2.imshow", shown)
    monkeypatch.setattr("cv2.waitKey", fake.key)
    monkeypatch.setattr(window, "draw", drawn)
    return fake


def an_event(offset_s: float) -> MeEnd:
    interval = Interval(Moment(1, offset_s - 0.3), Moment(2, offset_s - 0.2), Moment(3, offset_s))
    recognition = Recognition({"happiness": 0.9, "disgust": 0.1}, ())
    return MeEnd("test", 1, "f001-00001", interval, "left_brow", 3.0, 8.0, recognition, True, 0.1)


def a_rejection(offset_s: float) -> MeRejected:
    interval = Interval(Moment(1, offset_s - 0.3), Moment(2, offset_s - 0.2), Moment(3, offset_s))
    return MeRejected("test", 1, "f001-00001", interval, "left_brow", 3.0, 8.0, ("blink",), {})


def a_step(t_s: float, *events: Event, active: bool = False) -> Step:
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[..., 0] = 200  # red in RGB
    frame = make_frame(pixels, round(t_s * 30), t_s)
    return Step(frame, (FaceView(1, (0.0, 0.0, 4.0, 4.0), 0.5, active),), events)


def test_frames_are_shown_in_the_colours_of_opencv(screen: Screen) -> None:
    shown = Window(2.5, NO_CONTROLS)
    shown.see(a_step(0.0))
    shown.close()
    assert screen.shown[0][0, 0].tolist() == [0, 0, 200]
    assert (screen.opened, screen.closed) == (1, 1)


def test_a_face_that_is_only_watched_says_so(screen: Screen) -> None:
    step = a_step(0.0)
    watched = dataclasses.replace(step.faces[0], calibrated=False)
    Window(2.5, NO_CONTROLS).see(dataclasses.replace(step, faces=(watched,)))
    assert [mark.caption for (mark,) in screen.marks] == ["calibrating"]


def test_the_dynamic_image_of_the_last_event_is_shown(screen: Screen) -> None:
    images = DynamicImages()
    images.keep(("test", "f001-00001"), np.ones((64, 64), np.float32))
    shown = Window(2.5, NO_CONTROLS, images)
    for step in (a_step(0.9), a_step(1.2, an_event(1.0)), a_step(3.9), a_step(4.1)):
        shown.see(step)
    shown.see(a_step(4.2, an_event(4.1)))
    shown.see(a_step(4.8, a_rejection(4.7)))
    seen = [mark.dynamic_image is not None for (mark,) in screen.marks]
    assert seen == [False, True, True, False, True, False]
    without = Window(2.5, NO_CONTROLS)
    without.see(a_step(1.2, an_event(1.0)))
    assert screen.marks[-1][0].dynamic_image is None and screen.marks[-1][0].state == "event"


@pytest.mark.parametrize("key", [ord("q"), ESCAPE])
def test_q_and_escape_ask_to_stop(screen: Screen, key: int) -> None:
    screen.keys = [NOTHING, key]
    shown = Window(2.5, NO_CONTROLS)
    shown.see(a_step(0.0))
    with pytest.raises(StopRequested):
        shown.see(a_step(0.1))
    assert len(screen.shown) == 2


def test_space_pauses_until_space(screen: Screen) -> None:
    screen.keys = [SPACE, SPACE, NOTHING]
    shown = Window(2.5, NO_CONTROLS)
    shown.see(a_step(0.0))
    shown.see(a_step(0.1))
    assert screen.waits == [1, 100, 1]


@pytest.mark.parametrize("paused", [False, True])
def test_r_learns_again_how_the_faces_move(screen: Screen, paused: bool) -> None:
    asked: list[int] = []
    screen.keys = [SPACE, NOTHING, ord("r")] if paused else [ord("r")]
    shown = Window(2.5, Controls(lambda: asked.append(len(screen.shown)), lambda: False))
    shown.see(a_step(0.0))
    shown.see(a_step(0.1))
    assert asked == [1]


def test_an_interruption_ends_a_pause(screen: Screen) -> None:
    screen.keys = [SPACE]
    Window(2.5, Controls(lambda: None, lambda: len(screen.waits) > 3)).see(a_step(0.0))
    assert screen.waits == [1, 100, 100, 100]


def test_a_paused_window_can_be_quit(screen: Screen) -> None:
    screen.keys = [SPACE, ord("q")]
    with pytest.raises(StopRequested):
        Window(2.5, NO_CONTROLS).see(a_step(0.0))


def test_every_source_has_a_window_and_faces_of_its_own(screen: Screen) -> None:
    shown = Window(2.5, NO_CONTROLS)
    shown.see(a_step(1.2, an_event(1.1)))
    other = a_step(1.2)
    shown.see(Step(dataclasses.replace(other.frame, source="rtsp://cam/live"), other.faces, ()))
    shown.see(a_step(1.3))
    assert [title.split()[1] for title in screen.titles] == ["test", "rtsp://cam/live"]
    assert [mark.caption for (mark,) in screen.marks] == ["happiness 90%", "face 1", "happiness 90%"]


def test_a_face_is_marked_with_what_is_known_now(screen: Screen) -> None:
    shown = Window(2.5, NO_CONTROLS)
    shown.see(a_step(0.9))
    shown.see(a_step(1.0, active=True))
    shown.see(a_step(1.2, an_event(1.1)))
    shown.see(a_step(1.1 + 2 * LABEL_HOLD_S - 0.01))
    shown.see(a_step(1.1 + 2 * LABEL_HOLD_S + 0.01))
    shown.finish([a_rejection(3.0)])
    shown.see(a_step(3.1))
    said = [(mark.state, mark.caption) for (mark,) in screen.marks]
    assert said == [
        ("idle", "face 1"),
        ("moving", "moving"),
        ("event", "happiness 90%"),
        ("event", "happiness 90%"),
        ("idle", "face 1"),
        ("rejected", "rejected: blink"),
    ]


@pytest.mark.parametrize(
    ("platform", "variables", "available"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ""}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("darwin", {}, True),
        ("win32", {}, True),
    ],
)
def test_a_window_needs_a_display(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], available: bool
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert display_available() is available
