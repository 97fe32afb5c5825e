"""FDP as a bundle: exported, compared with its network, and run by both runners with the same answers."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
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
from tsfmicro.errors import BundleError, ContractError, ParityError, UsageError  # noqa: E402
from tsfmicro.export import windows as exporting  # noqa: E402
from tsfmicro.export.windows import export_window_bundle, probe_windows  # noqa: E402
from tsfmicro.labels import protocol  # noqa: E402
from tsfmicro.models.fdp.config import FdpConfig  # noqa: E402
from tsfmicro.models.fdp.fused import FusedWindow  # noqa: E402
from tsfmicro.models.fdp.network import build_fdp  # noqa: E402
from tsfmicro.preprocess import PreprocessSpec  # noqa: E402
from tsfmicro.runners import RunnerOutput, load  # noqa: E402
from tsfmicro.runners.torch_window import load_fused_window  # noqa: E402
from tsfmicro.runners.window import WindowOutput, load_window  # noqa: E402

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


@pytest.fixture(scope="module", params=[WHOLE, BARE], ids=["whole", "bare"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    bundle = sealed(tmp_path_factory.mktemp("fdp") / "fdp.tsf", request.param)
    graph, parity = export_window_bundle(bundle, 1e-4)
    assert parity.max_abs <= 1e-4 and parity.pairs == 8 and parity.label_flips == 0
    return add_file(bundle, "model.onnx", graph)


@pytest.fixture
def quick(exported: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph was made once; the proof is done again."""
    monkeypatch.setattr(exporting, "export_onnx", lambda fused, path: path.write_bytes(exported.read("model.onnx")))


def test_a_bundle_says_that_it_holds_fdp(exported: Bundle) -> None:
    card = read_bundle(exported.path).manifest.model
    config = card.window_config()
    assert config in (WHOLE, BARE) and ModelCard.of(config) == card
    assert (card.name, card.fusion, card.reads_windows) == ("fdp", "window", True)
    assert card.any_config() == config
    with pytest.raises(ContractError, match="windows of frames and no key frames"):
        card.config()


def test_both_runners_answer_alike(exported: Bundle) -> None:
    frames = exported.manifest.model.window_config().frames
    windows = probe_windows(3, frames, seed=2)
    with load_window(exported) as fast, load_window(exported, "torch") as reference:
        assert (fast.backend, reference.backend, fast.device) == ("onnxruntime", "torch", "cpu")
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


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_other_windows_are_refused(exported: Bundle, backend: str) -> None:
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
    with pytest.raises(UsageError, match="does not run FDP; type one of auto, onnxruntime, torch"):
        load_window(exported, "tensorrt")


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


@pytest.mark.usefixtures("quick")
def test_nothing_is_written_where_graph_and_network_disagree(exported: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def hotter(bundle: Bundle) -> FusedWindow:
        """The network a little warmer than what is exported."""
        fused = load_fused_window(bundle)
        fused.temperature *= 1.5
        return fused

    export_window_bundle(exported, 1e-4)
    monkeypatch.setattr(exporting, "load_fused_window", hotter)
    with pytest.raises(ParityError, match="Nothing was written"):
        export_window_bundle(exported, 1e-4)


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


@pytest.mark.parametrize("words", [("--fp16",), ("--target", "tensorrt-rtx")])
def test_half_precision_and_engines_are_refused(
    exported: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    out = tmp_path / "out"
    done = Prompt(monkeypatch, capfd)("tsf-export", exported.path, *words, "--out", out)
    done.assert_refused(6, "holds FDP", "float32 graph")
    assert not out.exists()


@pytest.mark.usefixtures("quick")
def test_the_report_says_what_the_graph_was_held_against(
    exported: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    done = Prompt(monkeypatch, capfd)("tsf-export", exported.path, "--out", tmp_path / "out", "--json")
    report = json.loads(done.out)
    assert report["passed"] and report["parity"]["reference"] == "torch, float32"
    assert [entry["precision_actual"] for entry in report["files"]] == ["float32"]
    assert (tmp_path / "out" / "model.onnx").is_file()
