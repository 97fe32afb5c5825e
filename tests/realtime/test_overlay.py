"""The overlay draws where it should and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tsfmicro.errors import ContractError
from tsfmicro.realtime.overlay import EMOTION_COLOURS, FaceMark, draw
from tsfmicro.values import UInt8Array

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
    with pytest.raises(ContractError, match="pixels is"):
        draw(np.zeros((4, 4), dtype=np.uint8), [], "")
