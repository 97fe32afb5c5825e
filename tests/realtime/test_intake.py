"""The books of what comes in."""

from __future__ import annotations

import numpy as np

from tests.factories import make_frame
from tests.realtime.test_reconnect import Camera, World
from tsfmicro.realtime.intake import Intake
from tsfmicro.realtime.ledger import Ledger, total
from tsfmicro.realtime.sources.reconnect import Lost, Restored
from tsfmicro.values import Moment, UInt8Array

NOISE: UInt8Array = np.random.default_rng(2).integers(0, 255, (48, 64, 3), dtype=np.uint8)


def test_repeated_pictures_are_counted_exactly() -> None:
    intake = Intake(Camera(World(), 0))
    one_pixel = NOISE.copy()
    one_pixel[17, 33, 1] ^= 1  # beside the sample
    pictures = [NOISE, NOISE.copy(), one_pixel, one_pixel, NOISE, NOISE[:24]]
    counts = [intake.note(make_frame(pixels, index)).repeated for index, pixels in enumerate(pictures)]
    assert counts == [0, 1, 1, 2, 2, 2]


def test_every_item_carries_the_books_up_to_itself() -> None:
    intake = Intake(Camera(World(), 0))
    at = Moment(1, 0.1)
    books = [
        intake.note(make_frame(NOISE, 0, 0.0)),
        intake.note(make_frame(NOISE, 1, 0.1)),
        intake.note(Lost(at, "ended", "it ended", 1.0, 0.9)),
        intake.note(Restored(at, 2.5, 3.5)),
        intake.note(make_frame(~NOISE, 2, 2.6)),
        intake.ledger(),
    ]
    assert [b.captured for b in books] == [1, 2, 2, 2, 3, 3]
    assert [b.times_lost for b in books] == [0, 0, 1, 1, 1, 1]
    assert [b.longest_gap_s for b in books] == [0.0, 0.1, 0.1, 0.1, 2.5, 2.5]
    assert {(b.undecodable, b.misstamped) for b in books} == {(2, 1)}


def test_the_total_adds_up_and_takes_the_longest_gap() -> None:
    rows = [Ledger(1, 2, 3, 4, 5, 6, 7, 0.5, 9), Ledger(10, 20, 30, 40, 50, 60, 70, 0.25, 90)]
    assert total(rows) == Ledger(11, 22, 33, 44, 55, 66, 77, 0.5, 99)
    assert total([]) == Ledger()
