"""FDP as a bundle: exported, compared with its network, and run by both runners with the same answers."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from tests.running import Prompt  # noqa: E402
from tsfmicro.align import AlignSpec  # noqa: E402
from tsfmicro.bundle import (  # noqa: E402
    Bundle,
    Calibration,
    Manifest,
    ModelCard,
    Provenance,
    add_file,
    read_bundle,
    round_to_half,
    write_bundle,
)
from tsfmicro.errors import BackendError, BundleError, ContractError, ParityError  # noqa: E402
from tsfmicro.export import parity, products  # noqa: E402
from tsfmicro.export.onnx_graph import trace  # noqa: E402
from tsfmicro.export.precision import matrix_layers  # noqa: E402
from tsfmicro.export.products import Exported, export_bundle  # noqa: E402
from tsfmicro.export.window_half import name_delicate  # noqa: E402
from tsfmicro.export.windows import IMAGE_TOLERANCES, WindowProof  # noqa: E402
from tsfmicro.labels import protocol  # noqa: E402
from tsfmicro.models.fdp.config import FdpConfig  # noqa: E402
from tsfmicro.models.fdp.fused import FusedWindow  # noqa: E402
from tsfmicro.models.fdp.network import build_fdp  # noqa: E402
from tsfmicro.preprocess import PreprocessSpec  # noqa: E402
from tsfmicro.runners import RunnerOutput, load  # noqa: E402
from tsfmicro.runners.parity import Tolerance, probe_windows  # noqa: E402
from tsfmicro.runners.precision import Precision  # noqa: E402
from tsfmicro.runners.torch_window import load_fused_window  # noqa: E402
from tsfmicro.runners.window import load_window  # noqa: E402
from tsfmicro.runners.window_contract import WindowOutput  # noqa: E402

PROTOCOL = "casme2_5c_tsf"
WHOLE = FdpConfig(size="small")
BARE = FdpConfig(size="small", frames=5, dynamic_image="none", rank_scorer="none", global_blocks="none")


def sealed(path: Path, config: FdpConfig, **changes: Any) -> Bundle:
    """A network nobody trained, whose batch norms have seen some windows and whose ranks are not what they begin as."""
    torch.manual_seed(5)
    network: Any = build_fdp(config)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name == "order.pooling.influence":
                tensor.fill_(0.4)
            elif name.startswith("head.") and name.endswith("weight"):
                tensor.normal_(0.0, 0.1)  # an untrained network says much the same of everything
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        seen = torch.from_numpy(probe_windows(4, config.frames, seed=1))
        FusedWindow(network, PreprocessSpec().mean, PreprocessSpec().std).train().logits(seen)
    manifest = Manifest(
        name="test",
        model=ModelCard.of(config),
        protocol_id=PROTOCOL,
        labels=protocol(PROTOCOL).classes,
        preprocess=PreprocessSpec(),
        provenance=Provenance("nothing", "pytest", 0, 0, "none", (), {}),
        calibration=Calibration(1.7, 0.4, None),
        licence="Apache-2.0",
        intended_use="tests",
    )
    weights = round_to_half({name: tensor.numpy() for name, tensor in network.state_dict().items()})
    return write_bundle(path, dataclasses.replace(manifest, **changes), weights)


class Export:
    """Both graphs of a bundle, made and proved once."""

    def __init__(self, folder: Path, config: FdpConfig) -> None:
        self.bundle = sealed(folder / "fdp.tsf", config)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(products, "trace", self._trace)
            patch.setattr(parity, "TEXTURE_PAIRS", 4)
            patch.setattr(parity, "FACE_PAIRS", 2)
            self.exported: Exported = export_bundle(self.bundle, (Precision.FLOAT32, Precision.FLOAT16))
        for product in self.exported.products:
            self.bundle = add_file(self.bundle, product.name, product.data)

    def _trace(self, fused: Any, opset: int) -> Any:
        self.traced = trace(fused, opset)
        return self.copy()

    def copy(self) -> Any:
        model = onnx.ModelProto()
        model.CopyFrom(self.traced)
        return model


@pytest.fixture(scope="module", params=[WHOLE, BARE], ids=["whole", "bare"])
def export(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return Export(tmp_path_factory.mktemp("fdp"), request.param)


@pytest.fixture
def exported(export: Export) -> Bundle:
    return export.bundle


@pytest.fixture
def quick(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skips the tracing, which was done once, and most of the probes; the proof is done again."""
    monkeypatch.setattr(products, "trace", lambda fused, opset: export.copy())
    monkeypatch.setattr(parity, "TEXTURE_PAIRS", 4)
    monkeypatch.setattr(parity, "FACE_PAIRS", 2)


