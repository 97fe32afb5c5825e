"""``tsf-train audit`` and ``tsf-train fixture`` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.running import Prompt
from tsfmicro.training.fixtures import casme2


def test_audit_for_programs(prompt: Prompt, tmp_path: Path) -> None:
    casme2.write(tmp_path, full=True, frames=False)
    done = prompt(
        "tsf-train", "audit", "--dataset", "casme2", "--root", tmp_path, "--protocol", "casme2_5c_tsf", "--json"
    )
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["samples"], report["subjects"], report["matches"]) == (248, 26, True)
    assert report["classes"]["disgust"] == 62 == report["expected"]["classes"]["disgust"]
    assert {"key", "reason"} == set(report["dropped"][0])
    assert report["repaired"] == [] and report["missing_frames"] == 744


@pytest.mark.parametrize("dataset", ["casme2", "casme3a", "cas_me2"])
def test_fixture_then_audit_for_people(prompt: Prompt, tmp_path: Path, dataset: str) -> None:
    root = tmp_path / "invented"
    assert prompt("tsf-train", "fixture", dataset, "--out", root).code == 0
    protocol = {"casme2": "casme2_5c_tsf", "casme3a": "casme3a_7c_official", "cas_me2": "cas_me2_4c"}[dataset]
    done = prompt("tsf-train", "audit", "--dataset", dataset, "--root", root, "--protocol", protocol)
    assert done.code == 0, done.err
    assert "DIFFERS from the published counts" in done.out and "0 key frames missing" in done.out
    if dataset == "casme3a":
        assert "repaired: spNO.149/d/112 apex 83 -> 160" in done.out


def test_fixture_refuses_what_it_cannot_do(prompt: Prompt, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    prompt("tsf-train", "fixture", "casme2", "--out", tmp_path).assert_refused(2, "is not empty")
    prompt("tsf-train", "fixture", "casme9", "--out", tmp_path / "n").assert_refused(2, "no invented 'casme9'", "samm")
    prompt("tsf-train", "fixture", "samm", "--out", tmp_path / "n", "--layout", "q").assert_refused(2, "padded")


def test_audit_refuses_with_the_exit_codes_of_scripts(prompt: Prompt, tmp_path: Path) -> None:
    words = ("tsf-train", "audit", "--dataset", "casme2", "--protocol", "casme2_5c_tsf", "--root")
    prompt(*words, tmp_path / "nowhere").assert_refused(3, "does not exist", "--root")
    prompt(*words, tmp_path).assert_refused(2, "no annotation of CASME II", "CASME2-coding-20190701.xlsx")
    casme2.write(tmp_path, frames=False)
    prompt(*words, tmp_path, "--layout", "Cropped").assert_refused(2, "--layout Cropped fits 0")
