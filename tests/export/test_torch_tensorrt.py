"""What Torch-TensorRT is given. Itself it needs a card to build; here a stand-in takes its place."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for needed in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

from tests.export.test_windows import BARE, WHOLE, sealed  # noqa: E402
from tests.export.traced import VARIANTS, lively, name_of  # noqa: E402
from tests.running import Prompt  # noqa: E402
from tsfmicro.bundle import read_bundle  # noqa: E402
from tsfmicro.errors import BackendError  # noqa: E402
from tsfmicro.export import parity, products, torch_tensorrt_builder  # noqa: E402
from tsfmicro.export.precision import require_precision  # noqa: E402
from tsfmicro.export.tensorrt_builder import EngineOrder  # noqa: E402
from tsfmicro.export.torch_half import in_half  # noqa: E402
from tsfmicro.export.torch_tensorrt_builder import build_with_torch, exported_program, program_layers  # noqa: E402
from tsfmicro.export.windows import IMAGE_TOLERANCES, network_answers  # noqa: E402
from tsfmicro.models.config import ModelConfig  # noqa: E402
from tsfmicro.models.fdp.config import FdpConfig  # noqa: E402
from tsfmicro.models.fdp.fused import FusedWindow  # noqa: E402
from tsfmicro.runners.cuda import Card  # noqa: E402
from tsfmicro.runners.engine_card import read_card  # noqa: E402
from tsfmicro.runners.parity import probe_windows  # noqa: E402
from tsfmicro.runners.precision import Precision  # noqa: E402
from tsfmicro.runners.torch_window import load_fused_window  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

PAIRS = ModelConfig(size="small")
API = Path(__file__).parent / "tensorrt_api" / "torch_tensorrt.json"


@pytest.fixture(scope="module", params=[WHOLE, BARE], ids=["whole", "bare"])
def window(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FusedWindow:
    return load_fused_window(sealed(tmp_path_factory.mktemp("fdp") / "fdp.tsf", request.param))


class StandIn(types.ModuleType):
    """A module ``torch_tensorrt`` that keeps what it is given and builds a plan of three bytes."""

    __version__ = "2.11.0"

    def __init__(self) -> None:
        super().__init__("torch_tensorrt")
        self.asked: dict[str, Any] = {}
        self.Input = dict
        self.dynamo = types.SimpleNamespace(convert_exported_program_to_serialized_trt_engine=self._convert)

    def _convert(self, program: Any, **settings: Any) -> bytes:
        self.asked = {"program": program, **settings}
        return b"trt"


@pytest.fixture
def torch_tensorrt(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Together with a card, but for the network, which stays where it is."""
    module = StandIn()
    monkeypatch.setitem(sys.modules, "torch_tensorrt", module)
    monkeypatch.setattr(
        torch_tensorrt_builder, "runtime_module", lambda kind: types.SimpleNamespace(__version__="10.15")
    )
    monkeypatch.setattr(torch_tensorrt_builder, "card_here", lambda: Card("Fake RTX", "8.9", "13.0"))
    here = lambda fused, precision, device: exported_program(fused, precision, "cpu")  # noqa: E731
    monkeypatch.setattr(torch_tensorrt_builder, "exported_program", here)
    yield module


@pytest.mark.parametrize("config", VARIANTS[:-1], ids=name_of)
def test_a_network_of_pairs_is_half_but_for_the_classifier(config: ModelConfig) -> None:
    layers = program_layers(exported_program(lively(config), Precision.FLOAT16, "cpu"))
    least = 30 if config.model == "mmnet" else 14 if config.fusion == "spatial" else 50
    assert require_precision(layers, Precision.FLOAT16, "it") is Precision.FLOAT16 and len(layers) > least
    assert [layer.name for layer in layers if layer.precision != "float16"] == ["head.classify"]


