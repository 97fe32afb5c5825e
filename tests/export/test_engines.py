"""``tsf-export --fp16`` with the real TensorRT-RTX builder, which needs no card, and with faults planted on the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for needed in ("torch", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)
pytest.importorskip("tensorrt_rtx", reason="type: pip install 'tsfmicro[rtx]'")

import onnx  # noqa: E402
import torch  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402

from tests.export.test_commands import make_bundle, run, snapshot  # noqa: E402
from tests.export.traced import trace_once  # noqa: E402
from tsfmicro.bundle import Bundle, read_bundle  # noqa: E402
from tsfmicro.errors import BackendError, BundleError, UsageError  # noqa: E402
from tsfmicro.export import commands, half, parity, products, tensorrt_builder  # noqa: E402
from tsfmicro.export.onnx_graph import in_precision  # noqa: E402
from tsfmicro.export.tensorrt_builder import EngineOrder, build_engine  # noqa: E402
from tsfmicro.runners import load  # noqa: E402
from tsfmicro.runners.engine_card import read_card  # noqa: E402
from tsfmicro.runners.precision import Precision  # noqa: E402
from tsfmicro.runners.torch_runner import load_fused  # noqa: E402

NAME = "model.tensorrt-rtx.fp16.engine"
FILES = {"model.onnx", "model.fp16.onnx", NAME, f"{NAME}.json"}


@pytest.fixture(autouse=True, scope="module")
def no_card() -> Iterator[None]:
    """What these tests say about machines without a card holds on those with one, too."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for module in (commands, products, tensorrt_builder):
            patch.setattr(module, "card_here", lambda: None)
        yield


class Export:
    """The one export that is really made."""

    def __init__(self, folder: Path) -> None:
        self.bundle = make_bundle(folder / "tiny.tsf")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(products, "trace", trace_once)
            patch.setattr(parity, "TEXTURE_PAIRS", 2)
            patch.setattr(parity, "FACE_PAIRS", 2)
            assert run(patch, self.bundle.path, "--fp16") == 0
        self.bundle = read_bundle(self.bundle.path)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory, no_card: None) -> Export:
    return Export(tmp_path_factory.mktemp("engines"))


@pytest.fixture
def quick(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "trace", trace_once)
    monkeypatch.setattr(parity, "TEXTURE_PAIRS", 2)
    monkeypatch.setattr(parity, "FACE_PAIRS", 2)


@pytest.fixture
def bare(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "tiny.tsf")


def test_half_precision_makes_graphs_an_engine_and_its_sidecar(export: Export) -> None:
    bundle = export.bundle
    assert set(bundle.manifest.files) == {"weights.safetensors", *FILES}
    card = read_card(bundle, NAME)
    assert (card.kind, card.precision_requested, card.precision_actual) == ("tensorrt-rtx", "float16", "float16")
    assert card.matrix_layers == {"float16": 86, "float32": 1}
    assert card.float32_layers == ("head.classify",)
    assert card.graph_sha256 == bundle.manifest.files["model.fp16.onnx"]
    assert card.weights_sha256 == bundle.manifest.files["weights.safetensors"]
    assert card.engine_sha256 == bundle.manifest.files[NAME]
    assert (card.parity, card.proven_on, card.built_on) == ("not run here: no NVIDIA card", None, "")
    assert card.batch_profile == (1, 1, 8)
    assert bundle.read(NAME)[:4] == b"vtrt"


def test_the_engine_holds_the_weights_in_half_precision(export: Export, bare: Bundle) -> None:
    """Twice the bytes would be a float32 engine: the plan is really the graph's."""
    order = EngineOrder("tensorrt-rtx", Precision.FLOAT16, compute_capabilities=("8.9",))
    half_plan = build_engine(export.bundle.read("model.fp16.onnx"), order)
    whole = EngineOrder("tensorrt-rtx", Precision.FLOAT32, compute_capabilities=("8.9",))
    whole_plan = build_engine(export.bundle.read("model.onnx"), whole)
    assert {layer.precision for layer in whole_plan.layers} == {"float32"}
    assert half_plan.compute_capabilities == ("8.9",)
    weights = len(export.bundle.read("weights.safetensors"))
    assert len(whole_plan.plan) - len(half_plan.plan) > 0.6 * weights