def test_every_graph_is_held_against_the_network_in_float64(export: Export) -> None:
    links = [(link.what, link.precision) for link in export.exported.links]
    assert links == [
        ("torch", Precision.FLOAT32), ("ONNX Runtime", Precision.FLOAT32), ("ONNX Runtime", Precision.FLOAT16),
    ]  # fmt: skip
    assert all(
        link.parity.within(Tolerance.of(link.precision)) and link.parity.pairs == 6 for link in export.exported.links
    )
    exact, half = (export.exported.links[place].parity.rel_l2 for place in (1, 2))
    assert half > 10 * exact > 0  # it really is another precision


def test_frames_are_half_and_what_tells_them_apart_is_not(export: Export) -> None:
    half = onnx.load_from_string(export.bundle.read("model.fp16.onnx"))
    layers = matrix_layers(half)
    whole = [layer.name for layer in layers if layer.precision == "float32"]
    config = export.bundle.manifest.model.window_config()
    scorer = ["order.scorer.hidden", "order.scorer.score"] if config.rank_scorer == "pairwise" else []
    assert sorted(whole) == sorted([
        "prepare.product.1", "prepare.product.2", "prepare.product.3",
        *(f"frames.stem.{place}" for place in (0, 3, 6, 9)), "frames.project", "frames.detail", *scorer,
        *(["order.product.1", "order.product.2"] if scorer else ["order.product.1"]),
        *(["image.draw"] if config.dynamic_image == "constructed" else []), "head.classify",
    ])  # fmt: skip
    assert {layer.precision for layer in layers} == {"float16", "float32"}
    frames = [layer for layer in layers if layer.name.startswith(("frames.stages", "frames.embeddings"))]
    assert len(frames) > 35 and all(layer.precision == "float16" for layer in frames)
    outputs = {v.name: v.type.tensor_type.elem_type for v in half.graph.output}
    assert set(outputs.values()) == {onnx.TensorProto.FLOAT}


def test_blocks_add_to_float32(export: Export) -> None:
    half = onnx.shape_inference.infer_shapes(onnx.load_from_string(export.bundle.read("model.fp16.onnx"))).graph
    types = {value.name: value.type.tensor_type.elem_type for value in half.value_info}
    sums = [node for node in half.node if node.op_type == "Add" and {*node.input} <= {*types}]
    kinds = [types[node.output[0]] for node in sums]
    config = export.bundle.manifest.model.window_config()
    blocks = sum(config.local_depths) + len(config.local_depths)
    scores = 2 if config.rank_scorer == "pairwise" else 0
    assert kinds.count(onnx.TensorProto.FLOAT) == 2 * blocks + 1 + scores  # one makes a frame's features
    skips = 2 if config.dynamic_image == "constructed" else 0
    assert kinds.count(onnx.TensorProto.FLOAT16) == skips


def test_a_still_window_has_an_answer_in_half_precision(export: Export) -> None:
    """The scale of its scores is below what float16 can hold: all of it in half gives NaN."""
    import onnxruntime

    frames = export.bundle.manifest.model.window_config().frames
    still = np.repeat(probe_windows(1, frames, seed=4)[:, :1], frames, axis=1)
    session = onnxruntime.InferenceSession(export.bundle.read("model.fp16.onnx"), providers=["CPUExecutionProvider"])
    assert all(np.isfinite(found).all() for found in session.run(None, {"frames": still}))


def test_another_graph_has_no_delicate_parts() -> None:
    with pytest.raises(ContractError, match="it is not an FDP"):
        name_delicate(onnx.ModelProto())


