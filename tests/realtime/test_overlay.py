"""The overlay draws where it should and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tsfmicro.errors import ContractError
from tsfmicro.realtime import overlay
from tsfmicro.realtime.overlay import DYNAMIC_IMAGE, EMOTION_COLOURS, FaceMark, draw
from tsfmicro.values import Float32Array, UInt8Array

TRACE = tuple(float(v) for v in np.abs(np.sin(np.linspace(0, 9, 90))) * 10)


def mark(**changes: object) -> FaceMark:
    values: dict[str, object] = {
        "face_id": 1,
        "box_px": (170.0, 60.0, 270.0, 190.0),
        "state": "event",
        "caption": "happiness 0.87",
        "trace": TRACE,
        "threshold": 5.0,
    }
    return FaceMark(**(values | changes))  # type: ignore[arg-type]


def grey(level: int = 128, height: int = 360, width: int = 640) -> UInt8Array:
    return np.full((height, width, 3), level, dtype=np.uint8)


def changed(before: UInt8Array, after: UInt8Array) -> NDArray[np.bool_]:
    return np.asarray((before != after).any(axis=2), dtype=np.bool_)


def test_input_is_left_alone_and_nothing_is_drawn_for_nothing() -> None:
    pixels = grey()
    out = draw(pixels, [mark()], "clip.mp4  00:01.0")
    assert (pixels == 128).all() and out.shape == pixels.shape and out.dtype == np.uint8
    assert (draw(pixels, [], "") == pixels).all()


def test_box_plate_trace_and_footer_are_where_they_belong() -> None:
    pixels = grey()
    touched = changed(pixels, draw(pixels, [mark()], ""))
    assert touched[60:190, 168:173].any(axis=1).all()  # left side of the box
    assert touched[35:56, 172:260].mean() > 0.8  # the plate above it
    assert touched[310:350, 10:100].mean() > 0.8  # the trace, bottom left
    assert not touched[70:180, 190:250].any()  # the face itself stays clear
    assert changed(pixels, draw(pixels, [mark(trace=())], ""))[300:].sum() == 0
    assert changed(pixels, draw(pixels, [], "00:01.0"))[345:].mean() > 0.9


def test_a_dynamic_image_stands_above_the_trace_and_is_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, image = grey(), np.zeros((64, 64), np.uint8)
    image[:32] = 255
    written: list[str] = []
    letters = overlay._letters

    def noted(text: str, *size: int) -> Float32Array:
        written.append(text)
        return letters(text, *size)

    monkeypatch.setattr(overlay, "_letters", noted)
    out = draw(pixels, [mark(dynamic_image=image)], "")
    assert DYNAMIC_IMAGE in written and DYNAMIC_IMAGE == "dynamic image"
    without = draw(pixels, [mark()], "")
    touched = changed(without, out)
    rows, columns = (np.flatnonzero(touched.any(axis=axis)) for axis in (1, 0))
    assert columns.max() < 0.15 * 640 and rows.min() > 0.5 * 360 and rows.max() < 310  # small, and above the trace
    assert not touched[:, 170:].any()
    light, dark = ((out == level).all(axis=2) for level in (255, 0))
    assert light.sum() > 500 and dark.sum() > 500 and not (without == 255).all(axis=2).any()
    assert np.flatnonzero(light.any(axis=1)).max() < np.flatnonzero(dark.any(axis=1)).max()  # the right way up


def test_a_dynamic_image_takes_its_place_beside_other_faces() -> None:
    pixels, image = grey(), np.full((64, 64), 255, np.uint8)
    marks = [mark(face_id=1, dynamic_image=image), mark(face_id=2), mark(face_id=3, dynamic_image=image)]
    white = (draw(pixels, marks, "") == 255).all(axis=2)
    columns = np.flatnonzero(white.any(axis=0))
    gaps = np.flatnonzero(np.diff(columns) > 1)
    assert len(gaps) == 1  # two images, apart: the second face has none
    alone = (draw(pixels, [mark(trace=(), dynamic_image=image)], "") == 255).all(axis=2)
    assert np.flatnonzero(alone.any(axis=1)).max() > np.flatnonzero(white.any(axis=1)).max()  # at the bottom then


@pytest.mark.parametrize("size", [(16, 16), (60, 480), (480, 40)])
def test_a_dynamic_image_that_does_not_fit_is_left_out(size: tuple[int, int]) -> None:
    pixels, image = grey(128, *size), np.full((64, 64), 255, np.uint8)
    out = draw(pixels, [mark(box_px=(-99.0, -99.0, -90.0, -90.0), caption="", dynamic_image=image)], "")
    assert not (out == 255).all(axis=2).any()


@pytest.mark.parametrize("emotion", ["happiness", "disgust", "repression", "surprise", "others"])
def test_an_event_takes_the_colour_of_its_emotion(emotion: str) -> None:
    assert mark(caption=f"{emotion} 0.70").colour == EMOTION_COLOURS[emotion]
    out = draw(grey(), [mark(caption=f"{emotion} 0.70")], "")
    assert (out == EMOTION_COLOURS[emotion]).all(axis=2).sum() > 50


def test_only_events_take_an_emotion_and_states_differ() -> None:
    states = ("idle", "moving", "apex", "event", "rejected", "blink")
    assert len({mark(state=state, caption="").colour for state in states}) == len(states)
    assert mark(state="rejected", caption="happiness").colour == mark(state="rejected", caption="").colour


@pytest.mark.parametrize(
    "box",
    [
        (-50.0, -30.0, 40.0, 60.0),
        (600.0, 300.0, 700.0, 420.0),
        (900.0, 900.0, 1000.0, 1000.0),
        (5.0, 5.0, 5.0, 5.0),
        (-9000.0, -9000.0, -8000.0, -8000.0),
    ],
)
@pytest.mark.parametrize("size", [(270, 480), (720, 1280), (16, 16), (480, 40)])
def test_any_box_on_any_picture_is_drawn_without_fault(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> None:
    height, width = size
    out = draw(grey(128, height, width), [mark(box_px=box, caption="surprise " * 30)], "a footer " * 60)
    assert out.shape == (height, width, 3)


@pytest.mark.parametrize("box", [(560.0, 0.0, 640.0, 90.0), (0.0, 0.0, 60.0, 90.0), (600.0, 100.0, 640.0, 150.0)])
def test_the_plate_never_leaves_the_picture(box: tuple[float, float, float, float]) -> None:
    inside = draw(grey(), [mark(trace=())], "")
    moved = draw(grey(), [mark(trace=(), box_px=box)], "")
    colour = EMOTION_COLOURS["happiness"]
    paper = [int((image.astype(int).min(axis=2) > 235).sum()) for image in (inside, moved)]
    assert paper[1] == paper[0]  # every letter is there
    assert (moved == colour).all(axis=2).any()


@pytest.mark.parametrize("level", [0, 255])
def test_the_caption_reads_on_black_and_on_white(level: int) -> None:
    plate = draw(grey(level), [mark(trace=())], "")[36:56, 195:280].astype(int).mean(axis=2)
    assert plate.max() - np.median(plate) > 120


def test_traces_that_do_not_fit_are_left_out() -> None:
    pixels = grey(128, 270, 480)
    out = draw(pixels, [mark(face_id=n) for n in range(30)], "00:01.0")
    assert out.shape == pixels.shape


def test_non_finite_scores_and_strange_letters_are_no_fault() -> None:
    draw(grey(), [mark(trace=(float("nan"), float("inf"), 3.0), caption="überraschung \u2013 0.5", threshold=0.0)], "ü")


def test_bad_values_are_refused() -> None:
    with pytest.raises(ContractError, match=r"FaceMark\.state is 'happy'"):
        mark(state="happy")
    with pytest.raises(ContractError, match="expected finite pixels"):
        mark(box_px=(0.0, 0.0, float("nan"), 1.0))
    with pytest.raises(ContractError, match="dynamic_image"):
        mark(dynamic_image=np.zeros((64, 64), np.float32))
    with pytest.raises(ContractError, match="pixels is"):
        draw(np.zeros((4, 4), dtype=np.uint8), [], "")
