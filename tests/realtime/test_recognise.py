"""From crops to a label or an abstention, with a runner that answers what the test wants."""

from __future__ import annotations

import numpy as np
import pytest

from tsfmicro.bundle import Calibration
from tsfmicro.closing import Closing
from tsfmicro.errors import ContractError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime.recognise import LOW_MAGNITUDE, Movement, Recogniser
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.runners import LOW_PROBABILITY, RunnerOutput
from tsfmicro.values import CropPair, UInt8Array

LABELS = ("happiness", "disgust", "surprise")


class FakeRunner(Closing):
    """Answers with fixed probabilities and keeps what it was asked."""

    backend, device, labels, preprocess = "fake", "cpu", LABELS, PreprocessSpec()

    def __init__(self, *probabilities: float) -> None:
        self._probabilities = np.array([probabilities], dtype=np.float32)
        self.asked: list[tuple[UInt8Array, UInt8Array]] = []

    def infer(self, onset: UInt8Array, apex: UInt8Array) -> RunnerOutput:
        self.asked.append((onset, apex))
        probabilities = self._probabilities.repeat(len(onset), axis=0)
        return RunnerOutput(probabilities, np.log(np.maximum(probabilities, 1e-6)))

    def close(self) -> None:
        pass


def crops() -> CropPair:
    rng = np.random.default_rng(1)
    onset, apex = rng.integers(0, 255, (2, 224, 224, 3), dtype=np.uint8)
    return CropPair(onset, apex)


def test_a_clear_answer_is_a_label() -> None:
    (recognition,) = Recogniser(FakeRunner(0.1, 0.7, 0.2), Calibration(1.0, 0.5, None)).recognise(
        [Movement(crops(), 0.1)]
    )
    assert recognition.label == "disgust"
    assert recognition.abstain == ()
    assert dict(recognition.probabilities) == pytest.approx({"happiness": 0.1, "disgust": 0.7, "surprise": 0.2})
    assert tuple(recognition.probabilities) == LABELS


@pytest.mark.parametrize(
    ("top", "magnitude", "smallest", "reasons"),
    [
        (0.6, 2.0, 1.5, ()),
        (0.6, 1.5, 1.5, ()),
        (0.6, 1.49, 1.5, (LOW_MAGNITUDE,)),
        (0.4, 2.0, 1.5, (LOW_PROBABILITY,)),
        (0.4, 1.0, 1.5, (LOW_PROBABILITY, LOW_MAGNITUDE)),
        (0.6, 0.01, None, ()),
    ],
)
def test_abstentions_and_their_reasons(
    top: float, magnitude: float, smallest: float | None, reasons: tuple[str, ...]
) -> None:
    runner = FakeRunner(top, (1 - top) / 2, (1 - top) / 2)
    (recognition,) = Recogniser(runner, Calibration(1.0, 0.5, smallest)).recognise([Movement(crops(), magnitude)])
    assert recognition.abstain == reasons
    assert recognition.label == (None if reasons else "happiness")
    assert recognition.top_label == "happiness"  # what it would have said is still on record


def test_the_runner_gets_onset_and_apex_as_a_batch_of_one() -> None:
    runner, pair = FakeRunner(0.1, 0.7, 0.2), crops()
    Recogniser(runner, Calibration(1.0, 0.5, None)).recognise([Movement(pair, 2.0)])
    ((onset, apex),) = runner.asked
    assert onset.shape == apex.shape == (1, 224, 224, 3)
    assert onset.flags.c_contiguous and apex.flags.c_contiguous
    assert (onset[0] == pair.onset).all() and (apex[0] == pair.apex).all()


def test_several_movements_go_through_the_network_at_once_up_to_a_batch() -> None:
    runner = FakeRunner(0.6, 0.2, 0.2)
    movements = [Movement(crops(), magnitude) for magnitude in (1.0, 2.0) * 9]
    answers = Recogniser(runner, Calibration(1.0, 0.5, 1.5)).recognise(movements)
    assert [answer.abstain for answer in answers] == [(LOW_MAGNITUDE,), ()] * 9
    assert [len(onset) for onset, _ in runner.asked] == [16, 2]
    assert (runner.asked[1][1][1] == movements[17].crops.apex).all()


def test_nothing_to_recognise_asks_nobody() -> None:
    runner = FakeRunner(0.6, 0.2, 0.2)
    assert Recogniser(runner, Calibration(1.0, 0.5, None)).recognise([]) == [] == runner.asked


def test_the_bundles_own_preprocessing_is_used() -> None:
    runner = FakeRunner(0.1, 0.7, 0.2)
    assert Recogniser(runner, Calibration(1.0, 0.5, None)).preprocess is runner.preprocess


def test_recognition_is_timed_also_when_it_fails() -> None:
    clock = StageClock()
    Recogniser(FakeRunner(0.1, 0.7, 0.2), Calibration(1.0, 0.5, None), clock).recognise([Movement(crops(), 2.0)])
    with pytest.raises(ContractError):
        Recogniser(FakeRunner(0.3, 0.7), Calibration(1.0, 0.5, None), clock).recognise([Movement(crops(), 2.0)])
    assert clock.report()["recognise"]["count"] == 2