def test_a_bundle_says_that_it_holds_fdp(exported: Bundle) -> None:
    card = read_bundle(exported.path).manifest.model
    config = card.window_config()
    assert config in (WHOLE, BARE) and ModelCard.of(config) == card
    assert (card.name, card.fusion, card.reads_windows) == ("fdp", "window", True)
    assert card.any_config() == config
    with pytest.raises(ContractError, match="windows of frames and no key frames"):
        card.config()


def skip_without(module: str) -> None:
    """Without importing it: OpenVINO's own import starts its telemetry."""
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_runners_answer_alike(exported: Bundle, backend: str) -> None:
    skip_without(backend)
    frames = exported.manifest.model.window_config().frames
    windows = probe_windows(3, frames, seed=2)
    assert load_window(exported).backend == "onnxruntime"
    with load_window(exported, backend) as fast, load_window(exported, "torch") as reference:
        assert (fast.backend, reference.backend, fast.device) == (backend, "torch", "cpu")
        assert fast.frames == reference.frames == frames
        assert fast.labels == protocol(PROTOCOL).classes and fast.preprocess == exported.manifest.preprocess
        found, expected = fast.infer(windows), reference.infer(windows)
        alone = fast.infer(windows[1:2])
    np.testing.assert_allclose(found.answers.probabilities, expected.answers.probabilities, atol=1e-5)
    np.testing.assert_allclose(alone.answers.logits[0], found.answers.logits[1], atol=1e-4)
    if expected.dynamic_images is None:
        assert found.dynamic_images is None and exported.manifest.model.options["dynamic_image"] == "none"
    else:
        assert found.dynamic_images is not None
        np.testing.assert_allclose(found.dynamic_images, expected.dynamic_images, atol=1e-4)
    # And they differ from window to window, so that agreement means something.
    assert np.ptp(expected.answers.probabilities, axis=0).max() > 1e-3


def test_the_temperature_is_inside_the_graph(exported: Bundle) -> None:
    frames = exported.manifest.model.window_config().frames
    windows = probe_windows(2, frames, seed=3)
    fused = load_fused_window(exported)
    with torch.inference_mode():
        plain = fused.logits(torch.from_numpy(windows)).numpy()
    with load_window(exported) as runner:
        np.testing.assert_allclose(runner.infer(windows).answers.logits, plain / 1.7, atol=1e-4)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "torch"])
def test_other_windows_are_refused(exported: Bundle, backend: str) -> None:
    skip_without(backend)
    frames = exported.manifest.model.window_config().frames
    good = np.zeros((1, frames, 224, 224, 3), np.uint8)
    with load_window(exported, backend) as runner:
        wrong: Any
        for wrong in (good[:, 1:], good[0], good[:0], good.astype(np.float32), good[:, :, 1:]):
            with pytest.raises(ContractError, match="frames"):
                runner.infer(wrong)
    with pytest.raises(ContractError, match="closed"):
        runner.infer(good)


def test_it_is_no_recogniser_of_pairs(exported: Bundle) -> None:
    with pytest.raises(BundleError, match="takes windows of frames instead of onset and apex"):
        load(exported)
    pytest.importorskip("tensorrt_rtx")
    with pytest.raises(BackendError, match="needs an engine"):
        load_window(exported, "tensorrt-rtx")


def test_a_graph_of_another_fdp_is_refused(exported: Bundle, tmp_path: Path) -> None:
    other = BARE if exported.manifest.model.window_config() == WHOLE else WHOLE
    bundle = add_file(sealed(tmp_path / "other.tsf", other), "model.onnx", exported.read("model.onnx"))
    with pytest.raises(BundleError, match="where the manifest needs"):
        load_window(bundle)


def test_a_bundle_without_a_graph_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="tsf-export"):
        load_window(sealed(tmp_path / "fdp.tsf", WHOLE))


