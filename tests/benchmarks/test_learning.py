"""The scenario ``train`` measures two loops over one network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.running import Prompt


def test_both_loops_and_their_ratio_are_recorded(prompt: Prompt, tmp_path: Path) -> None:
    words = ("--size", "small", "--batch", 2, "--rounds", 1, "--precision", "bf16")
    done = prompt("tsf-bench", "train", *words, "--json", tmp_path / "r.json")
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "r.json").read_text())
    assert (record["scenario"], record["settings"]["precision"]) == ("train", "bf16")
    plain, ours, ratio = record["rows"]
    # One round, so the ratio is that of the two rates.
    assert abs(ours["pairs_per_cpu_s"] / plain["pairs_per_cpu_s"] - ratio["median_cpu"]) < 0.02 * ratio["median_cpu"]
    assert abs(ours["pairs_per_s"] / plain["pairs_per_s"] - ratio["median"]) < 0.02 * ratio["median"]
    assert [row["samples"].keys() for row in (plain, ours, ratio)] == [{"pairs_per_s", "pairs_per_cpu_s"}] * 2 + [
        {"ratio"}
    ]
    assert ours["samples"]["pairs_per_s"] == [pytest.approx(ours["pairs_per_s"], abs=1e-3)]  # one round


def test_a_precision_that_does_not_exist_is_refused(prompt: Prompt) -> None:
    prompt("tsf-bench", "train", "--precision", "fp8").assert_refused(2, "fp32 or bf16")
