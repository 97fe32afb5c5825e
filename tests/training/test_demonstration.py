"""The demonstration bundle says where it comes from, and holds what was calibrated."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.numpy import load_file  # noqa: E402
from torch import Tensor  # noqa: E402

from tests.factories import astronaut  # noqa: E402
from tsfmicro import cli  # noqa: E402
from tsfmicro.bundle import Bundle, Calibration, ModelCard, SourceNote, read_bundle, write_bundle  # noqa: E402
from tsfmicro.errors import UsageError  # noqa: E402
from tsfmicro.labels import protocol  # noqa: E402
from tsfmicro.models.config import ModelConfig  # noqa: E402
from tsfmicro.models.fused import FusedRecognizer  # noqa: E402
from tsfmicro.models.interface import Network  # noqa: E402
from tsfmicro.models.network import build  # noqa: E402
from tsfmicro.runners import load  # noqa: E402
from tsfmicro.synthetic.pairs import HARD, USUAL, default_preprocessor  # noqa: E402
from tsfmicro.synthetic.portrait import Portrait  # noqa: E402
from tsfmicro.training import commands, demonstration  # noqa: E402
from tsfmicro.training.calibrate import fit_temperature  # noqa: E402
from tsfmicro.training.corpus import SyntheticPairs  # noqa: E402
from tsfmicro.training.demonstration import INTENDED_USE, PORTRAIT_NOTE, Request, seal, train_demonstration  # noqa: E402
from tsfmicro.training.fit import FitSpec  # noqa: E402

ADA: dict[str, tuple[Portrait, ...]] = {"ada": (dataclasses.replace(astronaut(), name="ada"),)}
BO: dict[str, tuple[Portrait, ...]] = {"bo": (dataclasses.replace(astronaut(), name="bo"),)}
CLASSES = protocol("casme2_5c_tsf").classes


pytestmark = pytest.mark.usefixtures("one_torch_thread")


def make_request(**changes: Any) -> Request:
    request = Request(
        train=ADA,
        calibrate=BO,
        notes=(PORTRAIT_NOTE,),
        command="tsf-train demonstration --out first.tsf",
        fit=FitSpec(steps=1, batch=2, workers=0),
    )
    return dataclasses.replace(request, **changes)


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["tsf-train", *map(str, words)])
    return cli._exit_code(lambda: cli._call("tsf-train", "tsfmicro.training.commands", ()))


@dataclasses.dataclass(frozen=True)
class Sealed:
    """A bundle trained for one step by the command, and what its calibration saw."""

    bundle: Bundle
    pairs: SyntheticPairs
    logits: Any
    truth: Any
    folder: Path


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    folder = tmp_path_factory.mktemp("private")
    for name in ("anna.png", "bert.png"):
        cv2.imwrite(str(folder / name), astronaut().pixels[..., ::-1])
    seen: dict[str, Any] = {}
    original = demonstration._logits

    def spy(fused: FusedRecognizer, pairs: SyntheticPairs, batch: int = 16) -> tuple[Any, Any]:
        seen.update(pairs=pairs, found=original(fused, pairs, batch))
        return seen["found"]  # type: ignore[no-any-return]

    words = ["demonstration", "--out", folder / "deep" / "mine.tsf", "--faces", folder / "anna.png"]
    words += ["--calibrate", folder / "bert.png", "--licence", "CC0-1.0", "--pairs", "hard"]
    words += ["--steps", "1", "--batch", "2", "--seed", "6"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demonstration, "_CALIBRATION_PAIRS", 12)
        patch.setattr(demonstration, "_logits", spy)
        assert run(patch, *words) == 0
    logits, truth = seen["found"]
    return Sealed(read_bundle(folder / "deep" / "mine.tsf"), seen["pairs"], logits, truth, folder)


def test_the_manifest_says_what_it_is(sealed: Sealed) -> None:
    manifest = sealed.bundle.manifest
    assert manifest.model == ModelCard("tsfmicro", "small", "late", 5)
    assert (manifest.protocol_id, manifest.labels) == ("casme2_5c_tsf", CLASSES)
    assert manifest.intended_use == INTENDED_USE
    assert manifest.preprocess == default_preprocessor().spec
    assert (manifest.provenance.seed, manifest.provenance.steps) == (6, 1)
    assert "2 photographed people" in manifest.provenance.data
    assert manifest.provenance.metrics == {}


@pytest.mark.parametrize("words", ["synthetic", "no real micro-expression", "Not for judging people", "EU AI Act"])
def test_intended_use_warns(words: str) -> None:
    assert words in INTENDED_USE


def test_the_manifest_names_every_source(sealed: Sealed) -> None:
    assert sealed.bundle.manifest.provenance.sources == (
        PORTRAIT_NOTE,
        SourceNote("anna.png", "CC0-1.0", "training identities"),
        SourceNote("bert.png", "CC0-1.0", "calibration identities"),
    )


def test_the_manifest_tells_no_folder(sealed: Sealed) -> None:
    provenance = sealed.bundle.manifest.provenance
    assert "/" not in provenance.command
    assert str(sealed.folder) not in (sealed.bundle.path / "manifest.json").read_text()
    for words in (
        "tsf-train demonstration --out mine.tsf",
        "--faces anna.png --calibrate bert.png",
        "--pairs hard",
        "--steps 1 --batch 2",
        "--seed 6",
    ):
        assert words in provenance.command


def test_matrices_are_stored_in_half_precision(sealed: Sealed) -> None:
    stored = load_file(sealed.bundle.path / "weights.safetensors")
    assert set(stored) == set(build(ModelConfig(size="small")).state_dict())
    matrices = [t for t in stored.values() if t.ndim >= 2]
    assert matrices
    assert {t.dtype for t in matrices} == {np.dtype(np.float16)}


def test_the_runner_gives_the_logits_that_were_calibrated(sealed: Sealed) -> None:
    samples = [sealed.pairs[i] for i in range(len(sealed.pairs))]
    onset, apex = np.stack([s[0].numpy() for s in samples]), np.stack([s[1].numpy() for s in samples])
    with load(sealed.bundle, "torch") as runner:
        output = runner.infer(onset, apex)
    temperature = sealed.bundle.manifest.calibration.temperature
    np.testing.assert_allclose(output.logits * temperature, sealed.logits, rtol=1e-6, atol=1e-6)
    assert [sample[2] for sample in samples] == sealed.truth.tolist()
    assert len(sealed.truth) == 12


def test_half_precision_would_show_in_those_logits() -> None:
    """Or else the test before this one proves nothing."""
    torch.manual_seed(0)
    network, crops = build(ModelConfig(size="small")).eval(), torch.randint(0, 256, (2, 1, 224, 224, 3)).byte()
    spec = default_preprocessor().spec
    fused = FusedRecognizer(network, spec.mean, spec.std).eval()
    with torch.inference_mode():
        whole = fused(*crops)[1]
        for parameter in network.parameters():
            if parameter.ndim >= 2:
                parameter.copy_(parameter.half().float())
        assert float((fused(*crops)[1] - whole).abs().max()) > 1e-5


def test_calibration_is_done_on_the_other_people(sealed: Sealed) -> None:
    (people,) = sealed.pairs._people
    assert [portrait.name for portrait in people] == ["bert"]


def stub_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstration, "_calibrate", lambda *_: Calibration(1.0, 0.0, None))


def test_the_calibrated_temperature_and_threshold_are_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits that are four times too sharp, and a class that is named without knowing."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 400)
    logits = 0.05 * rng.normal(size=(400, 5))
    logits[np.arange(400), truth] += np.where(np.arange(400) < 300, 16.0, 0.0)
    monkeypatch.setattr(demonstration, "_logits", lambda *_: (logits, truth))
    calibration = seal(
        build(ModelConfig(size="small")), make_request(), default_preprocessor(), tmp_path / "a.tsf"
    ).manifest.calibration
    assert calibration.min_magnitude_percent_iod == 1.0
    assert calibration.temperature == round(fit_temperature(logits, truth), 4)
    weights = np.exp(logits / calibration.temperature)
    answered = (weights / weights.sum(axis=1, keepdims=True)).max(axis=1) >= calibration.min_probability
    right = (logits.argmax(axis=1) == truth)[answered].mean()
    assert 0 < calibration.min_probability < 1
    assert 0.9 <= right < 1
    assert answered.mean() >= 0.75


def test_the_same_person_is_not_trained_and_calibrated_on() -> None:
    with pytest.raises(UsageError, match="ada would be trained and calibrated on") as caught:
        make_request(calibrate={**BO, **ADA})
    assert caught.value.exit_code == 2


def test_nobody_to_calibrate_on_means_the_people_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def spy(_: FusedRecognizer, pairs: SyntheticPairs) -> tuple[Any, Any]:
        drawn.extend(portraits[0].name for portraits in pairs._people)
        return np.eye(5), np.arange(5)

    monkeypatch.setattr(demonstration, "_logits", spy)
    seal(build(ModelConfig(size="small")), make_request(calibrate={}), default_preprocessor(), tmp_path / "a.tsf")
    assert drawn == ["ada"]


def weights_of(network: Network) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Keeps what :func:`fit` would have begun from, and trains nothing."""
    seen: dict[str, Any] = {}

    def spy(fused: FusedRecognizer, pairs: SyntheticPairs, spec: FitSpec, on_step: Any) -> None:
        seen.update(weights=weights_of(fused.network), pairs=pairs, spec=spec)

    stub_calibration(monkeypatch)
    monkeypatch.setattr(demonstration, "fit", spy)
    return seen


