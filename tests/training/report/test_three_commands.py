"""From a data set's folder to bundle and report in three commands."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.running import Prompt
from tests.training.loso.tiny import LABELS, TinyNetwork, make_tiny
from tsfmicro.bundle import read_bundle
from tsfmicro.labels import protocol
from tsfmicro.runners import load
from tsfmicro.training import fit_commands, loso_commands
from tsfmicro.training.fixtures import casme2, others
from tsfmicro.training.fixtures.trees import write_tree
from tsfmicro.training.loso.spec import STAMP


class Pictures(HTMLParser):
    """Whatever the page would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.titles: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.sources += [found[name] or "" for name in ("src", "href") if name in found]
        if tag == "img":
            self.titles.append(found["alt"] or "")


@pytest.fixture
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole command line on a network that trains in a moment."""
    for module in (loso_commands, fit_commands):
        monkeypatch.setattr(module, "network_maker", lambda config, labels, start: make_tiny)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_network")
def test_casme2_with_all_its_oddities(prompt: Prompt, tmp_path: Path) -> None:
    root, run, bundle = casme2.write(tmp_path / "CASME2"), tmp_path / "run", tmp_path / "casme2.tsf"
    words = ("tsf-train", "loso", "--dataset", "casme2", "--root", root, "--protocol", "casme2_5c_tsf", "--out", run)
    settings = ("--epochs", 6, "--seeds", 2, "--batch", 8, "--learning-rate", 5e-3, "--weight-decay", 0.01)
    done = prompt(*words, *settings)
    assert done.code == 0, done.err
    found = json.loads((run / "result.json").read_text())
    assert (found["samples"], found["folds"], found["complete"]) == (34, 9, True)
    assert found["audit"]["matches"] is False and found["faces"] == "dataset"
    assert found["controls"]["shuffled"]["uf1"]["mean"] is not None
    assert "differs from the published counts" in done.out
    assert prompt(*words, *settings).code == 0  # nothing is left to do
    assert json.loads((run / "result.json").read_text()) == found
    prompt(*words, *settings[2:]).assert_refused(2, "other settings")

    done = prompt("tsf-train", "fit", run, "--out", bundle)
    assert done.code == 0, done.err
    manifest = read_bundle(bundle).manifest
    assert manifest.protocol_id == "casme2_5c_tsf" and manifest.labels == LABELS
    assert manifest.provenance.metrics["loso"]["uf1"] == found["uf1"]
    assert manifest.provenance.metrics["loso"]["audit_digest"] == found["audit_digest"]
    assert manifest.provenance.steps == 6 * 5 and "CASME II: 34 clips of 9 people" in manifest.provenance.data
    assert "lie or stress" in manifest.intended_use and "crops made another way (dataset)" in manifest.intended_use
    assert "agreement of the data set" in manifest.licence
    weights = read_bundle(bundle).weights()
    assert {name: tensor.shape for name, tensor in weights.items()} == {
        name: tuple(tensor.shape) for name, tensor in TinyNetwork().state_dict().items()
    }

    done = prompt("tsf-train", "report", run)
    assert done.code == 0, done.err
    text = (run / "report.html").read_text()
    pictures = Pictures(text)
    assert all(source.startswith("data:image/png;base64,") for source in pictures.sources)  # nothing is fetched
    assert [title for title in pictures.titles if title.startswith("Confusion")] == [
        "Confusion matrix, seed 0", "Confusion matrix, seed 1",
    ]  # fmt: skip
    assert "Training" in pictures.titles and len(pictures.titles) == 4
    assert f"{100 * found['uf1']['mean']:.2f}" in text and "87.50" in text and STAMP not in text
    assert all(person in text for person in found["per_subject"])
    assert "CASME II: 34 clips, 9 people" in text and "no published figure is about" not in text


PROTOCOLS = {
    "samm": "samm_5c_tsf", "samm_lv": "samm_5c_tsf", "casme3a": "casme3a_7c_official", "casme3c": "casme3c_4c_official",
    "cas_me2": "cas_me2_4c", "smic_hs": "megc2019_smic", "megc2019": "megc2019_full",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("dataset", PROTOCOLS)
def test_every_other_data_set_goes_the_same_way(
    prompt: Prompt, tmp_path: Path, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = len(protocol(PROTOCOLS[dataset]).classes)
    for module in (loso_commands, fit_commands):
        monkeypatch.setattr(module, "network_maker", lambda config, labels, start: lambda: make_tiny(classes))
    root, run = write_tree(dataset, None, tmp_path / "data"), tmp_path / "run"
    words = ("--dataset", dataset, "--root", root, "--protocol", PROTOCOLS[dataset])
    done = prompt("tsf-train", "audit", *words, "--json")
    assert done.code == 0, done.err
    audited = json.loads(done.out)
    settings = ("--epochs", 1, "--seeds", 1, "--shuffled-seeds", 0, "--faces", "dataset", "--out", run)
    done = prompt("tsf-train", "loso", *words, *settings, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    lost = len(audited["clips_without_frames"])
    assert (found["samples"], found["folds"]) == (audited["samples"] - lost, audited["subjects"])
    assert found["audit_digest"] == audited["digest"] and found["complete"]
    assert prompt("tsf-train", "fit", run, "--out", tmp_path / "x.tsf").code == 0
    assert prompt("tsf-train", "report", run).code == 0
    assert f"{found['samples']} clips, {found['folds']} people" in (run / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_network")
def test_paper_mode_is_stamped_and_makes_no_bundle(prompt: Prompt, tmp_path: Path) -> None:
    root, run = casme2.write(tmp_path / "CASME2", layout="bare"), tmp_path / "run"
    done = prompt(
        "tsf-train", "loso", "--dataset", "casme2", "--root", root, "--protocol", "casme2_5c_tsf", "--out", run,
        "--mode", "paper", "--epochs", 3, "--seeds", 1, "--shuffled-seeds", 0, "--batch", 8,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert STAMP in done.out
    prompt("tsf-train", "fit", run, "--out", tmp_path / "x.tsf").assert_refused(2, STAMP, "--mode honest")
    assert prompt("tsf-train", "report", run).code == 0
    text = (run / "report.html").read_text()
    assert text.count(STAMP) >= 3 + len(Pictures(text).titles)
    assert re.search(r"<td>this run</td>.*<td>test-selected</td>", text)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_network")
def test_between_data_sets_as_typed(prompt: Prompt, tmp_path: Path) -> None:
    roots = {"casme2": casme2.write(tmp_path / "CASME2"), "csv": others.write_plain(tmp_path / "own", labels=LABELS)}
    for dataset, root in roots.items():
        words = ("--dataset", dataset, "--root", root, "--protocol", "casme2_5c_tsf", "--faces", "dataset")
        assert prompt("tsf-train", "prepare", *words, "--out", tmp_path / dataset).code == 0
    typed = ("tsf-train", "cross", "--train", tmp_path / "csv", "--test", tmp_path / "casme2", "--epochs", 2)
    done = prompt(*typed, "--seeds", 1, "--out", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["dataset"], found["trained_on"]["dataset"], found["samples"]) == ("casme2", "csv", 34)
    assert prompt("tsf-train", "report", tmp_path / "run", "--cache", tmp_path / "casme2").code == 0
    assert "csv, casme2_5c_tsf, audit" in (tmp_path / "run" / "report.html").read_text()
    refused = prompt("tsf-train", "fit", tmp_path / "run", "--out", tmp_path / "x.tsf")
    refused.assert_refused(2, "trained on another data set")
    prompt(*typed[:5], tmp_path / "nowhere", "--out", tmp_path / "x").assert_refused(3, "tsf-train prepare")


@pytest.mark.slow
@pytest.mark.parametrize("network", [("--model", "tsfmicro"), ("--model", "mmnet"), ("--fusion", "temporal")])
def test_with_a_true_network_to_a_bundle_that_runs(prompt: Prompt, tmp_path: Path, network: tuple[str, str]) -> None:
    root, run, bundle = tmp_path / "own", tmp_path / "run", tmp_path / "own.tsf"
    others.write_plain(root, labels=LABELS, people=2, per_label=1)
    done = prompt(
        "tsf-train", "loso", "--dataset", "csv", "--root", root, "--protocol", "casme2_5c_tsf", "--out", run,
        "--faces", "dataset", "--size", "small", "--epochs", 1, "--seeds", 1, "--shuffled-seeds", 0, "--batch", 5,
        *network,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert prompt("tsf-train", "fit", run, "--out", bundle).code == 0
    assert prompt("tsf-train", "report", run, "--bundle", bundle).code == 0
    card = read_bundle(bundle).manifest.model
    assert network[1] in {card.name, card.fusion}
    text = (run / "report.html").read_text()
    assert f"{card.name}, small, fusion {card.fusion}" in text
    assert "no published figure is about" in text  # these are nobody's clips
    titles = Pictures(text).titles
    assert titles[-2:] == [f"{what} of own, which has seen these people" for what in ("Pooled features", "Grad-CAM")]
    with load(read_bundle(bundle), "torch") as runner:
        crops = np.zeros((1, 224, 224, 3), np.uint8)
        output = runner.infer(crops, crops)
    assert output.probabilities.shape == (1, 5) and np.isclose(output.probabilities.sum(), 1)


def test_a_run_that_is_not_there_is_one_sentence(prompt: Prompt, tmp_path: Path) -> None:
    prompt("tsf-train", "fit", tmp_path / "no", "--out", tmp_path / "x.tsf").assert_refused(3, "tsf-train loso")
    prompt("tsf-train", "report", tmp_path / "no").assert_refused(3, "tsf-train loso")


def test_a_network_that_does_not_exist_is_refused_before_crops_are_cut(prompt: Prompt, tmp_path: Path) -> None:
    root = others.write_plain(tmp_path / "own", labels=LABELS, people=2, per_label=1)
    words = ("--dataset", "csv", "--root", root, "--protocol", "casme2_5c_tsf", "--out", tmp_path / "run")
    done = prompt("tsf-train", "loso", *words, "--size", "huge")
    assert done.code == 2 and "'base', 'small'" in done.err
    prompt("tsf-train", "loso", *words, "--model", "mmnet", "--fusion", "early").assert_refused(2, "only 'late'")
    assert not (tmp_path / "run").exists()


def test_cuda_is_never_silently_replaced(prompt: Prompt, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    prompt(
        "tsf-train", "loso", "--dataset", "csv", "--root", tmp_path, "--protocol", "casme2_5c_tsf", "--out",
        tmp_path / "run", "--device", "cuda",
    ).assert_refused(6, "--device cpu")  # fmt: skip