def test_a_network_of_windows_is_half_but_for_what_tells_frames_apart(window: FusedWindow) -> None:
    """The same layers as in the float16 graph, see ``test_windows``."""
    layers = program_layers(exported_program(window, Precision.FLOAT16, "cpu"))
    assert require_precision(layers, Precision.FLOAT16, "it") is Precision.FLOAT16
    whole = [layer.name for layer in layers if layer.precision == "float32"]
    config = window.network.config
    scorer = ["order.scorer.hidden", "order.scorer.score"] if config.rank_scorer == "pairwise" else []
    named = [name for name in whole if "matmul" not in name]
    assert sorted(named) == sorted([
        *(f"frames.stem.{place}" for place in (0, 3, 6, 9)), "frames.project", "frames.detail", *scorer,
        "head.classify",
        *(["image.draw"] if config.dynamic_image == "constructed" else []),
    ])  # fmt: skip
    parts = [name.split(".")[0] for name in whole if "matmul" in name]
    assert parts == ["prepare"] * 3 + ["order"] * (2 if scorer else 1)
    assert len([layer for layer in layers if layer.precision == "float16"]) > 40


@pytest.mark.parametrize("config", [PAIRS, WHOLE], ids=["pairs", "windows"])
def test_float32_is_ordered_as_well(config: ModelConfig | FdpConfig, tmp_path: Path) -> None:
    fused = lively(config) if isinstance(config, ModelConfig) else load_fused_window(sealed(tmp_path / "f.tsf", config))
    layers = program_layers(exported_program(fused, Precision.FLOAT32, "cpu"))
    assert {layer.precision for layer in layers} == {"float32"} and len(layers) > 40


@pytest.mark.parametrize("config", VARIANTS[:-1], ids=name_of)
def test_pairs_are_answered_as_by_the_network(config: ModelConfig) -> None:
    fused = copy.deepcopy(lively(config))
    onset, apex = (torch.from_numpy(x) for x in parity.probe_pairs(2, 1))
    with torch.inference_mode():
        wanted = fused(onset, apex)[1]
        in_half(fused)
        found = fused(onset, apex)[1]
    assert found.dtype == torch.float32
    assert 0 < float((found - wanted).norm() / wanted.norm()) < 5e-3


def test_windows_are_answered_nearly_as_by_the_network(window: FusedWindow) -> None:
    """Not within the tolerance of exports: so a card may refuse its own engine, see docs/fdp.md. With the stem or the
    sums of blocks in half, it is three times as far off."""
    half = copy.deepcopy(window)
    in_half(half)
    frames = window.network.config.frames
    moving = probe_windows(3, frames, seed=2)
    still = np.repeat(moving[:, :1], frames, axis=1)
    wanted, found = network_answers(window, moving), network_answers(half, moving)
    assert 0 < np.linalg.norm(found[0] - wanted[0]) / np.linalg.norm(wanted[0]) < 0.02
    for drawn, image in zip(found[1:], wanted[1:], strict=True):
        assert np.abs(drawn - image).max() < IMAGE_TOLERANCES[Precision.FLOAT16]
    assert all(np.isfinite(answer).all() for answer in network_answers(half, still))


def test_what_stays_float32_is_not_rounded(window: FusedWindow) -> None:
    half = copy.deepcopy(window)
    in_half(half)
    before = dict(window.network.named_parameters()) | dict(window.network.named_buffers())
    after = dict(half.network.named_parameters()) | dict(half.network.named_buffers())
    assert {name for name in before if name.startswith("order.")} <= set(after)
    kept = {name for name, tensor in after.items() if tensor.dtype == torch.float32}
    assert {name for name, tensor in after.items() if name.startswith("order.") and tensor.is_floating_point()} <= kept
    folded = {name for name in kept if name.startswith("frames.stem.")}  # these hold their batch norms now
    assert folded and {"frames.norm.running_var", "head.classify.weight"} <= kept
    assert all(torch.equal(after[name], before[name]) for name in kept - folded)


