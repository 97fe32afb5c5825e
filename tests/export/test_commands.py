"""``tsf-export``: a graph that was proved lands in the bundle, and nothing lands anywhere otherwise."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

for needed in ("torch", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

import torch  # noqa: E402

from tests.export.traced import trace_once  # noqa: E402
from tsfmicro import cli  # noqa: E402
from tsfmicro.bundle import (  # noqa: E402
    Bundle,
    Calibration,
    Manifest,
    ModelCard,
    Provenance,
    read_bundle,
    round_to_half,
    write_bundle,
)
from tsfmicro.errors import BundleError, ParityError  # noqa: E402
from tsfmicro.export import parity, products  # noqa: E402
from tsfmicro.export.parity import probe_pairs  # noqa: E402
from tsfmicro.export.products import export_bundle  # noqa: E402
from tsfmicro.labels import protocol  # noqa: E402
from tsfmicro.models.config import ModelConfig  # noqa: E402
from tsfmicro.models.network import build  # noqa: E402
from tsfmicro.preprocess import PreprocessSpec  # noqa: E402
from tsfmicro.runners import load  # noqa: E402
from tsfmicro.runners.parity import Tolerance  # noqa: E402
from tsfmicro.runners.precision import Precision  # noqa: E402
from tsfmicro.runners.torch_runner import load_fused  # noqa: E402
from tsfmicro.values import Float32Array, UInt8Array  # noqa: E402

PROTOCOL = "casme2_5c_tsf"
TOLERANCE = Tolerance.of(Precision.FLOAT32).max_abs


pytestmark = pytest.mark.usefixtures("one_torch_thread")


def make_bundle(path: Path, name: str = "tsfmicro") -> Bundle:
    """Random weights, large enough to make the logits of two pairs differ."""
    torch.manual_seed(3)
    network = build(ModelConfig(size="small"))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(2.0)
    manifest = Manifest(
        name="test",
        model=ModelCard(name, "small", "late", 5),
        protocol_id=PROTOCOL,
        labels=protocol(PROTOCOL).classes,
        preprocess=PreprocessSpec(),
        provenance=Provenance("nothing", "pytest", 0, 0, "none", (), {}),
        calibration=Calibration(1.7, 0.4, None),
        licence="Apache-2.0",
        intended_use="tests",
    )
    return write_bundle(path, manifest, round_to_half({k: v.numpy() for k, v in network.state_dict().items()}))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def run(patch: pytest.MonkeyPatch, *words: object) -> int:
    patch.setattr(sys, "argv", ["tsf-export", *map(str, words)])
    return cli._exit_code(lambda: cli._call("tsf-export", "tsfmicro.export.commands", ()))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The one bundle that is really exported."""
    path = tmp_path_factory.mktemp("export") / "tiny.tsf"
    make_bundle(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "trace", trace_once)
        assert run(patch, path) == 0
    return read_bundle(path)


@pytest.fixture
def quick(exported: Bundle, monkeypatch: pytest.MonkeyPatch) -> onnx.ModelProto:
    """Skips the tracing, which was done once, and most of the probes; the proof is done again."""
    traced = trace_once(load_fused(exported))
    monkeypatch.setattr(products, "trace", lambda fused, opset: traced)
    monkeypatch.setattr(parity, "TEXTURE_PAIRS", 2)
    monkeypatch.setattr(parity, "FACE_PAIRS", 2)
    return traced


@pytest.fixture
def bare(tmp_path: Path, exported: Bundle) -> Bundle:
    """The same bundle before its export."""
    return make_bundle(tmp_path / "tiny.tsf")


def test_the_graph_is_part_of_the_bundle(exported: Bundle) -> None:
    assert set(exported.manifest.files) == {"weights.safetensors", "model.onnx"}
    assert {p.name for p in exported.path.iterdir()} == {"weights.safetensors", "model.onnx", "manifest.json"}
    assert exported.path.name == "tiny.tsf"
    assert {p.name for p in exported.path.parent.iterdir()} == {"tiny.tsf"}


