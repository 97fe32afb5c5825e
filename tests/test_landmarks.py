"""Faces are found, counted, and found quietly; eyes close when their lids meet."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.factories import EYES, astronaut, make_face, make_frame
from tsfmicro.errors import ContractError
from tsfmicro.landmarks import SEARCH_INTERVAL_S, FaceMeshDetector, eye_opening, landmarks_of_photo
from tsfmicro.landmarks.mediapipe_models import MeshModel
from tsfmicro.synthetic.portrait import framed
from tsfmicro.values import LANDMARK_COUNT, Face, Frame, UInt8Array


def close_up() -> UInt8Array:
    """(320, 320, 3) one large face."""
    return framed(astronaut(), 320, 320, 90.0, (0.5, 0.42)).pixels


def side_by_side(left: UInt8Array, right: UInt8Array) -> UInt8Array:
    return np.hstack([left, right])


def test_one_face_inside_the_picture() -> None:
    pixels = astronaut().pixels
    with FaceMeshDetector(max_faces=4) as detector:
        (face,) = detector.detect(make_frame(pixels))
    assert face.landmarks_px.shape == (LANDMARK_COUNT, 2)
    left, top, right, bottom = face.box_px
    assert 0 <= left < right <= pixels.shape[1]
    assert 0 <= top < bottom <= pixels.shape[0]
    eyes = (face.landmarks_px[33] + face.landmarks_px[263]) / 2
    assert face.landmarks_px[33, 0] < eyes[0] < face.landmarks_px[263, 0]
    assert eyes[1] < face.landmarks_px[1, 1] < face.landmarks_px[13, 1] < face.landmarks_px[152, 1]


@pytest.mark.parametrize("max_faces", [1, 4])
def test_no_face_in_a_blank_picture(max_faces: int) -> None:
    with FaceMeshDetector(max_faces=max_faces) as detector:
        blank = np.full((240, 320, 3), 127, np.uint8)
        assert [detector.detect(make_frame(blank, i)) for i in range(3)] == [[], [], []]


def test_nothing_of_an_answer_is_left_for_the_garbage_collector() -> None:
    mesh, pixels = MeshModel(), close_up()
    gc.collect()
    gc.disable()
    try:
        assert all(mesh.face(pixels) is not None for _ in range(5))
        collected = gc.collect()
    finally:
        gc.enable()
        mesh.close()
    assert collected == 0


def test_a_face_that_left_is_gone() -> None:
    with FaceMeshDetector(max_faces=4) as detector:
        assert len(detector.detect(make_frame(close_up(), 0))) == 1
        assert detector.detect(make_frame(np.zeros((320, 320, 3), np.uint8), 1)) == []


def test_two_faces_are_two_unless_one_is_asked_for() -> None:
    both = side_by_side(close_up(), close_up())
    with FaceMeshDetector(max_faces=4) as detector:
        faces = detector.detect(make_frame(both))
    assert len(faces) == 2
    first, second = sorted(float(face.landmarks_px[:, 0].mean()) for face in faces)
    assert first < 320 < second
    assert second - first == pytest.approx(320, abs=6)
    with FaceMeshDetector(max_faces=1) as detector:
        assert [len(detector.detect(make_frame(both, i))) for i in range(3)] == [1, 1, 1]


def test_a_face_that_joins_is_found_within_the_search_interval() -> None:
    alone = side_by_side(close_up(), np.zeros((320, 320, 3), np.uint8))
    both = side_by_side(close_up(), close_up())
    with FaceMeshDetector(max_faces=4) as detector:
        assert len(detector.detect(make_frame(alone, 0, 0.0))) == 1
        assert len(detector.detect(make_frame(both, 1, SEARCH_INTERVAL_S))) == 1
        assert len(detector.detect(make_frame(both, 2, SEARCH_INTERVAL_S + 0.09))) == 1  # nor is it waited for
        assert len(detector.detect(make_frame(both, 3, SEARCH_INTERVAL_S + 0.1))) == 2


def test_what_looks_like_a_face_for_one_picture_is_none() -> None:
    nobody = np.full((320, 320, 3), 127, np.uint8)
    with FaceMeshDetector(max_faces=4) as detector:
        shown = [nobody, nobody, close_up(), nobody, nobody]
        assert [len(detector.detect(make_frame(pixels, i))) for i, pixels in enumerate(shown)] == [0] * 5


def test_a_detector_for_no_faces_is_refused() -> None:
    with pytest.raises(ContractError, match="max_faces is 0"):
        FaceMeshDetector(max_faces=0)


def test_nothing_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    with FaceMeshDetector(max_faces=4) as detector:
        for index in range(3):
            assert detector.detect(make_frame(close_up(), index))
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_nothing_is_said_in_a_fresh_process(tmp_path: Path) -> None:
    """The component is loudest when it is loaded for the first time."""
    np.save(tmp_path / "face.npy", close_up())
    code = (
        "import sys, numpy as np\n"
        "from tsfmicro.landmarks import FaceMeshDetector\n"
        "from tsfmicro.values import Frame\n"
        "pixels = np.load(sys.argv[1])\n"
        "with FaceMeshDetector() as detector:\n"
        "    for i in range(2):\n"
        "        assert len(detector.detect(Frame(pixels, i, i / 30, 0.0, 'test'))) == 1\n"
        "print('still here', file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "face.npy")], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "still here\n")


def test_real_footage_has_its_one_face(shared_media: Path) -> None:
    capture = cv2.VideoCapture(str(shared_media / "pyfeat_single_face.mp4"))
    found: list[list[Face]] = []
    try:
        with FaceMeshDetector(max_faces=4) as detector:
            for index in range(20):
                taken, picture = capture.read()
                assert taken
                pixels = np.ascontiguousarray(np.asarray(picture, dtype=np.uint8)[..., ::-1])
                found.append(detector.detect(make_frame(pixels, index)))
    finally:
        capture.release()
    assert [len(faces) for faces in found] == [1] * 20


def test_eye_opening_is_the_lid_distance_over_the_width() -> None:
    for ratio in (0.05, 0.15, 0.3, 0.5):
        assert eye_opening(make_face(opening=(ratio, ratio))) == pytest.approx(ratio, rel=1e-3)
        turned = make_face((100.0, 900.0), iod_px=37.0, roll_deg=30.0, opening=(ratio, ratio))
        assert eye_opening(turned) == pytest.approx(ratio, rel=1e-3)


@pytest.mark.parametrize("opening", [(0.3, 0.02), (0.02, 0.3)])
def test_a_wink_is_no_blink(opening: tuple[float, float]) -> None:
    assert eye_opening(make_face(opening=opening)) == pytest.approx(0.3, rel=1e-3)


def test_eye_opening_falls_as_real_lids_close() -> None:
    openings: list[float] = []
    for closure in (0.0, 0.5, 1.0):
        landmarks = astronaut().landmarks_px.copy()
        for _, _, lids in EYES.values():
            for upper, lower in lids:
                landmarks[upper] += np.float32(closure) * (landmarks[lower] - landmarks[upper])
        openings.append(eye_opening(Face(landmarks)))
    assert 0.2 < openings[0] < 0.5
    assert openings[1] == pytest.approx(openings[0] / 2, rel=1e-3)
    assert openings[2] == pytest.approx(0.0, abs=1e-6)


class Scripted:
    """A detector that says what it was told, frame by frame."""

    def __init__(self, *answers: list[Face]) -> None:
        self._answers = list(answers)
        self.times_s: list[float] = []

    def detect(self, frame: Frame) -> list[Face]:
        self.times_s.append(frame.t_s)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def close(self) -> None:
        self._answers.clear()


def test_a_photo_answers_with_its_largest_face_once_it_settled() -> None:
    small, large, early = make_face(iod_px=40.0), make_face(iod_px=90.0), make_face(iod_px=200.0)
    detector = Scripted([early], [small, large])
    assert landmarks_of_photo(np.zeros((8, 8, 3), np.uint8), detector) is large
    assert detector.times_s == sorted(set(detector.times_s))
    assert len(detector.times_s) > 1
    assert landmarks_of_photo(np.zeros((8, 8, 3), np.uint8), Scripted([])) is None