def test_training_begins_from_the_seed(untrained: dict[str, Any], tmp_path: Path) -> None:
    begun = []
    for seed in (1, 1, 2):
        train_demonstration(make_request(seed=seed), tmp_path / "a.tsf", lambda _: None)
        begun.append((untrained["weights"]["head.classify.weight"], untrained["pairs"][0][0]))
    assert torch.equal(begun[0][0], begun[1][0])
    assert torch.equal(begun[0][1], begun[1][1])
    assert not torch.equal(begun[0][0], begun[2][0])
    assert not torch.equal(begun[0][1], begun[2][1])


def test_training_draws_enough_pairs_of_the_kind_asked_for(untrained: dict[str, Any], tmp_path: Path) -> None:
    spec = FitSpec(steps=7, batch=3, workers=0)
    train_demonstration(make_request(fit=spec, pairs=HARD), tmp_path / "a.tsf", lambda _: None)
    assert len(untrained["pairs"]) == 21
    assert untrained["spec"] == spec
    assert untrained["pairs"]._spec == dataclasses.replace(HARD, classes=CLASSES)
    assert untrained["pairs"]._spec != dataclasses.replace(USUAL, classes=CLASSES)


def test_calibration_pairs_are_not_those_of_training(
    untrained: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sealed: Sealed
) -> None:
    train_demonstration(make_request(seed=6), tmp_path / "a.tsf", lambda _: None)
    assert untrained["pairs"]._seed != sealed.pairs._seed


