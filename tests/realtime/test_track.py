"""Identities stay with their faces, are given up once, and never come back."""

from __future__ import annotations

import pytest

from tests.factories import make_face
from tsfmicro.landmarks.boxes import Box
from tsfmicro.realtime.track import FaceTracker, TrackerUpdate
from tsfmicro.values import Face, Moment


def at(index: int, fps: float = 30.0) -> Moment:
    return Moment(index, index / fps)


def face(x: float, y: float = 240.0, iod_px: float = 60.0) -> Face:
    return make_face((x, y), iod_px)


def ids(update: TrackerUpdate) -> list[int]:
    return [tracked.face_id for tracked in update.faces]


def where(update: TrackerUpdate) -> dict[int, float]:
    return {t.face_id: (t.face.box_px[0] + t.face.box_px[2]) / 2 for t in update.faces}


def test_a_moving_face_keeps_its_identity_and_is_new_once() -> None:
    tracker = FaceTracker(patience_s=0.5)
    updates = [tracker.update(at(i), [face(100 + 25 * i, 240 - 4 * i, 60 + i)]) for i in range(20)]
    assert [ids(u) for u in updates] == [[1]] * 20
    assert [u.faces[0].is_new for u in updates] == [True] + [False] * 19
    assert tracker.identities == 1


def test_a_face_that_jumps_is_somebody_else() -> None:
    tracker = FaceTracker(patience_s=0.5)
    width = face(0).box_px[2] - face(0).box_px[0]
    assert ids(tracker.update(at(0), [face(100)])) == [1]
    assert ids(tracker.update(at(1), [face(100 + 0.5 * width)])) == [1]
    assert ids(tracker.update(at(2), [face(100 + 1.5 * width)])) == [2]


@pytest.mark.parametrize("swapped", [False, True])
def test_the_order_of_the_list_is_no_identity(swapped: bool) -> None:
    tracker = FaceTracker(patience_s=0.5)
    for i in range(20):
        pair = [face(150 + 3 * i, 200 + i), face(450 - 3 * i, 260 - i)]
        update = tracker.update(at(i), pair[::-1] if swapped and i % 2 else pair)
        assert ids(update) == [1, 2]
        assert where(update)[1] < where(update)[2]
        assert [t.is_new for t in update.faces] == [i == 0] * 2


def test_the_nearest_face_wins_not_the_first() -> None:
    tracker = FaceTracker(patience_s=0.5)
    tracker.update(at(0), [face(200)])
    update = tracker.update(at(1), [face(230), face(205)])
    assert where(update)[1] == pytest.approx(where(tracker.update(at(2), [face(205)]))[1])


def test_a_short_absence_keeps_the_identity() -> None:
    tracker = FaceTracker(patience_s=0.5)
    tracker.update(at(0), [face(200)])
    for i in range(1, 15):
        assert tracker.update(at(i), []) == TrackerUpdate((), ())
    back = tracker.update(at(15), [face(210)])
    assert (ids(back), back.faces[0].is_new, back.lost) == ([1], False, ())


def test_a_long_absence_is_reported_once_with_the_last_frame_seen() -> None:
    tracker = FaceTracker(patience_s=0.5)
    for i in range(4):
        tracker.update(at(i), [face(200)])
    lost = [(i, tracker.update(at(i), []).lost) for i in range(4, 60)]
    reported = [(i, loss) for i, loss in lost if loss]
    assert reported == [(19, ((1, at(3)),))]  # the first frame more than half a second after the last
    back = tracker.update(at(60), [face(200)])
    assert (ids(back), back.faces[0].is_new, back.lost) == ([2], True, ())


@pytest.mark.parametrize("patience_s", [0.2, 1.0])
def test_patience_is_in_seconds(patience_s: float) -> None:
    for fps in (10.0, 100.0):
        tracker = FaceTracker(patience_s=patience_s)
        tracker.update(at(0, fps), [face(200)])
        gone = next(i for i in range(1, 1000) if tracker.update(at(i, fps), []).lost)
        assert patience_s < gone / fps <= patience_s + 1.01 / fps


def test_a_loss_beside_a_face_that_stays() -> None:
    tracker = FaceTracker(patience_s=0.5)
    tracker.update(at(0), [face(150), face(450)])
    losses = [tracker.update(at(i), [face(450)]) for i in range(1, 30)]
    assert [u.lost for u in losses if u.lost] == [((1, at(0)),)]
    assert all(ids(u) == [2] for u in losses)


def test_identities_are_never_given_twice() -> None:
    tracker = FaceTracker(patience_s=0.1)
    seen: list[int] = []
    for visit in range(5):
        seen += ids(tracker.update(at(20 * visit), [face(200)]))
    assert seen == [1, 2, 3, 4, 5]
    assert tracker.identities == 5


def test_closing_gives_up_everybody_once() -> None:
    tracker = FaceTracker(patience_s=0.5)
    tracker.update(at(0), [face(150), face(450)])
    tracker.update(at(1), [face(150)])
    assert sorted(tracker.close()) == [(1, at(1)), (2, at(0))]
    assert tracker.close() == ()
    assert ids(tracker.update(at(2), [face(150)])) == [3]


def test_two_faces_that_cross_keep_their_identities() -> None:
    """Found all the time, in whatever order, also where one is nearer to the other's last place than to its own."""
    tracker = FaceTracker()
    for i in range(41):
        goes_right, goes_left = 100.0 + 10 * i, 500.0 - 10 * i
        pair = [face(goes_right), face(goes_left, 250)]
        update = tracker.update(at(i), pair[:: 1 if i % 2 == 0 else -1])
        assert ids(update) == [1, 2]
        assert where(update) == pytest.approx({1: goes_right, 2: goes_left}, abs=2.0)


@pytest.mark.parametrize("hidden_frames", [5, 12, 24])
def test_the_one_behind_is_itself_again_when_it_comes_out(hidden_frames: int) -> None:
    tracker = FaceTracker()
    middle = 30
    places: list[dict[int, float]] = []
    for i in range(2 * middle):
        front, back = face(100 + 8 * i), face(100 + 8 * 2 * middle - 8 * i, 236)
        hidden = abs(i - middle) <= hidden_frames // 2
        places.append(where(tracker.update(at(i), [front] if hidden else [front, back])))
    first, last = places[0], places[-1]
    assert set(last) == set(first)
    going_right = min(first, key=lambda face_id: first[face_id])
    assert last[going_right] > last[3 - going_right]


def test_a_face_that_was_followed_needs_no_search() -> None:
    tracker = FaceTracker(patience_s=0.5)
    tracker.update(at(0), [face(100)])
    for i in range(1, 60):
        box = Box(*face(100 + 5 * i).box_px)
        tracker.carry(at(i), {1: box})
    assert ids(tracker.update(at(60), [face(400)])) == [1]
    assert tracker.close() == ((1, at(60)),)