@pytest.mark.parametrize("precision", list(Precision))
def test_what_the_builder_is_given(torch_tensorrt: StandIn, window: FusedWindow, precision: Precision) -> None:
    built = build_with_torch(window, EngineOrder("torch-tensorrt", precision, (1, 2, 4)))
    frames = window.network.config.frames
    (asked,) = torch_tensorrt.asked["arg_inputs"]
    shapes = [asked[name] for name in ("min_shape", "opt_shape", "max_shape")]
    assert shapes == [(batch, frames, 224, 224, 3) for batch in (1, 2, 4)] and asked["dtype"] == torch.uint8
    assert torch_tensorrt.asked["disable_tf32"] is True
    assert (built.plan, built.runtime_version, built.built_on) == (b"trt", "10.15", "Fake RTX")
    assert program_layers(torch_tensorrt.asked["program"]) == built.layers


def test_pairs_are_given_as_pairs(torch_tensorrt: StandIn) -> None:
    build_with_torch(lively(PAIRS), EngineOrder("torch-tensorrt", Precision.FLOAT16, (1, 1, 8)))
    assert [asked["max_shape"] for asked in torch_tensorrt.asked["arg_inputs"]] == [(8, 224, 224, 3)] * 2
    names = [spec.arg.name for spec in torch_tensorrt.asked["program"].graph_signature.input_specs]
    assert names[-2:] == ["onset", "apex"]  # what the engine will call them


def test_the_whole_export_of_windows(
    torch_tensorrt: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parity, "TEXTURE_PAIRS", 2)
    monkeypatch.setattr(parity, "FACE_PAIRS", 2)
    monkeypatch.setattr(products, "card_here", lambda: None)
    path = sealed(tmp_path / "fdp.tsf", WHOLE).path
    report = json.loads(
        Prompt(monkeypatch, capfd)("tsf-export", path, "--fp16", "--target", "torch-tensorrt", "--json").out
    )
    name = "model.torch-tensorrt.fp16.engine"
    assert [Path(entry["path"]).name for entry in report["files"]] == [
        "model.onnx", "model.fp16.onnx", name, f"{name}.json",
    ]  # fmt: skip
    card = read_card(read_bundle(path), name)
    assert (card.kind, card.precision_actual, card.parity) == (
        "torch-tensorrt", "float16", "not run here: no NVIDIA card",
    )  # fmt: skip
    assert "order.scorer.hidden" in card.float32_layers and card.matrix_layers["float16"] > 40


def test_without_a_card_nothing_is_built(
    torch_tensorrt: StandIn, window: FusedWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_tensorrt_builder, "card_here", lambda: None)
    with pytest.raises(BackendError, match="there is none here"):
        build_with_torch(window, EngineOrder("torch-tensorrt", Precision.FLOAT16))


@pytest.mark.parametrize("error", [ImportError, OSError, RuntimeError, AssertionError])
def test_torch_tensorrt_that_cannot_be_imported(
    window: FusedWindow, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    importing = __import__

    def failing(name: str, *words: Any, **options: Any) -> Any:
        if name == "torch_tensorrt":
            raise error("a long story")
        return importing(name, *words, **options)

    monkeypatch.setattr("builtins.__import__", failing)
    with pytest.raises(BackendError, match=r"a long story.*pip install 'tsfmicro\[tensorrt\]'"):
        build_with_torch(window, EngineOrder("torch-tensorrt", Precision.FLOAT16))


@pytest.mark.parametrize("version", ["2.11.0", "2.14.0"])
def test_torch_tensorrt_has_the_arguments(version: str) -> None:
    known = set(json.loads(API.read_text(encoding="utf-8"))[version])
    tree = ast.parse(inspect.getsource(build_with_torch))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "convert"]
    (call,) = calls
    used = {keyword.arg for keyword in call.keywords}
    assert {"arg_inputs", "disable_tf32"} <= used <= known