def test_the_graph_computes_what_the_network_computes(exported: Bundle) -> None:
    onset, apex = probe_pairs(5, seed=123)
    with load(exported, "onnxruntime", threads=1) as graph, load(exported, "torch") as network:
        found, wanted = graph.infer(onset, apex), network.infer(onset, apex)
    assert np.ptp(wanted.logits, axis=0).max() > 1e-3  # pairs differ, so agreement means something
    np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-4)
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=TOLERANCE)


def test_json_reports_files_and_parity(
    bare: Bundle,
    exported: Bundle,
    quick: onnx.ModelProto,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, bare.path, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"files", "parity", "passed"}
    (file,) = report["files"]
    path = Path(file["path"])
    assert path == bare.path / "model.onnx"
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() == exported.manifest.files["model.onnx"]
    assert file["sha256"] == read_bundle(bare.path).manifest.files["model.onnx"]
    assert (file["kind"], file["precision_requested"], file["precision_actual"]) == ("onnx", "float32", "float32")
    assert report["passed"] is True
    assert report["parity"]["tolerance"] == TOLERANCE
    assert report["parity"]["pairs"] == 4
    assert report["parity"]["nan"] == report["parity"]["label_flips"] == 0
    assert 0 <= report["parity"]["max_abs"] <= TOLERANCE


@pytest.mark.usefixtures("quick")
def test_without_json_stdout_stays_empty(
    bare: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, bare.path) == 0
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "0 of 4 labels" in streams.err


@pytest.mark.usefixtures("quick")
def test_out_writes_only_there(bare: Bundle, exported: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(bare.path)
    assert run(monkeypatch, bare.path, "--out", tmp_path / "deep" / "graphs") == 0
    assert snapshot(bare.path) == before
    assert snapshot(tmp_path / "deep") == {"graphs/model.onnx": exported.read("model.onnx")}


@pytest.mark.usefixtures("quick")
def test_out_that_cannot_be_written_is_refused(
    bare: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert run(monkeypatch, bare.path, "--out", tmp_path / "file") == 2
    assert "cannot be written" in capsys.readouterr().err


def skewed(by: float) -> Any:
    honest = parity.graph_logits

    def wrong(graph: bytes, onset: UInt8Array, apex: UInt8Array) -> Float32Array:
        logits = honest(graph, onset, apex)
        logits[3, 1] += by
        return logits

    return wrong


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("by", "out"), [(0.01, False), (float("nan"), True)])
def test_a_graph_that_differs_is_not_written(
    bare: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    by: float,
    out: bool,
) -> None:
    before = snapshot(tmp_path)
    monkeypatch.setattr(products, "graph_logits", skewed(by))
    assert run(monkeypatch, bare.path, *(("--out", tmp_path / "graphs") if out else ())) == 7
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "graphs").exists()
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "Nothing was written" in streams.err


@pytest.mark.usefixtures("quick")
def test_a_stale_graph_is_not_mistaken_for_the_network(bare: Bundle) -> None:
    """The graph of one bundle does not pass for that of another."""
    torch.manual_seed(4)
    other = {k: v.numpy() for k, v in build(ModelConfig(size="small")).state_dict().items()}
    with pytest.raises(ParityError, match="differs from the network"):
        export_bundle(write_bundle(bare.path, bare.manifest, other), (Precision.FLOAT32,))


@pytest.mark.usefixtures("quick")
def test_a_graph_is_replaced_by_the_next_export(
    exported: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(exported.path, tmp_path / "copy.tsf"))
    assert run(monkeypatch, copy) == 0
    assert read_bundle(copy).manifest == exported.manifest


def test_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds 'other'"):
        export_bundle(make_bundle(tmp_path / "other.tsf", name="other"), (Precision.FLOAT32,))


def test_a_bundle_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path / "nothing.tsf") == 5
    assert "tsf-train demonstration --out nothing.tsf" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--target", "nonsense"), ("--bogus",)])
def test_an_unknown_target_is_bad_usage(monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    assert run(monkeypatch, *words) == 2
