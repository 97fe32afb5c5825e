"""People out of pictures and clips; whatever holds no usable face is refused with a reason."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from tests.factories import make_landmarks
from tsfmicro.errors import SourceError
from tsfmicro.training import faces
from tsfmicro.training.faces import load_people
from tsfmicro.values import UInt8Array

PICTURE = np.ascontiguousarray(data.astronaut(), dtype=np.uint8)
HEAD = PICTURE[:320, 80:400]


def write_picture(path: Path, pixels: UInt8Array) -> Path:
    path.parent.mkdir(exist_ok=True)
    assert cv2.imwrite(str(path), pixels[..., ::-1])
    return path


def write_clip(path: Path, frames: list[UInt8Array]) -> Path:
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (width, height))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def test_astronaut_is_one_portrait() -> None:
    portrait = faces.astronaut()
    assert portrait.name == "astronaut"
    np.testing.assert_array_equal(portrait.pixels, PICTURE)
    assert 55 < portrait.iod_px < 75
    eyes = (portrait.landmarks_px[33] + portrait.landmarks_px[263]) / 2
    np.testing.assert_allclose(eyes, (220, 115), atol=20)


def test_a_picture_is_one_person_in_the_right_colours(tmp_path: Path) -> None:
    people = load_people([write_picture(tmp_path / "eileen.png", PICTURE)])
    assert list(people) == ["eileen"]
    (portrait,) = people["eileen"]
    assert portrait.name == "eileen"
    assert portrait.iod_px == pytest.approx(faces.astronaut().iod_px, rel=0.05)
    side = portrait.pixels.shape[0]
    assert portrait.pixels.shape == (side, side, 3)
    assert side == pytest.approx(3.2 * portrait.iod_px, abs=2)
    left, right = portrait.landmarks_px[33], portrait.landmarks_px[263]
    assert left[1] == pytest.approx(right[1], abs=0.01)  # upright
    assert (left + right)[0] / 2 == pytest.approx(side / 2, abs=1)
    nose = portrait.pixels[tuple(portrait.landmarks_px[4].astype(int)[::-1])].astype(int)
    assert nose[0] > nose[2] + 15  # skin is red, not blue


def test_a_large_face_is_kept_no_larger_than_training_asks_for(tmp_path: Path) -> None:
    large = np.asarray(cv2.resize(HEAD, None, fx=3.5, fy=3.5), dtype=np.uint8)
    ((portrait,),) = load_people([write_picture(tmp_path / "large.png", large)]).values()
    assert portrait.iod_px == pytest.approx(160, abs=0.5)


def test_every_face_of_a_photograph_is_a_person(tmp_path: Path) -> None:
    both = np.hstack([HEAD, HEAD[:, ::-1] // 2])
    people = load_people([write_picture(tmp_path / "pair.png", both)])
    assert list(people) == ["pair#0", "pair#1"]  # from left to right
    (left,), (right,) = people.values()
    assert (left.name, right.name) == ("pair#0", "pair#1")
    assert left.pixels.mean() > 1.5 * right.pixels.mean()


def test_a_clip_gives_a_few_frames_of_one_person(tmp_path: Path) -> None:
    frames = [np.ascontiguousarray(HEAD // divisor) for divisor in (1, 1, 1, 1, 2, 2, 2, 2, 2)]
    people = load_people([write_clip(tmp_path / "walk.mp4", frames)])
    assert list(people) == ["walk"]
    assert len(people["walk"]) == faces.FRAMES_PER_CLIP
    levels = [portrait.pixels.mean() for portrait in people["walk"]]
    assert levels[0] > 1.5 * levels[-1]  # spread over the clip


def test_several_files_are_several_people(tmp_path: Path) -> None:
    paths = [write_picture(tmp_path / name, HEAD) for name in ("a.png", "b.JPG")]
    assert list(load_people(paths)) == ["a", "b"]
    assert load_people([]) == {}


def test_nobody_is_lost_where_two_files_have_one_stem(tmp_path: Path) -> None:
    paths = [write_picture(tmp_path / folder / "1.png", HEAD) for folder in ("anna", "bert")]
    try:
        people = load_people(paths)
    except SourceError:
        return  # refusing them is as good
    assert sum(len(portraits) for portraits in people.values()) == 2


def test_a_text_is_no_picture(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("hello")
    with pytest.raises(SourceError, match=r"notes\.txt is neither a picture nor a clip") as caught:
        load_people([notes])
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("name", ["broken.png", "broken.mp4"])
def test_what_only_says_it_is_a_picture_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("hello")
    with pytest.raises(SourceError, match="broken"):
        load_people([tmp_path / name])


@pytest.mark.parametrize("name", ["missing.png", "missing.mp4", "missing"])
def test_what_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=name):
        load_people([tmp_path / name])


def test_a_picture_without_a_face_is_refused(tmp_path: Path) -> None:
    face = write_picture(tmp_path / "face.png", HEAD)
    empty = write_picture(tmp_path / "wall.png", np.full((240, 320, 3), 90, np.uint8))
    with pytest.raises(SourceError, match=r"wall\.png holds no frontal face at least 34 px"):
        load_people([face, empty])


def test_a_face_too_small_to_learn_from_is_refused(tmp_path: Path) -> None:
    small = np.asarray(cv2.resize(HEAD, None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    with pytest.raises(SourceError, match="no frontal face"):
        load_people([write_picture(tmp_path / "far.png", small)])


@pytest.mark.parametrize("roll_deg", [0.0, 35.0])
def test_frontal_is_where_the_nose_stands(roll_deg: float) -> None:
    landmarks = make_landmarks(iod_px=100.0, roll_deg=roll_deg)
    middle = (landmarks[33] + landmarks[263]) / 2
    along = (landmarks[263] - landmarks[33]) / 100
    down = np.array([-along[1], along[0]])
    for aside, frontal in ((0.0, True), (0.12, True), (-0.12, True), (0.2, False), (-0.2, False)):
        landmarks[1] = middle + 100 * (aside * along + 0.6 * down)
        assert faces._is_frontal(landmarks) is frontal