def test_the_report(
    bare: Bundle, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(bare.path)
    assert run(monkeypatch, bare.path, "--fp16", "--out", tmp_path / "out", "--max-batch", 2, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert snapshot(bare.path) == before
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert [file["kind"] for file in report["files"]] == ["onnx", "onnx", "tensorrt-rtx", "sidecar"]
    assert [file["precision_actual"] for file in report["files"]] == ["float32", "float16", "float16", "float16"]
    assert all(file["precision_actual"] == file["precision_requested"] for file in report["files"])
    links = [(link["what"], link["precision"]) for link in report["parity"]["links"]]
    assert links == [("torch", "float32"), ("ONNX Runtime", "float32"), ("ONNX Runtime", "float16")]
    assert report["parity"]["engine"] == "not run here: no NVIDIA card"
    assert report["parity"]["reference"] == "torch, float64"
    assert json.loads((tmp_path / "out" / f"{NAME}.json").read_text())["batch_profile"] == [1, 1, 2]


def changed_weight(model: onnx.ModelProto, value: float) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "network.head.widen.weight")
    values = numpy_helper.to_array(tensor).copy()
    values[:8] += value
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


@pytest.mark.parametrize("value", [1.0, float("nan")], ids=["wrong weight", "NaN"])
@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("where", ["bundle", "out"])
def test_a_wrong_graph_is_not_exported(
    bare: Bundle,
    quick: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    value: float,
    precision: Precision,
    where: str,
) -> None:
    """In either graph, and whether or not the other one is in order."""

    def planted(traced: onnx.ModelProto, wanted: Precision) -> bytes:
        if wanted is precision:
            changed_weight(traced, value)
        return in_precision(traced, wanted)

    monkeypatch.setattr(products, "in_precision", planted)
    if np.isnan(value) and precision is Precision.FLOAT16:  # refused even earlier: float16 cannot hold it
        monkeypatch.setattr("tsfmicro.export.half.np.all", lambda values: True)
    before = snapshot(tmp_path)
    assert run(monkeypatch, bare.path, "--fp16", *(("--out", tmp_path / "out") if where == "out" else ())) == 7
    assert snapshot(tmp_path) == before
    assert "Nothing was written" in capsys.readouterr().err


def test_a_float32_layer_is_found(
    bare: Bundle, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(half, "_FLOAT32_OPS", half._FLOAT32_OPS | {"Conv"})
    before = snapshot(tmp_path)
    assert run(monkeypatch, bare.path, "--fp16") == 6
    assert snapshot(tmp_path) == before
    assert "temporal.stem.0 (float32)" in capsys.readouterr().err


def test_a_float32_layer_is_found_by_the_builder_too(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half, "_FLOAT32_OPS", half._FLOAT32_OPS | {"Conv"})
    graph = in_precision(trace_once(load_fused(export.bundle)), Precision.FLOAT16)
    with pytest.raises(BackendError, match=r"23 of \d+ matrix layers are not .*\(float32\)"):
        build_engine(graph, EngineOrder("tensorrt-rtx", Precision.FLOAT16))


@pytest.mark.parametrize("precision", list(Precision))
def test_what_is_float32_is_not_rounded_to_tensor_float_32(
    export: Export, monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    """TensorRT does so by itself, and its ten bits are no more than float16 has."""
    import tensorrt_rtx

    configs = []

    class Builder(tensorrt_rtx.Builder):  # type: ignore[misc]
        def create_builder_config(self) -> Any:
            configs.append(super().create_builder_config())
            assert configs[-1].get_flag(tensorrt_rtx.BuilderFlag.TF32)
            return configs[-1]

    monkeypatch.setattr(tensorrt_rtx, "Builder", Builder)
    order = EngineOrder("tensorrt-rtx", precision, compute_capabilities=("8.9",))
    build_engine(export.bundle.read(products.GRAPH_FILES[precision]), order)
    assert [config.get_flag(tensorrt_rtx.BuilderFlag.TF32) for config in configs] == [False]


def test_a_graph_the_builder_does_not_know_is_named(export: Export) -> None:
    model = onnx.load_from_string(export.bundle.read("model.fp16.onnx"))
    last = model.graph.node[-1]
    name = last.output[0]
    last.output[0] = "before"
    model.graph.node.append(helper.make_node("Unheard", ["before"], [name], name="odd", domain="nobody"))
    model.opset_import.append(helper.make_opsetid("nobody", 1))
    with pytest.raises(BackendError, match="does not understand the graph: Unheard"):
        build_engine(model.SerializeToString(), EngineOrder("tensorrt-rtx", Precision.FLOAT16))


def test_one_changed_byte_of_the_engine(export: Export, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(export.bundle.path, tmp_path / "copy.tsf"))
    data = bytearray((copy / NAME).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / NAME).write_bytes(data)
    with pytest.raises(BundleError, match="changed or damaged"):
        read_bundle(copy)


def test_without_a_card_the_engine_is_refused_and_auto_says_why(export: Export) -> None:
    from tsfmicro.runners import choose
    from tsfmicro.runners.cuda import card_here

    if card_here() is not None:
        pytest.skip("there is a card here")
    with pytest.raises(BackendError, match="no NVIDIA driver") as caught:
        load(export.bundle, "tensorrt-rtx")
    assert caught.value.exit_code == 6
    assert "no NVIDIA card here" in choose(export.bundle).why


@pytest.mark.parametrize("kind", ["tensorrt", "torch-tensorrt"])
def test_builders_that_are_not_here(
    bare: Bundle, quick: None, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(bare.path)
    assert run(monkeypatch, bare.path, "--fp16", "--target", kind) == 6
    assert snapshot(bare.path) == before
    assert "pip install 'tsfmicro[tensorrt]'" in capsys.readouterr().err or "none here" in capsys.readouterr().err


def test_without_any_builder_the_ways_on_are_named(
    bare: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "find_spec", lambda name: None)
    assert run(monkeypatch, bare.path, "--fp16") == 6
    assert "--target onnx" in capsys.readouterr().err


@pytest.mark.parametrize(
    "order",
    [
        {"kind": "tensorrt", "compute_capabilities": ("8.9",)},
        {"kind": "tensorrt-rtx", "timing_cache": Path("x")},
        {"kind": "tensorrt-rtx", "batch_profile": (1, 9, 8)},
    ],
)
def test_orders_that_make_no_sense(order: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        EngineOrder(precision=Precision.FLOAT16, **order)


def test_a_card_that_rtx_does_not_know(export: Export) -> None:
    order = EngineOrder("tensorrt-rtx", Precision.FLOAT16, compute_capabilities=("9.0",))
    with pytest.raises(BackendError, match=r"builds for 7\.5, 8\.0.*, not for compute capability '9\.0'"):
        build_engine(export.bundle.read("model.fp16.onnx"), order)
