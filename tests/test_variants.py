"""Variants other than the shipped one go the same way: trained, sealed, exported and run by the same commands."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

for needed in ("torch", "onnx", "onnxscript"):
    pytest.importorskip(needed)


from tsfmicro import cli  # noqa: E402
from tsfmicro.bundle import ModelCard, read_bundle  # noqa: E402
from tsfmicro.export import parity  # noqa: E402
from tsfmicro.export.parity import probe_pairs  # noqa: E402
from tsfmicro.runners import load  # noqa: E402
from tsfmicro.training import demonstration  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    name, *rest = map(str, words)
    monkeypatch.setattr(sys, "argv", [name, *rest])
    folder = {"tsf-train": "training", "tsf-export": "export"}[name]
    return cli._exit_code(lambda: cli._call(name, f"tsfmicro.{folder}.commands", ()))


@pytest.mark.parametrize(
    ("choice", "name", "card"),
    [
        (["--model", "mmnet"], "mmnet-small-demonstration", ModelCard("mmnet", "small", "late", 5)),
        (
            ["--fusion", "t2s", "--option", "t2s_add=after_blocks"],
            "tsfmicro-small-t2s-demonstration",
            ModelCard("tsfmicro", "small", "t2s", 5, {"t2s_add": "after_blocks"}),
        ),
        (
            ["--fusion", "spatial"],
            "tsfmicro-small-spatial-demonstration",
            ModelCard("tsfmicro", "small", "spatial", 5),
        ),
    ],
)
def test_a_variant_is_trained_exported_and_run(
    choice: list[str], name: str, card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demonstration, "_CALIBRATION_PAIRS", 8)
    monkeypatch.setattr(parity, "TEXTURE_PAIRS", 2)
    monkeypatch.setattr(parity, "FACE_PAIRS", 2)
    path = tmp_path / "mine.tsf"
    assert run(monkeypatch, "tsf-train", "demonstration", "--out", path, "--steps", 2, "--batch", 2, *choice) == 0
    manifest = read_bundle(path).manifest
    assert (manifest.name, manifest.model) == (name, card)
    assert set(choice) <= set(manifest.provenance.command.split())
    assert run(monkeypatch, "tsf-export", path) == 0
    onset, apex = probe_pairs(3, seed=1)
    bundle = read_bundle(path)
    with load(bundle, "onnxruntime") as graph, load(bundle, "torch") as network:
        ours, theirs = graph.infer(onset, apex), network.infer(onset, apex)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-5)
    # And on from there, into the same network only.
    again = ["tsf-train", "demonstration", "--steps", 1, "--batch", 2, "--init", path]
    assert run(monkeypatch, *again, "--out", tmp_path / "on.tsf", *choice) == 0
    assert run(monkeypatch, *again, "--out", tmp_path / "no.tsf", "--fusion", "early") == 2


def test_a_network_that_does_not_exist_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", tmp_path / "no.tsf", "--model", "mmnet", "--fusion", "early"]
    assert run(monkeypatch, "tsf-train", "demonstration", *words) == 2
    assert capsys.readouterr().err == "error: fusion is 'early'; MMNet has only 'late'\n"
