"""An engine is run only where it belongs: everything else is refused with the command that builds it again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runners.fake_card import FakeCuda, FakeTensorRt, fake_logits, no_driver
from tests.test_runners import a_bundle
from tsfmicro.bundle import Bundle, add_files, read_bundle
from tsfmicro.errors import BackendError, BundleError, ContractError, ParityError, TsfError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners import choice as choice_module
from tsfmicro.runners import choose, load, tensorrt_engine, tensorrt_runner
from tsfmicro.runners.engine_card import EngineCard, ProvenOn, engine_file, read_card, sidecar_file
from tsfmicro.runners.precision import Precision
from tsfmicro.runners.tensorrt_runner import TensorRtRunner
from tsfmicro.values import Float32Array, UInt8Array

KIND = "tensorrt-rtx"
NAME = engine_file(KIND, Precision.FLOAT16)
PLAN = b"vtrt, or so"
PROOF = ProvenOn("Fake RTX", "8.9", "1.5.0.114", {"max_abs": 0.0})


def digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def a_card(bundle: Bundle, **changes: Any) -> EngineCard:
    card = EngineCard(
        kind=KIND,
        engine_sha256=digest(PLAN),
        graph_file="model.fp16.onnx",
        graph_sha256=digest(b"graph"),
        weights_sha256=bundle.manifest.files["weights.safetensors"],
        runtime_version="1.5.0.114",
        tool_versions={"tsfmicro": "0.1.0"},
        compute_capabilities=(),
        built_on="",
        precision_requested="float16",
        precision_actual="float16",
        matrix_layers={"float16": 72, "float32": 1},
        float32_layers=("head.classify",),
        batch_profile=(1, 1, 8),
        proven_on=None,
        parity="not run here: no NVIDIA card",
        build_s=3.1,
    )
    return dataclasses.replace(card, **changes)


def with_engine(path: Path, **changes: Any) -> Bundle:
    bundle = a_bundle(path, PreprocessSpec())
    card = a_card(bundle, **changes).to_json().encode()
    return add_files(bundle, {NAME: PLAN, sidecar_file(NAME): card, "model.fp16.onnx": b"graph"})


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setattr(tensorrt_runner, "Cuda", lambda: fake)
    monkeypatch.setattr(choice_module, "card_here", fake.card)
    return fake


@pytest.fixture
def trt(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    fake = FakeTensorRt(cuda)
    monkeypatch.setattr(tensorrt_engine, "runtime_module", lambda kind: fake)
    monkeypatch.setattr(tensorrt_runner, "runtime_module", lambda kind: fake)
    return fake


def never(onset: UInt8Array, apex: UInt8Array) -> Float32Array:
    raise AssertionError("this engine was proved on such a card before")


def test_a_sidecar_survives_the_journey(tmp_path: Path) -> None:
    card = a_card(a_bundle(tmp_path / "a.tsf"), proven_on=PROOF)
    assert EngineCard.from_json(card.to_json()) == card


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "null", '{"schema": "tsf.engine/2"}', '{"schema": "tsf.engine/1"}', "\xff",
        '{"schema": "tsf.engine/1", "compute_capabilities": [], "float32_layers": [], "batch_profile": []}',
    ],
)  # fmt: skip
def test_anything_else_is_no_sidecar(text: str) -> None:
    with pytest.raises(BundleError):
        EngineCard.from_json(text.encode("latin-1"))


@pytest.mark.parametrize(
    "changes", [{"batch_profile": (0, 1, 8)}, {"batch_profile": (1, 9, 8)}, {"kind": "x"}, {"runtime_version": 7}]
)
def test_impossible_sidecars_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(BundleError):
        EngineCard.from_json(a_card(a_bundle(tmp_path / "a.tsf"), **changes).to_json())


def test_a_proven_engine_runs(tmp_path: Path, cuda: FakeCuda, trt: FakeTensorRt) -> None:
    bundle = with_engine(tmp_path / "a.tsf", proven_on=PROOF)
    onset, apex = (np.full((2, 224, 224, 3), value, np.uint8) for value in (100, 101))
    with TensorRtRunner(bundle, KIND, never) as runner:
        assert (runner.backend, runner.device, runner.precision) == (KIND, "Fake RTX", "float16")
        np.testing.assert_allclose(runner.infer(onset, apex).logits, fake_logits(onset, apex), rtol=1e-5)
    assert cuda.nothing_left()
    with pytest.raises(ContractError, match="closed"):
        runner.infer(onset, apex)


@pytest.mark.parametrize(
    "proof", [None, dataclasses.replace(PROOF, card="Other"), dataclasses.replace(PROOF, runtime_version="1.4")]
)
def test_an_engine_not_proven_here_is_proved_when_loaded(
    tmp_path: Path, cuda: FakeCuda, trt: FakeTensorRt, proof: ProvenOn | None
) -> None:
    asked = []

    def reference(onset: UInt8Array, apex: UInt8Array) -> Float32Array:
        asked.append(len(onset))
        return fake_logits(onset, apex)

    TensorRtRunner(with_engine(tmp_path / "a.tsf", proven_on=proof), KIND, reference).close()
    assert sum(asked) == 8


@pytest.mark.parametrize("wrong", ["other weights", "nan", "constant"])
def test_an_engine_that_computes_something_else_is_not_used(
    tmp_path: Path, cuda: FakeCuda, trt: FakeTensorRt, wrong: str
) -> None:
    answers = {
        "other weights": lambda onset, apex: fake_logits(onset, apex) * 1.02 + 0.1,
        "nan": lambda onset, apex: fake_logits(onset, apex) * np.float32("nan"),
        "constant": lambda onset, apex: np.zeros_like(fake_logits(onset, apex)),
    }
    trt.compute = answers[wrong]
    with pytest.raises(ParityError, match="does not compute what the network computes") as caught:
        TensorRtRunner(with_engine(tmp_path / "a.tsf"), KIND, fake_logits)
    assert caught.value.exit_code == 7
    assert cuda.nothing_left()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runtime_version": "1.4.0.76"}, "built with tensorrt_rtx 1.4.0.76, and 1.5.0.114 is installed"),
        ({"weights_sha256": "0" * 64}, "stale: it was built from other weights"),
        ({"graph_sha256": "0" * 64}, "stale: it was built from another model.fp16.onnx"),
        ({"engine_sha256": "0" * 64}, "stale: its sidecar is about another engine"),
        ({"precision_actual": "float32"}, "stale: it is float32, though float16 was asked for"),
        ({"compute_capabilities": ("12.0",)}, "for compute capability 12.0, and the Fake RTX has 8.9"),
    ],
)
def test_an_engine_for_something_else_is_refused_with_the_command(
    tmp_path: Path, cuda: FakeCuda, trt: FakeTensorRt, changes: dict[str, Any], message: str
) -> None:
    bundle = with_engine(tmp_path / "a.tsf", **changes)
    with pytest.raises(BackendError, match=message) as caught:
        load(bundle, KIND)
    assert caught.value.exit_code == 6
    assert f"tsf-export {bundle.path} --fp16 --target {KIND}" in str(caught.value)
    chosen = choose(bundle)
    assert chosen.backend == "onnxruntime" and message.split(",")[0] in chosen.why


def test_another_version_is_told_before_a_missing_card(
    tmp_path: Path, trt: FakeTensorRt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_runner, "Cuda", no_driver)
    with pytest.raises(BackendError, match="is installed"):
        load(with_engine(tmp_path / "a.tsf", runtime_version="1.4"), KIND)
    with pytest.raises(BackendError, match="no NVIDIA driver"):
        load(with_engine(tmp_path / "b.tsf"), KIND)


def test_one_changed_byte_is_found_before_anything_is_loaded(tmp_path: Path) -> None:
    bundle = with_engine(tmp_path / "a.tsf")
    for name in (NAME, sidecar_file(NAME)):
        path = bundle.path / name
        before = path.read_bytes()
        path.write_bytes(bytes([before[0] ^ 1]) + before[1:])
        with pytest.raises(BundleError, match="changed or damaged") as caught:
            read_bundle(bundle.path)
        assert caught.value.exit_code == 5
        path.write_bytes(before)
    read_bundle(bundle.path)


def test_an_engine_without_a_sidecar_is_refused(tmp_path: Path, trt: FakeTensorRt) -> None:
    bundle = add_files(a_bundle(tmp_path / "a.tsf"), {NAME: PLAN})
    with pytest.raises(BundleError, match="nothing vouches for it"):
        read_card(bundle, NAME)
    with pytest.raises(TsfError):
        load(bundle, KIND)


def test_auto_says_why(tmp_path: Path, cuda: FakeCuda, trt: FakeTensorRt, monkeypatch: pytest.MonkeyPatch) -> None:
    bare, full = a_bundle(tmp_path / "a.tsf"), with_engine(tmp_path / "b.tsf")
    assert str(choose(bare)).startswith("onnxruntime: the bundle has no engine")
    assert str(choose(full)) == "tensorrt-rtx: its float16 engine fits this runtime and the Fake RTX"
    monkeypatch.setattr(choice_module, "card_here", lambda: None)
    assert "there is no NVIDIA card here" in choose(full).why