def test_init_begins_from_the_weights_of_a_bundle(untrained: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(99)
    first = seal(build(ModelConfig(size="small")), make_request(), default_preprocessor(), tmp_path / "first.tsf")
    second = train_demonstration(make_request(start=first), tmp_path / "second.tsf", lambda _: None)
    stored = first.weights()
    for name, tensor in untrained["weights"].items():
        np.testing.assert_array_equal(tensor.numpy(), stored[name])
    train_demonstration(make_request(), tmp_path / "third.tsf", lambda _: None)
    fresh = untrained["weights"]["head.classify.weight"].numpy()
    assert not np.array_equal(fresh, stored["head.classify.weight"])
    assert second.manifest.files == first.manifest.files  # nothing was trained, so nothing changed


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("card", [ModelCard("tsfmicro", "base", "late", 5), ModelCard("other", "small", "late", 5)])
def test_init_from_another_network_is_refused(card: ModelCard, sealed: Sealed, tmp_path: Path) -> None:
    manifest = dataclasses.replace(sealed.bundle.manifest, model=card)
    other = write_bundle(tmp_path / "other.tsf", manifest, {"w": np.zeros(1, np.float32)})
    with pytest.raises(UsageError, match=r"other\.tsf holds ModelCard.*not the network to be trained"):
        train_demonstration(make_request(start=other), tmp_path / "out.tsf", lambda _: None)
    assert not (tmp_path / "out.tsf").exists()


def test_init_puts_the_first_command_before_the_second(
    sealed: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Request] = []

    def spy(request: Request, out: Path, on_step: Any) -> Bundle:
        asked.append(request)
        return sealed.bundle

    monkeypatch.setattr(commands, "train_demonstration", spy)
    out = tmp_path / "next.tsf"
    assert run(monkeypatch, "demonstration", "--out", out, "--init", sealed.bundle.path, "--steps", 3) == 0
    (request,) = asked
    assert request.start == sealed.bundle
    first, second = request.command.split(" && ")
    assert first == sealed.bundle.manifest.provenance.command
    assert second.startswith("tsf-train demonstration --out next.tsf")
    assert "--init mine.tsf" in second
    assert "/" not in request.command
    assert request.fit.steps == 3
    assert list(request.train) == ["astronaut"]
    assert request.calibrate == {}


def test_a_machine_without_git_still_gets_its_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub_calibration(monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    bundle = seal(build(ModelConfig(size="small")), make_request(), default_preprocessor(), tmp_path / "a.tsf")
    assert bundle.manifest.provenance.commit == "unknown"


@pytest.mark.usefixtures("untrained")
def test_an_impossible_out_is_refused_before_training(untrained: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no bundle")
    with pytest.raises(Exception, match="is no bundle"):
        train_demonstration(make_request(), tmp_path, lambda _: None)
    assert untrained == {}