def test_weights_of_another_fdp_are_refused(tmp_path: Path) -> None:
    bundle = sealed(tmp_path / "fdp.tsf", WHOLE, model=ModelCard.of(BARE))
    with pytest.raises(BundleError, match="does not fit the network"):
        load_window(bundle, "torch")
    small = PreprocessSpec(align=AlignSpec(size_px=32, iod_px=14.0, eye_row_px=11.0))
    with pytest.raises(BundleError, match="crops of 32 px"):
        load_window(sealed(tmp_path / "px.tsf", WHOLE, preprocess=small), "torch")


def test_nothing_is_written_where_graph_and_network_disagree(
    export: Export, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hotter(bundle: Bundle) -> FusedWindow:
        """The network a little warmer than what is exported."""
        fused = load_fused_window(bundle)
        fused.temperature *= 1.5
        return fused

    monkeypatch.setattr(products, "load_fused_window", hotter)
    with pytest.raises(ParityError, match=r"ONNX Runtime \(float32\) differs .* Nothing was written"):
        export_bundle(export.bundle, (Precision.FLOAT32,))


@pytest.mark.parametrize("precision", list(Precision))
def test_dynamic_images_are_held_to_a_tolerance_of_their_own(precision: Precision) -> None:
    logits, image = np.ones((2, 3), np.float32), np.full((2, 64, 64), 0.5, np.float32)
    proof = WindowProof(np.zeros((2, 8, 2, 2, 3), np.uint8), (logits, image), 0.0)
    near, far = image.copy(), image.copy()
    near[1, 5, 5] += 0.9 * IMAGE_TOLERANCES[precision]
    far[1, 5, 5] += 1.1 * IMAGE_TOLERANCES[precision]
    assert proof.hold("near", precision, (logits, near)).pairs == 2
    for wrong in (far, np.full_like(image, np.nan)):
        with pytest.raises(ParityError, match="dynamic images by"):
            proof.hold("far", precision, (logits, wrong))
    assert [link.what for link in proof.links] == ["near"]


def test_broken_images_are_not_handed_on() -> None:
    answers = RunnerOutput(np.full((1, 2), 0.5, np.float32), np.zeros((1, 2), np.float32))
    with pytest.raises(ContractError, match="NaN"):
        WindowOutput(answers, np.full((1, 64, 64), np.nan, np.float32))
    with pytest.raises(ContractError, match="dynamic_images"):
        WindowOutput(answers, np.zeros((2, 64, 64), np.float32))


def test_the_fast_runner_needs_no_torch(exported: Bundle) -> None:
    code = (
        "import sys; from tsfmicro.bundle import read_bundle; from tsfmicro.runners.window import load_window;"
        "import numpy as np; r = load_window(read_bundle(sys.argv[1]));"
        "r.infer(np.zeros((1, r.frames, 224, 224, 3), np.uint8)); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, exported.path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_engine_is_built_of_the_half_graph(
    exported: Bundle,
    quick: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="type: pip install 'tsfmicro[rtx]'")
    monkeypatch.setattr(products, "card_here", lambda: None)
    words = ("--fp16", "--target", "tensorrt-rtx", "--max-batch", "2", "--out", tmp_path / "out", "--json")
    report = json.loads(Prompt(monkeypatch, capfd)("tsf-export", exported.path, *words).out)
    name = "model.tensorrt-rtx.fp16.engine"
    assert [Path(entry["path"]).name for entry in report["files"]] == [
        "model.onnx", "model.fp16.onnx", name, f"{name}.json",
    ]  # fmt: skip
    assert report["passed"] and report["parity"]["engine"].startswith("not run here")
    card = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    assert card["precision_actual"] == "float16" and card["matrix_layers"]["float16"] > 40
    assert {layer.split(".")[0] for layer in card["float32_layers"]} <= {"prepare", "frames", "order", "image", "head"}


def test_the_report_says_what_the_graph_was_held_against(
    exported: Bundle, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    done = Prompt(monkeypatch, capfd)("tsf-export", exported.path, "--out", tmp_path / "out", "--json")
    report = json.loads(done.out)
    assert report["passed"] and report["parity"]["reference"] == "torch, float64"
    assert [entry["precision_actual"] for entry in report["files"]] == ["float32"]
    assert (tmp_path / "out" / "model.onnx").is_file()
