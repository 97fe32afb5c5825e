"""Runners: a graph that fits its manifest gives probabilities; anything else is refused with a reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tsfmicro.align import AlignSpec
from tsfmicro.benchmarks.soak import in_use_mib
from tsfmicro.bundle import (
    Bundle,
    Calibration,
    Manifest,
    ModelCard,
    Provenance,
    add_file,
    default_bundle_path,
    read_bundle,
    write_bundle,
)
from tsfmicro.errors import BackendError, BundleError, ContractError, UsageError
from tsfmicro.labels import protocol
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners import BACKENDS, RunnerOutput, available_backends, load, recognitions, threads

onnx = pytest.importorskip("onnx")

PROTOCOL = "casme2_5c_tsf"
SMALL = PreprocessSpec(align=AlignSpec(size_px=32, iod_px=14.0, eye_row_px=11.0))
MATRIX = np.random.default_rng(3).normal(size=(3, 5)).astype(np.float32)


def a_bundle(
    path: Path, preprocess: PreprocessSpec = SMALL, weights: dict[str, Any] | None = None, temperature: float = 1.0
) -> Bundle:
    manifest = Manifest(
        name="test",
        model=ModelCard(name="tsfmicro", size="small", fusion="late", classes=5),
        protocol_id=PROTOCOL,
        labels=protocol(PROTOCOL).classes,
        preprocess=preprocess,
        provenance=Provenance("nothing", "pytest", 0, 0, "none", (), {}),
        calibration=Calibration(temperature, 0.4, None),
        licence="Apache-2.0",
        intended_use="tests",
    )
    return write_bundle(path, manifest, weights or {"matrix": MATRIX})


def a_graph(
    side: int = 32, matrix: NDArray[Any] = MATRIX, onset: str = "onset", batch: str | int = "batch", dtype: int = 2
) -> Any:
    """Mean colour of apex - onset times a matrix, softmax: the signature of the fused graph, none of its weight."""
    helper, classes = onnx.helper, matrix.shape[1]
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Cast", [onset], ["first"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Cast", ["apex"], ["second"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Sub", ["second", "first"], ["difference"]),
        helper.make_node("ReduceMean", ["difference", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [value(name, dtype, [batch, side, side, 3]) for name in (onset, "apex")],
        [value(name, onnx.TensorProto.FLOAT, [batch, classes]) for name in ("probabilities", "logits")],
        [
            onnx.numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
            onnx.numpy_helper.from_array(matrix, "matrix"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return add_file(a_bundle(tmp_path / "tiny.tsf"), "model.onnx", a_graph().SerializeToString())


def crops(count: int, side: int = 32, seed: int = 1) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("count", [1, 3])
def test_onnxruntime_computes_the_graph(bundle: Bundle, count: int) -> None:
    onset, apex = crops(count), crops(count, seed=2)
    with load(bundle) as runner:
        output = runner.infer(onset, apex)
    wanted = (apex.astype(np.float32) - onset.astype(np.float32)).mean(axis=(1, 2)) @ MATRIX
    np.testing.assert_allclose(output.logits, wanted, rtol=1e-4, atol=1e-4)
    exponents = np.exp(wanted - wanted.max(axis=1, keepdims=True))
    np.testing.assert_allclose(output.probabilities, exponents / exponents.sum(axis=1, keepdims=True), atol=1e-4)


def test_movements_that_end_together_take_no_more_memory_than_one() -> None:
    held_mib = []
    with load(read_bundle(default_bundle_path()), "onnxruntime") as runner:
        side = runner.preprocess.align.size_px
        for count in (1, 1, 6):
            runner.infer(crops(count, side), crops(count, side, seed=2))
            held_mib.append(in_use_mib())
    one_mib, again_mib, six_mib = held_mib
    if one_mib is None or again_mib is None or six_mib is None:
        pytest.skip("only glibc tells what is in use")
    assert again_mib < one_mib + 16
    assert six_mib < one_mib + 16


def test_runner_says_what_was_chosen(bundle: Bundle) -> None:
    with load(bundle, "auto") as runner:
        assert (runner.backend, runner.device) == ("onnxruntime", "cpu")
        assert runner.labels == protocol(PROTOCOL).classes
        assert runner.preprocess == SMALL


def test_views_that_are_not_contiguous_are_taken(bundle: Bundle) -> None:
    mirrored = crops(2)[:, :, ::-1]
    with load(bundle) as runner:
        straight = runner.infer(np.ascontiguousarray(mirrored), crops(2, seed=2))
        np.testing.assert_array_equal(runner.infer(mirrored, crops(2, seed=2)).logits, straight.logits)


@pytest.mark.parametrize(
    ("onset", "apex"),
    [
        (crops(1, side=31), crops(1, side=31)),
        (crops(2), crops(1)),
        (crops(1)[0], crops(1)[0]),
        (crops(1).astype(np.float32), crops(1)),
        (crops(1), crops(1).astype(np.int8)),
        (crops(0), crops(0)),
        (crops(1).transpose(0, 3, 1, 2), crops(1).transpose(0, 3, 1, 2)),
    ],
)
def test_wrong_crops_are_refused(bundle: Bundle, onset: NDArray[Any], apex: NDArray[Any]) -> None:
    with load(bundle) as runner, pytest.raises(ContractError, match="crops"):
        runner.infer(onset, apex)


def test_closed_runner_says_so(bundle: Bundle) -> None:
    runner = load(bundle)
    runner.close()
    runner.close()
    with pytest.raises(ContractError, match="closed"):
        runner.infer(crops(1), crops(1))


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx", "torch-tensorrt"])
def test_without_an_engine_in_the_bundle_the_command_that_builds_one_is_named(bundle: Bundle, backend: str) -> None:
    with pytest.raises(BackendError, match=f"tsf-export .*tiny.tsf --fp16 --target {backend}") as caught:
        load(bundle, backend)
    assert caught.value.exit_code == 6
    assert backend in BACKENDS


@pytest.mark.parametrize(("backend", "module"), [("openvino", "openvino"), ("cuda", "torch"), ("cuda", "card")])
def test_known_backend_that_is_not_there_is_never_replaced(
    bundle: Bundle, backend: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if module == "card":
        torch = pytest.importorskip("torch")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    else:
        monkeypatch.delitem(sys.modules, f"tsfmicro.runners.{module}_runner", raising=False)
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendError, match=f"backend {backend} ") as caught:
        load(bundle, backend)
    assert caught.value.exit_code == 6
    assert backend in BACKENDS


def test_unknown_backend_lists_the_known_ones(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="did you mean onnxruntime") as caught:
        load(bundle, "onnx-runtime")
    assert caught.value.exit_code == 2
    assert all(name in str(caught.value) for name in BACKENDS)


def test_backend_that_is_not_installed_says_what_to_type(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tsfmicro.runners.torch_runner", raising=False)
    monkeypatch.setitem(sys.modules, "tsfmicro.runners.torch_runner", None)
    with pytest.raises(ModuleNotFoundError):  # something else than torch is missing: that is a bug, not a hint
        load(bundle, "torch")
    monkeypatch.delitem(sys.modules, "tsfmicro.runners.torch_runner")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendError, match=r"pip install 'tsfmicro\[train\]'"):
        load(bundle, "torch")


def test_available_backends_are_known() -> None:
    assert available_backends()[0] == "onnxruntime"
    assert set(available_backends()) <= set(BACKENDS)


def test_loading_onnxruntime_never_imports_torch(bundle: Bundle) -> None:
    code = (
        "import sys; from tsfmicro.bundle import read_bundle; from tsfmicro.runners import load\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "load(read_bundle(sys.argv[1])).close(); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bundle.path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("count", [1, 2])
def test_threads_that_are_asked_for_are_used(bundle: Bundle, count: int) -> None:
    with load(bundle, threads=count) as runner:
        assert f"threads={count}" in repr(runner)


def test_threads_by_default_are_physical_cores_but_few(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= threads.thread_count(None) <= threads.physical_cores()
    monkeypatch.setattr(threads, "physical_cores", lambda: 64)
    assert threads.thread_count(None) == 4
    assert threads.thread_count(16) == 16
    assert threads.beside_the_frames() == 4


@pytest.mark.parametrize(("cores", "count"), [(1, 1), (2, 1), (3, 2), (5, 4)])
def test_a_recogniser_beside_the_frames_leaves_them_a_core(
    monkeypatch: pytest.MonkeyPatch, cores: int, count: int
) -> None:
    monkeypatch.setattr(threads, "physical_cores", lambda: cores)
    assert threads.beside_the_frames() == count


@pytest.mark.parametrize("count", [0, -1])
def test_no_threads_at_all_is_refused(bundle: Bundle, count: int) -> None:
    with pytest.raises(UsageError, match="threads"):
        load(bundle, threads=count)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda: a_graph(side=48), r"48, 48.*needs.*32, 32"),
        (lambda: a_graph(matrix=MATRIX[:, :3]), r"\(\*, 3\).*needs.*\(\*, 5\)"),
        (lambda: a_graph(onset="first_picture"), "first_picture"),
        (lambda: a_graph(batch=1), r"\(1, 32, 32, 3\)"),
        (lambda: a_graph(dtype=1), r"tensor\(float\).*needs.*tensor\(uint8\)"),
    ],
)
def test_graph_that_differs_from_the_manifest_is_refused(tmp_path: Path, graph: Any, message: str) -> None:
    bundle = add_file(a_bundle(tmp_path / "odd.tsf"), "model.onnx", graph().SerializeToString())
    with pytest.raises(BundleError, match=message) as caught:
        load(bundle)
    assert caught.value.exit_code == 5


def test_bytes_that_are_no_graph_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bundle = add_file(a_bundle(tmp_path / "junk.tsf"), "model.onnx", b"not a graph")
    with pytest.raises(BundleError, match=r"model\.onnx is no graph"):
        load(bundle)
    assert capfd.readouterr().out == ""


def test_graph_with_weights_in_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = a_graph(matrix=np.ones((3, 5), np.float32))
    monkeypatch.chdir(tmp_path)
    onnx.save(graph, "outside.onnx", save_as_external_data=True, location="outside.data", size_threshold=80)
    data = onnx.load("outside.onnx", load_external_data=False).SerializeToString()
    bundle = add_file(a_bundle(tmp_path / "ext.tsf"), "model.onnx", data)
    with pytest.raises(BundleError, match=r"model\.onnx"):
        load(bundle)


def test_bundle_without_a_graph_says_how_to_add_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="tsf-export"):
        load(a_bundle(tmp_path / "bare.tsf"))


def test_nan_from_a_graph_is_never_a_result(tmp_path: Path) -> None:
    data = a_graph(matrix=np.full((3, 5), np.nan, np.float32)).SerializeToString()
    bundle = add_file(a_bundle(tmp_path / "nan.tsf"), "model.onnx", data)
    with load(bundle) as runner, pytest.raises(ContractError, match="NaN"):
        runner.infer(crops(1), crops(1, seed=2))


def an_output(*rows: list[float]) -> RunnerOutput:
    probabilities = np.array(rows, np.float32)
    return RunnerOutput(probabilities=probabilities, logits=np.log(probabilities + 1e-9))


@pytest.mark.parametrize(
    ("probabilities", "logits", "message"),
    [
        (np.full((1, 2), 0.5, np.float64), np.zeros((1, 2), np.float32), "probabilities"),
        (np.full((1, 2), 0.5, np.float32), np.zeros((1, 3), np.float32), "logits"),
        (np.full(2, 0.5, np.float32), np.zeros(2, np.float32), "probabilities"),
        (np.full((1, 2), 0.6, np.float32), np.zeros((1, 2), np.float32), "sum to"),
        (np.array([[1.5, -0.5]], np.float32), np.zeros((1, 2), np.float32), "below 0"),
        (np.full((1, 2), 0.5, np.float32), np.full((1, 2), np.inf, np.float32), "infinity"),
    ],
)
def test_output_is_checked(probabilities: NDArray[Any], logits: NDArray[Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        RunnerOutput(probabilities=probabilities, logits=logits)


def test_recognitions_abstain_below_the_threshold_only() -> None:
    labels = ("negative", "positive", "surprise")
    output = an_output([0.5, 0.25, 0.25], [0.25, 0.25, 0.5], [0.375, 0.375, 0.25])
    sure, surprised, unsure = recognitions(output, labels, Calibration(1.0, 0.5, None))
    assert (sure.label, sure.abstain) == ("negative", ())
    assert surprised.label == "surprise"
    assert (unsure.label, unsure.abstain) == (None, ("low_probability",))
    assert list(sure.probabilities) == list(labels)
    assert dict(sure.probabilities) == {"negative": 0.5, "positive": 0.25, "surprise": 0.25}


def test_recognitions_need_one_label_a_column() -> None:
    with pytest.raises(ContractError, match="2 probabilities for 3 labels"):
        recognitions(an_output([0.5, 0.5]), ("a", "b", "c"), Calibration(1.0, 0.0, None))


@pytest.fixture(scope="module")
def network() -> Any:
    """A small network with seeded weights."""
    torch = pytest.importorskip("torch")
    module = pytest.importorskip("tsfmicro.models.network")
    config = pytest.importorskip("tsfmicro.models.config")
    torch.manual_seed(0)
    return module.build(config.ModelConfig(size="small", fusion="late", classes=5)).eval()


def state(network: Any) -> dict[str, NDArray[Any]]:
    return {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}


@pytest.mark.filterwarnings("ignore")  # the older exporter is deprecated, and six times as fast as the newer
def test_torch_and_onnxruntime_agree(tmp_path: Path, network: Any) -> None:
    torch = pytest.importorskip("torch")
    fused_module = pytest.importorskip("tsfmicro.models.fused")
    spec = PreprocessSpec()
    bundle = a_bundle(tmp_path / "net.tsf", spec, state(network), temperature=2.0)
    fused = fused_module.FusedRecognizer(network, spec.mean, spec.std, 2.0).eval()
    dummy = torch.zeros((2, 224, 224, 3), dtype=torch.uint8)
    names = (["onset", "apex"], ["probabilities", "logits"])
    torch.onnx.export(
        fused,
        (dummy, dummy),
        tmp_path / "net.onnx",
        input_names=names[0],
        output_names=names[1],
        dynamic_axes={name: {0: "batch"} for name in (*names[0], *names[1])},
        opset_version=20,
        dynamo=False,
    )
    bundle = add_file(bundle, "model.onnx", (tmp_path / "net.onnx").read_bytes())
    onset, apex = crops(1, side=224), crops(1, side=224, seed=2)
    with load(bundle, "torch") as reference, load(bundle) as runner:
        assert reference.backend == "torch"
        wanted, got = reference.infer(onset, apex), runner.infer(onset, apex)
    assert np.ptp(wanted.logits) > 0
    np.testing.assert_allclose(got.logits, wanted.logits, atol=1e-4)
    np.testing.assert_allclose(got.probabilities, wanted.probabilities, atol=1e-4)


def test_torch_refuses_weights_of_another_network(tmp_path: Path, network: Any) -> None:
    weights = state(network)
    weights.pop(next(iter(weights)))
    with pytest.raises(BundleError, match="does not fit the network"):
        load(a_bundle(tmp_path / "less.tsf", PreprocessSpec(), weights), "torch")


def test_torch_refuses_crops_of_another_size(tmp_path: Path, network: Any) -> None:
    with pytest.raises(BundleError, match="32 px"):
        load(a_bundle(tmp_path / "side.tsf", SMALL, state(network)), "torch")
