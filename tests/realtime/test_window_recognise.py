"""Naming by windows, and by the mean of several recognisers."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tsfmicro.bundle import Calibration
from tsfmicro.closing import Closing
from tsfmicro.errors import ContractError, UsageError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime import commands, window_recognise
from tsfmicro.realtime.dynamic_images import DynamicImages
from tsfmicro.realtime.events import MeEnd
from tsfmicro.realtime.recognise import LOW_MAGNITUDE, Movement, Recogniser
from tsfmicro.realtime.sliding import SlideSpec
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.realtime.window_recognise import Ensemble, WindowRecogniser, of_windows
from tsfmicro.runners import LOW_PROBABILITY, RunnerOutput, beside_the_frames
from tsfmicro.runners.window_contract import WindowOutput
from tsfmicro.values import CropPair, Interval, Moment, UInt8Array

LABELS = ("happiness", "disgust", "surprise")
SURE = Calibration(1.0, 0.5, None)


class Fake(Closing):
    """Answers pairs and windows with fixed probabilities and keeps what it was asked."""

    backend, device, labels, preprocess, frames = "fake", "cpu", LABELS, PreprocessSpec(), 4

    def __init__(self, *probabilities: float) -> None:
        self._probabilities = np.array([probabilities], dtype=np.float32)
        self.asked: list[UInt8Array] = []
        self.draws: float | None = None

    def infer(self, *crops: UInt8Array) -> Any:
        self.asked += crops
        probabilities = self._probabilities.repeat(len(crops[0]), axis=0)
        answers = RunnerOutput(probabilities, np.log(np.maximum(probabilities, 1e-6)))
        if len(crops) == 2:
            return answers
        images = None if self.draws is None else np.full((len(probabilities), 64, 64), self.draws, np.float32)
        return WindowOutput(answers, images)

    def close(self) -> None:
        pass


def movement(magnitude: float = 2.0, window: bool = True) -> Movement:
    crop = np.zeros((8, 8, 3), np.uint8)
    return Movement(CropPair(crop, crop), magnitude, np.zeros((4, 8, 8, 3), np.uint8) if window else None)


def test_a_window_is_named() -> None:
    runner = Fake(0.1, 0.7, 0.2)
    recogniser = WindowRecogniser(runner, Calibration(1.0, 0.5, 1.5))
    assert (recogniser.window_frames, recogniser.backend) == (4, "fake")
    clear, small = recogniser.recognise([movement(), movement(1.0)])
    assert (clear.label, clear.abstain, small.abstain) == ("disgust", (), (LOW_MAGNITUDE,))
    assert [asked.shape for asked in runner.asked] == [(2, 4, 8, 8, 3)]


def test_many_windows_go_in_batches() -> None:
    runner = Fake(0.1, 0.7, 0.2)
    assert len(WindowRecogniser(runner, SURE).recognise([movement()] * 20)) == 20
    assert [len(asked) for asked in runner.asked] == [16, 4]


def test_a_movement_without_its_window_is_a_mistake() -> None:
    with pytest.raises(ContractError, match="1 of 2 movements came without a window"):
        WindowRecogniser(Fake(0.1, 0.7, 0.2), SURE).recognise([movement(), movement(window=False)])


def test_the_dynamic_image_is_that_of_the_window() -> None:
    runner = Fake(0.1, 0.7, 0.2)
    recogniser = WindowRecogniser(runner, SURE)
    window = np.full((4, 8, 8, 3), 7, np.uint8)
    assert recogniser.dynamic_image(window) is None
    runner.draws = 0.25
    image = recogniser.dynamic_image(window)
    assert image is not None and image.shape == (64, 64) and (image == 0.25).all()
    assert all((asked == window[None]).all() for asked in runner.asked)


def an_event(event_id: str, source: str = "clip") -> MeEnd:
    at = Moment(3, 0.1)
    return MeEnd(source, 1, event_id, Interval(at, at, at), "chin", 3.0, 5.0, None, True, 0.1)


def test_what_is_drawn_of_events_is_kept_for_those_who_show_it() -> None:
    runner = Fake(0.1, 0.7, 0.2)
    recogniser = WindowRecogniser(runner, SURE)
    named = [replace(movement(), key=("clip", "e1")), movement(), replace(movement(), key=("clip", "e2"))]
    recogniser.recognise(named)
    assert recogniser.images.of(an_event("e1")) is None  # this network draws nothing
    runner.draws = 0.25
    pairs = Recogniser(Fake(0.8, 0.1, 0.1), SURE)
    Ensemble((pairs, recogniser), (SURE, SURE)).recognise(named)
    assert len(runner.asked) == 2  # one call named and drew
    for event_id in ("e1", "e2"):
        image = recogniser.images.of(an_event(event_id))
        assert image is not None and image.shape == (64, 64) and image.dtype == np.uint8 and (image == 64).all()
    assert recogniser.images.of(an_event("e3")) is None
    assert recogniser.images.of(an_event("e1", "other")) is None


def test_only_the_last_images_are_kept() -> None:
    images = DynamicImages()
    for number in range(100):
        images.keep(("clip", f"e{number}"), np.full((64, 64), number / 255, np.float32))
    assert [images.of(an_event(f"e{number}")) is None for number in (0, 35, 36, 99)] == [True, True, False, False]
    last = images.of(an_event("e99"))
    assert last is not None and (last == 99).all()


def test_the_recogniser_of_windows_is_found_among_others() -> None:
    pairs, windows = Recogniser(Fake(0.8, 0.1, 0.1), SURE), WindowRecogniser(Fake(0.3, 0.6, 0.1), SURE)
    assert of_windows(Ensemble((pairs, windows), (SURE, SURE))) is of_windows(windows) is windows
    assert of_windows(pairs) is of_windows(None) is None


def test_only_windows_can_slide() -> None:
    pairs, windows = Recogniser(Fake(0.8, 0.1, 0.1), SURE), WindowRecogniser(Fake(0.3, 0.6, 0.1), SURE)
    assert commands._slide(None, pairs) is None
    assert commands._slide(0.25, windows) == SlideSpec(0.25)
    assert commands._slide(0.25, Ensemble((pairs, windows), (SURE, SURE))) == SlideSpec(0.25)
    for recogniser in (None, pairs):
        with pytest.raises(UsageError, match="--slide names windows of frames, which FDP does"):
            commands._slide(0.25, recogniser)


def test_the_mean_of_two_recognisers() -> None:
    pairs = Recogniser(Fake(0.8, 0.1, 0.1), Calibration(1.0, 0.4, 1.5))
    windows = WindowRecogniser(Fake(0.3, 0.6, 0.1), Calibration(1.0, 0.6, None))
    both = Ensemble((pairs, windows), (pairs.calibration, windows.calibration))
    assert (both.window_frames, both.backend, both.device) == (4, "fake + fake", "cpu + cpu")
    (said,) = both.recognise([movement()])
    assert dict(said.probabilities) == pytest.approx({"happiness": 0.55, "disgust": 0.35, "surprise": 0.1})
    assert (said.label, said.abstain) == ("happiness", ())  # the mean threshold is 0.5
    (small,) = both.recognise([movement(1.0)])
    assert small.abstain == (LOW_MAGNITUDE,)


def test_disagreement_is_an_abstention() -> None:
    members = tuple(WindowRecogniser(Fake(*p), SURE) for p in ((0.9, 0.1, 0.0), (0.0, 0.1, 0.9)))
    (said,) = Ensemble(members, (SURE, SURE)).recognise([movement()])
    assert said.abstain == (LOW_PROBABILITY,)


def test_what_cannot_be_averaged_is_refused() -> None:
    one, other, longer, named = (Fake(0.8, 0.1, 0.1) for _ in range(4))
    other.preprocess = PreprocessSpec(mean=(0.5, 0.5, 0.5))
    longer.frames = 8
    named.labels = ("a", "b", "c")
    recogniser = WindowRecogniser(one, SURE)
    with pytest.raises(UsageError, match="crops made in different ways"):
        Ensemble((recogniser, WindowRecogniser(other, SURE)), (SURE, SURE))
    with pytest.raises(UsageError, match="windows of different lengths"):
        Ensemble((recogniser, WindowRecogniser(longer, SURE)), (SURE, SURE))
    with pytest.raises(UsageError, match="different classes"):
        Ensemble((recogniser, WindowRecogniser(named, SURE)), (SURE, SURE)).recognise([movement()])


def a_bundle(name: str, protocol_id: str = "casme2_5c_tsf") -> Any:
    card = SimpleNamespace(reads_windows=name == "fdp")
    manifest = SimpleNamespace(model=card, protocol_id=protocol_id, calibration=SURE)
    return SimpleNamespace(manifest=manifest, path=Path(f"{name}.tsf"))


def test_the_command_loads_what_each_bundle_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, int]] = []

    def loading(kind: str) -> Any:
        def load(bundle: Any, backend: str, threads: int) -> Fake:
            asked.append((kind, backend, threads))
            return Fake(0.8, 0.1, 0.1)

        return load

    monkeypatch.setattr(window_recognise, "load", loading("pairs"))
    monkeypatch.setattr(window_recognise, "load_window", loading("windows"))
    with ExitStack() as stack:

        def loaded(*bundles: Any) -> Any:
            return commands._load(list(bundles), "onnxruntime", StageClock(), stack, Console())

        assert loaded() is None
        assert isinstance(loaded(a_bundle("tsfmicro")), Recogniser)
        assert isinstance(loaded(a_bundle("fdp")), WindowRecogniser)
        both = loaded(a_bundle("tsfmicro"), a_bundle("fdp"))
        assert isinstance(both, Ensemble) and both.window_frames == 4
        threads = beside_the_frames()
        assert asked == [(kind, "onnxruntime", threads) for kind in ("pairs", "windows", "pairs", "windows")]
        with pytest.raises(UsageError, match=r"tsfmicro.tsf \(casme2_5c_tsf\), fdp.tsf \(samm_5c_tsf\) answer under"):
            loaded(a_bundle("tsfmicro"), a_bundle("fdp", "samm_5c_tsf"))
