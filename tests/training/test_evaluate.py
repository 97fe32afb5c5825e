"""Held-out evaluation: the figures are those one counts by hand, and nobody is judged on who made the bundle."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.factories import astronaut  # noqa: E402
from tsfmicro import cli  # noqa: E402
from tsfmicro.align import AlignSpec  # noqa: E402
from tsfmicro.bundle import Bundle, SourceNote, read_bundle  # noqa: E402
from tsfmicro.errors import UsageError  # noqa: E402
from tsfmicro.models.config import ModelConfig  # noqa: E402
from tsfmicro.models.fdp.config import FdpConfig  # noqa: E402
from tsfmicro.models.recogniser import build_any  # noqa: E402
from tsfmicro.preprocess import Preprocessor, PreprocessSpec  # noqa: E402
from tsfmicro.runners import RunnerOutput  # noqa: E402
from tsfmicro.runners.window_contract import WindowOutput  # noqa: E402
from tsfmicro.synthetic.pairs import UNITS, LabelledClip, LabelledPair, PairSpec, Stage, default_preprocessor  # noqa: E402
from tsfmicro.synthetic.portrait import Portrait  # noqa: E402
from tsfmicro.training import demonstration, evaluate  # noqa: E402
from tsfmicro.training.demonstration import Request, seal  # noqa: E402
from tsfmicro.training.evaluate import (  # noqa: E402
    HeldOutResult,
    PairExaminee,
    WindowExaminee,
    evaluate_held_out,
    held_out_spec,
)
from tsfmicro.values import CropPair, UInt8Array  # noqa: E402

LABELS = ("happiness", "disgust", "repression", "surprise", "others")
TRUTH = (0, 0, 0, 0, 1, 1, 2, 3, 3, 4)
"""Drawn in turn for every person."""
SPEC = PreprocessSpec(align=AlignSpec(size_px=32, iod_px=14.0, eye_row_px=11.0))
NAMES = ("ada", "bo")

Answer = Callable[[int, int], tuple[int, float]]
"""(true class, person) -> answer and its probability."""


class Oracle:
    """Reads truth and person out of the crops and answers as told."""

    backend, device, labels, preprocess = "test", "cpu", LABELS, SPEC

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def infer(self, onset: UInt8Array, apex: UInt8Array) -> RunnerOutput:
        rows = []
        for first, second in zip(onset, apex, strict=True):
            label, top = self.answer(int(first[0, 0, 0]), int(second[0, 0, 0]))
            row = np.full(len(LABELS), (1 - top) / (len(LABELS) - 1))
            row[label] = top
            rows.append(row)
        probabilities = np.array(rows, np.float32)
        return RunnerOutput(probabilities, np.log(probabilities))

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Draws:
    """Stands in for ``draw_pair``: crops that say what they are."""

    def __init__(self) -> None:
        self.specs: list[PairSpec] = []
        self.numbers: dict[str, list[int]] = {}

    def __call__(
        self, portraits: tuple[Portrait, ...], spec: PairSpec, preprocessor: Preprocessor, rng: np.random.Generator
    ) -> LabelledPair:
        assert preprocessor.spec == SPEC
        name = portraits[0].name
        drawn = self.numbers.setdefault(name, [])
        label = TRUTH[len(drawn) % len(TRUTH)]
        drawn.append(int(rng.integers(1 << 40)))
        self.specs.append(spec)
        onset, apex = (np.full((32, 32, 3), value, np.uint8) for value in (label, NAMES.index(name)))
        return LabelledPair(CropPair(onset, apex), LABELS[label], name, np.zeros((2, len(UNITS)), np.float32))


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> Draws:
    stub = Draws()
    monkeypatch.setattr(evaluate, "draw_pair", stub)
    return stub


PEOPLE: dict[str, tuple[Portrait, ...]] = {name: (dataclasses.replace(astronaut(), name=name),) for name in NAMES}


def judged(answer: Answer, min_probability: float = 0.5, pairs: int = 20, seed: int = 0) -> HeldOutResult:
    return evaluate_held_out(
        PairExaminee(Oracle(answer)),
        PEOPLE,
        amplitude_percent_iod=2.0,
        min_probability=min_probability,
        pairs_per_person=pairs,
        seed=seed,
    )


@pytest.mark.usefixtures("draws")
def test_always_the_truth() -> None:
    result = judged(lambda truth, _: (truth, 0.9))
    assert (result.pairs, result.people, result.accuracy, result.uar) == (40, 2, 1.0, 1.0)
    assert result.recall == dict.fromkeys(LABELS, 1.0)
    assert result.accuracy_by_person == {"ada": 1.0, "bo": 1.0}
    assert (result.answered, result.accuracy_of_answered) == (1.0, 1.0)
    assert result.calibration_error == pytest.approx(0.1)


@pytest.mark.usefixtures("draws")
def test_always_one_class() -> None:
    result = judged(lambda *_: (0, 0.6), min_probability=0.7)
    assert result.accuracy == pytest.approx(0.4)
    assert result.uar == pytest.approx(0.2)  # whatever the share of the class
    assert result.recall == {"happiness": 1.0, "disgust": 0.0, "repression": 0.0, "surprise": 0.0, "others": 0.0}
    assert (result.answered, result.accuracy_of_answered) == (0.0, None)
    assert result.calibration_error == pytest.approx(0.2)
    assert result.to_dict()["accuracy_of_answered"] is None


@pytest.mark.usefixtures("draws")
def test_every_person_is_scored_apart() -> None:
    result = judged(lambda truth, person: (truth if person == 0 else (truth + 1) % 5, 0.9))
    assert result.accuracy_by_person == {"ada": 1.0, "bo": 0.0}
    assert result.accuracy == 0.5


@pytest.mark.usefixtures("draws")
def test_only_the_sure_answers_count_as_answered() -> None:
    result = judged(lambda truth, _: (truth, 0.8) if truth in (0, 3) else (0, 0.6), min_probability=0.75)
    assert result.answered == pytest.approx(0.6)
    assert result.accuracy_of_answered == 1.0
    assert result.accuracy == pytest.approx(0.6)
    exactly = judged(lambda truth, _: (truth, 0.75), min_probability=0.75)
    assert exactly.answered == 1.0


@pytest.mark.usefixtures("draws")
def test_classes_that_were_not_drawn_have_no_recall() -> None:
    result = judged(lambda truth, _: (truth, 0.9), pairs=5)
    assert set(result.recall) == {"happiness", "disgust"}
    assert result.uar == 1.0


def test_every_person_has_pairs_of_its_own_seed(draws: Draws) -> None:
    judged(lambda truth, _: (truth, 0.9), pairs=17, seed=5)
    first = draws.numbers.copy()
    assert {name: len(numbers) for name, numbers in first.items()} == {"ada": 17, "bo": 17}
    assert not set(first["ada"]) & set(first["bo"])
    draws.numbers.clear()
    judged(lambda truth, _: (truth, 0.9), pairs=17, seed=5)
    assert draws.numbers == first
    draws.numbers.clear()
    judged(lambda truth, _: (truth, 0.9), pairs=17, seed=6)
    assert draws.numbers != first
    assert set(draws.specs) == {held_out_spec(2.0, LABELS)}


def test_held_out_people_are_shown_as_they_are() -> None:
    spec = held_out_spec(3.0, LABELS)
    assert (spec.identity_strength, spec.one_sided, spec.amplitude_percent_iod) == (0.0, 0.0, (3.0, 3.0))
    assert spec.classes == LABELS


def test_nobody_is_refused() -> None:
    with pytest.raises(UsageError, match="nobody to evaluate on"):
        evaluate_held_out(
            PairExaminee(Oracle(lambda *_: (0, 1.0))),
            {},
            amplitude_percent_iod=2.0,
            min_probability=0.0,
            pairs_per_person=5,
            seed=0,
        )


class WindowOracle(Oracle):
    """Reads truth out of the first frame of a window and person out of the last."""

    frames = 6

    def infer(self, windows: UInt8Array) -> WindowOutput:  # type: ignore[override]
        assert windows.shape[1:] == (self.frames, 32, 32, 3)
        first, last = windows[:, 0], windows[:, -1]
        return WindowOutput(super().infer(first, last), None)


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Stage, ...]]:
    """Windows drawn: stands in for ``draw_clip`` with crops that say what they are."""
    drawn: list[tuple[Stage, ...]] = []

    def draw(
        portraits: tuple[Portrait, ...], spec: PairSpec, crops: Preprocessor, rng: np.random.Generator, shown: Any
    ) -> LabelledClip:
        assert crops.spec == SPEC and spec == held_out_spec(2.0, LABELS)
        drawn.append(tuple(shown))
        label, name = TRUTH[len(drawn) % len(TRUTH)], portraits[0].name
        values = [label, *[0] * (len(shown) - 2), NAMES.index(name)]
        pictures = tuple(np.full((32, 32, 3), value, np.uint8) for value in values)
        return LabelledClip(pictures, LABELS[label], name, np.zeros((2, len(UNITS)), np.float32))

    monkeypatch.setattr(evaluate, "draw_clip", draw)
    return drawn


def test_a_recogniser_of_windows_sees_the_whole_movement_and_is_scored_alike(stages: list[tuple[Stage, ...]]) -> None:
    def asked(answer: Answer) -> HeldOutResult:
        return evaluate_held_out(
            WindowExaminee(WindowOracle(answer)),
            PEOPLE,
            amplitude_percent_iod=2.0,
            min_probability=0.5,
            pairs_per_person=20,
            seed=0,
        )

    right = asked(lambda truth, _: (truth, 0.9))
    assert (right.pairs, right.people, right.accuracy, right.uar, right.answered) == (40, 2, 1.0, 1.0, 1.0)
    assert "windows of people not in training" in right.to_dict()["protocol"]
    for shown in stages:  # from rest over about the apex to rest, and six of them
        contractions = [stage.contraction for stage in shown]
        assert len(shown) == 6 and contractions[0] == 0.0 and contractions[-1] == pytest.approx(0.0, abs=1e-6)
        assert max(contractions) > 0.5 and [stage.drift for stage in shown] == sorted(stage.drift for stage in shown)
    assert len({shown[2] for shown in stages}) == 40
    wrong = asked(lambda truth, person: (truth if person == 0 else (truth + 1) % 5, 0.9))
    assert wrong.accuracy_by_person == {"ada": 1.0, "bo": 0.0}


@pytest.fixture(params=["pairs", "windows"])
def bundle(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """Random weights, made by ``ada.png``."""
    torch.manual_seed(0)
    config = ModelConfig(size="small") if request.param == "pairs" else FdpConfig(size="small", frames=3)
    monkeypatch.setattr(demonstration, "_CALIBRATION_PAIRS", 2)
    notes = (SourceNote("ada.png", "CC0-1.0", "training identities"),)
    made = Request(train={"ada": (astronaut(),)}, calibrate={}, notes=notes, command="pytest", model=config)
    return seal(build_any(config), made, default_preprocessor(), tmp_path / "tiny.tsf")


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["tsf-train", *map(str, words)])
    return cli._exit_code(lambda: cli._call("tsf-train", "tsfmicro.training.commands", ()))


def photograph(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), astronaut().pixels[..., ::-1])
    return path


def test_people_who_made_the_bundle_cannot_judge_it(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leaked, other = photograph(tmp_path / "elsewhere" / "ada.png"), photograph(tmp_path / "bo.png")
    assert command(monkeypatch, "evaluate", bundle.path, "--faces", other, "--faces", leaked, "--backend", "torch") == 2
    streams = capsys.readouterr()
    assert "ada.png made this bundle" in streams.err
    assert "bo.png" not in streams.err
    assert streams.out == ""
    assert read_bundle(bundle.path) == bundle


@pytest.mark.usefixtures("one_torch_thread")
def test_evaluate_reports_and_records_only_when_asked(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words: tuple[Any, ...] = ("evaluate", bundle.path, "--faces", photograph(tmp_path / "bo.png"))
    words += ("--backend", "torch", "--pairs", 5)
    assert command(monkeypatch, *words, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [(r["amplitude_percent_iod"], r["pairs"], r["people"]) for r in report["held_out"]] == [
        (3.0, 5, 1),
        (2.0, 5, 1),
    ]
    assert all(
        "not in training" in r["protocol"] and set(r["accuracy_by_person"]) == {"bo"} for r in report["held_out"]
    )
    assert read_bundle(bundle.path) == bundle
    assert command(monkeypatch, *words, "--record") == 0
    assert "accuracy" in capsys.readouterr().out
    recorded = read_bundle(bundle.path)
    assert recorded.manifest.provenance.metrics == {"held_out": report["held_out"]}
    made = bundle.manifest.provenance
    assert report["bundle"] == {
        "digest": bundle.digest,
        "data": made.data,
        "command": made.command,
        "commit": made.commit,
    }
    assert recorded.manifest.files == bundle.manifest.files
