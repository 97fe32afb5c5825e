"""Naming: movements of several faces and sources in one call, everything in its place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.realtime.test_recognise import crops
from tsfmicro.bundle import Calibration
from tsfmicro.closing import Closing
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime.analyzer import Finding, Unnamed
from tsfmicro.realtime.events import FaceLost, FaceWindow, MeEnd
from tsfmicro.realtime.naming import name
from tsfmicro.realtime.recognise import LOW_MAGNITUDE, Movement, Recogniser
from tsfmicro.runners import RunnerOutput
from tsfmicro.values import CropPair, Interval, Moment, Recognition, UInt8Array

AT = Moment(3, 0.1)
LOST = FaceLost("clip", 1, AT)


class TellsBrightness(Closing):
    """Calls a pair what its apex is: dark or bright."""

    backend, device, labels, preprocess = "fake", "cpu", ("dark", "bright"), PreprocessSpec()

    def __init__(self) -> None:
        self.batches: list[int] = []

    def infer(self, onset: UInt8Array, apex: UInt8Array) -> RunnerOutput:
        self.batches.append(len(apex))
        bright = apex.mean(axis=(1, 2, 3)) / 255
        probabilities = np.stack([1 - bright, bright], axis=1).astype(np.float32)
        return RunnerOutput(probabilities, np.log(probabilities))

    def close(self) -> None:
        pass


def unnamed(brightness: int, magnitude: float = 3.0) -> Unnamed:
    event = MeEnd("clip", 1, f"e{brightness}", Interval(AT, AT, AT), "chin", magnitude, 5.0, None, True, 0.1)
    apex = np.full((224, 224, 3), brightness, np.uint8)
    return Unnamed(event, CropPair(crops().onset, apex))


def test_all_groups_are_named_in_one_call_and_stay_as_they_were() -> None:
    runner = TellsBrightness()
    groups: list[list[Finding]] = [[unnamed(20), LOST, unnamed(230)], [], [LOST, unnamed(200, magnitude=1.0)]]
    named = name(groups, Recogniser(runner, Calibration(1.0, 0.5, 2.0)))
    assert runner.batches == [3]
    labels = [[e.recognition.top_label if isinstance(e, MeEnd) and e.recognition else e for e in g] for g in named]
    assert labels == [["dark", LOST, "bright"], [], [LOST, "bright"]]
    assert [e.event_id for g in named for e in g if isinstance(e, MeEnd)] == ["e20", "e230", "e200"]
    last = named[2][1]
    assert isinstance(last, MeEnd) and last.recognition is not None and last.recognition.abstain == (LOW_MAGNITUDE,)


def test_movements_say_which_event_they_are_and_windows_are_none() -> None:
    asked: list[Movement] = []

    class Asked(Recogniser):
        def recognise(self, movements: Sequence[Movement]) -> list[Recognition]:
            asked.extend(movements)
            return Recogniser.recognise(self, movements)

    window = Unnamed(FaceWindow("clip", 1, AT, AT, 8, 3.0, None), unnamed(230).crops)
    name([[unnamed(20), window], [unnamed(40)]], Asked(TellsBrightness(), Calibration(1.0, 0.5, None)))
    assert [movement.key for movement in asked] == [("clip", "e20"), None, ("clip", "e40")]


@pytest.mark.parametrize("spot_only", [False, True])
def test_where_nothing_is_to_be_named_nobody_is_asked(spot_only: bool) -> None:
    runner = TellsBrightness()
    recogniser = None if spot_only else Recogniser(runner, Calibration(1.0, 0.5, None))
    assert name([[LOST], []], recogniser) == [(LOST,), ()]
    assert runner.batches == []


def test_a_window_is_named_with_the_movements() -> None:
    runner = TellsBrightness()
    moved, still = (
        Unnamed(FaceWindow("clip", 1, AT, AT, 8, magnitude, None), unnamed(230).crops) for magnitude in (3.0, 1.0)
    )
    ((movement, window, quiet),) = name([[unnamed(20), moved, still]], Recogniser(runner, Calibration(1.0, 0.5, 2.0)))
    assert runner.batches == [3]
    assert isinstance(movement, MeEnd) and isinstance(window, FaceWindow) and isinstance(quiet, FaceWindow)
    assert window.recognition is not None and window.recognition.label == "bright"
    assert quiet.recognition is not None and quiet.recognition.abstain == (LOW_MAGNITUDE,)
