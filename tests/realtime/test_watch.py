"""Real faces over time: crossing, covered, small, leaving; through the real landmark component."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.factories import astronaut, make_face
from tsfmicro.align import AlignSpec
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.realtime.follow import FaceFollower
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.realtime.watch import FaceWatch, Sight
from tsfmicro.synthetic.portrait import framed
from tsfmicro.values import Face, Frame, UInt8Array

WIDTH, HEIGHT, FPS = 960, 400, 30
SIZE = (220, 280)
INTERVAL_S, CLOSE_S = 1 / 15, 1 / 75


def head(pixels: UInt8Array) -> UInt8Array:
    """(280, 220, 3) a head that fills its picture."""
    return np.asarray(cv2.resize(pixels, SIZE, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def the_portrait(mirrored: bool = False) -> UInt8Array:
    close = framed(astronaut(), *SIZE, 70.0, (0.5, 0.45)).pixels
    return np.ascontiguousarray(close[:, ::-1]) if mirrored else close


def scene(heads: list[tuple[UInt8Array, float]]) -> UInt8Array:
    """Heads on grey, each at the column of its middle; later ones in front."""
    rng = np.random.default_rng(1)
    picture = np.clip(rng.normal(110, 4, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
    for pixels, middle in heads:
        left = round(middle - SIZE[0] / 2)
        start, end = max(left, 0), min(left + SIZE[0], WIDTH)
        if start < end:
            picture[60 : 60 + SIZE[1], start:end] = pixels[:, start - left : end - left]
    return picture


def sights(pictures: Iterator[UInt8Array]) -> list[Sight]:
    with FaceMeshDetector(max_faces=4) as detector:
        watch = FaceWatch(detector, AlignSpec(), INTERVAL_S, CLOSE_S, StageClock())
        return [
            watch.look(Frame(pixels, index, index / FPS, 0.0, "test"), closely=False)
            for index, pixels in enumerate(pictures)
        ]


def middles(sight: Sight) -> dict[int, float]:
    return {face_id: (face.box_px[0] + face.box_px[2]) / 2 for face_id, face in sight.faces.items()}


def test_two_people_who_walk_past_each_other() -> None:
    front, back = the_portrait(), the_portrait(mirrored=True)
    steps = 90
    walks = [(150 + 660 * i / steps, 810 - 660 * i / steps) for i in range(steps)]
    seen = sights(scene([(back, b), (front, f)]) for f, b in walks)
    first, last = middles(seen[2]), middles(seen[-1])
    assert len(first) == len(last) == 2
    assert set(first) == set(last)
    going_right = min(first, key=lambda face_id: first[face_id])
    assert last[going_right] > 600 > 400 > last[3 - going_right]
    assert all(set(sight.faces) <= {1, 2} for sight in seen)


def test_a_face_behind_a_hand_for_a_moment() -> None:
    covered = range(40, 58)
    pictures = (scene([] if i in covered else [(the_portrait(), 480.0)]) for i in range(90))
    seen = sights(pictures)
    assert [face_id for sight in seen for face_id, _ in sight.lost] == []
    assert set(seen[-1].faces) == {1}
    assert all(not seen[i].faces for i in range(covered.start + 1, covered.stop))


def test_whoever_comes_back_after_long_is_not_recognised_as_anybody() -> None:
    away = range(30, 75)
    pictures = (scene([] if i in away else [(the_portrait(), 480.0)]) for i in range(100))
    seen = sights(pictures)
    lost = [(i, face_id, at.frame) for i, sight in enumerate(seen) for face_id, at in sight.lost]
    assert [(face_id, frame) for _, face_id, frame in lost] == [(1, 29)]
    assert lost[0][0] <= 29 + FPS + 3
    assert set(seen[-1].faces) == {2}


def test_a_passer_by_gets_an_identity_and_gives_it_back() -> None:
    pictures = (scene([(the_portrait(), 200.0), (the_portrait(mirrored=True), 1100 - 14.0 * i)]) for i in range(40))
    seen = sights(pictures)
    assert {face_id for sight in seen for face_id in sight.faces} == {1, 2}
    new = [face_id for sight in seen for face_id, face in sight.faces.items() if face.new_iod_px is not None]
    assert new == [1, 2]


@pytest.mark.parametrize(("width", "height", "face_px"), [(1920, 1080, 100), (1920, 1080, 70), (1280, 720, 65)])
def test_a_small_face_in_a_large_picture_is_found(width: int, height: int, face_px: int) -> None:
    """A search of the whole picture would see nothing: the face is a twentieth of its width."""
    picture = np.full((height, width, 3), 110, np.uint8)
    small = cv2.resize(
        the_portrait(), (face_px * 2, round(face_px * 2 * SIZE[1] / SIZE[0])), interpolation=cv2.INTER_AREA
    )
    picture[height - small.shape[0] - 40 : height - 40, width - small.shape[1] - 60 : width - 60] = small
    (sight,) = sights(iter([picture]))
    assert len(sight.faces) == 1
    left, top, right, bottom = sight.faces[1].box_px
    assert width - small.shape[1] - 60 < left < right < width - 60
    assert height - small.shape[0] - 40 < top < bottom < height - 40


def test_covered_faces_say_so() -> None:
    front, back = the_portrait(), the_portrait(mirrored=True)
    nearing = sights(scene([(back, 300.0 + 5 * i), (front, 660.0 - 8 * i)]) for i in range(25))
    overlaps = [max(face.sample.overlap for face in sight.faces.values()) for sight in nearing if len(sight.faces) == 2]
    assert overlaps[0] == 0.0
    assert max(overlaps) > 0.1


def test_a_crowd_has_its_faces(shared_media: Path) -> None:
    pixels = np.ascontiguousarray(cv2.imread(str(shared_media / "pyfeat_multi_face.jpg"))[..., ::-1])
    with FaceMeshDetector(max_faces=8) as detector:
        faces = detector.detect(Frame(np.asarray(pixels, dtype=np.uint8), 0, 0.0, 0.0, "test"))
    assert len(faces) == 5


@pytest.mark.parametrize(
    ("fps", "every"), [(25.0, 1), (60.0, 1), (61.0, 1), (120.0, 2), (200.0, 3)], ids=lambda value: f"{value:g}"
)
def test_while_something_moves_landmarks_are_taken_no_oftener_than_eyes_can_move(fps: float, every: int) -> None:
    detector = Still()
    watch = FaceWatch(detector, AlignSpec(), INTERVAL_S, CLOSE_S, StageClock())
    picture = scene([(the_portrait(), 200.0)])
    for index in range(13):
        watch.look(Frame(picture, index, index / fps, 0.0, "test"), closely=True)
    assert detector.asked == list(range(0, 13, every))


class Still:
    """The same face at all times."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def detect(self, frame: Frame) -> list[Face]:
        self.asked.append(frame.index)
        return [make_face((200.0, 200.0), 60.0)]

    def close(self) -> None:
        """Nothing is held."""


def test_faces_are_followed_while_their_landmarks_are_found() -> None:
    """Neither waits for the other: each side goes on only when the other one has begun."""

    class Meets(Still):
        def detect(self, frame: Frame) -> list[Face]:
            if frame.index:
                both.wait(20)
            return super().detect(frame)

    class Met(FaceFollower):
        def prepare(self, frame: Frame) -> None:
            both.wait(20)
            threads.append(threading.current_thread().name)
            super().prepare(frame)

    both, threads = threading.Barrier(2), list[str]()
    watch = FaceWatch(Meets(), AlignSpec(), INTERVAL_S, CLOSE_S, StageClock())
    picture = scene([(the_portrait(), 200.0)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tsfmicro.realtime.watch.FaceFollower", Met)
        seen = [watch.look(Frame(picture, index, index / 30, 0.0, "test"), closely=True) for index in range(3)]
    assert [list(sight.faces) for sight in seen] == [[1]] * 3
    assert threads == ["follow_0"] * 2
    watch.forget()
    assert not any(thread.name == "follow_0" for thread in threading.enumerate())
