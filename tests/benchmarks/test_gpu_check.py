"""The parts of ``gpu_check`` that need no card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tsfmicro.benchmarks import gpu_check, gpu_contenders
from tsfmicro.benchmarks.gpu_check import Ceilings, Contender, attempt, percentiles, time_in_turns
from tsfmicro.values import Float32Array, UInt8Array


def test_without_a_card_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main(["--json", str(tmp_path / "x.json")]) == 6
    assert "needs an NVIDIA card" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()


def test_the_floor_is_arithmetic_or_reading() -> None:
    ceilings = Ceilings(float16_tflops=788.0, bandwidth_gb_s=4300.0)
    assert ceilings.floor_us("base", 1, 12_789_413) == pytest.approx(2 * 6.722e9 / 788e12 * 1e6)
    assert ceilings.floor_us("small", 1, 841_325) == pytest.approx(2 * 0.668e9 / 788e12 * 1e6)
    assert Ceilings(1e6, 100.0).floor_us("base", 1, 12_789_413) == pytest.approx(2 * 12_789_413 / 100e9 * 1e6)


def test_a_failure_is_a_row() -> None:
    def broken() -> dict[str, Any]:
        raise RuntimeError("no such library")

    assert attempt("x", broken) == {"what": "x", "status": "not run", "why": "RuntimeError: no such library"}
    assert attempt("y", lambda: {"a": 1}) == {"what": "y", "status": "ok", "a": 1}


def test_contenders_take_turns_and_one_that_fails_does_not_stop_them() -> None:
    calls = []

    def answering(name: str) -> Any:
        def infer(onset: UInt8Array, apex: UInt8Array) -> Float32Array:
            calls.append(name)
            if name == "bad":
                raise RuntimeError("broken")
            return np.zeros((len(onset), 5), np.float32)

        return infer

    contenders = [Contender(name, answering(name), None, {}) for name in ("torch eager float16", "bad", "b")]
    rows = time_in_turns(contenders, 2, 3, 10.0)
    assert [(row["what"], row["status"]) for row in rows] == [
        ("bad", "not run"), ("torch eager float16", "ok"), ("b", "ok"),
    ]  # fmt: skip
    assert calls[-6:] == ["torch eager float16", "b"] * 3
    assert rows[1]["host_to_host_us"]["calls"] == 3


def test_every_contender_has_a_name_of_its_own() -> None:
    names = [name for name, _, _ in gpu_contenders.makers(gpu_check.a_network("small"), 8)]
    assert len(names) == len(set(names)) == 10
    assert names[0] == "torch eager float16"


def test_percentiles() -> None:
    found = percentiles([float(n) for n in range(1, 102)])
    assert (found["p50"], found["min"], found["calls"]) == (51.0, 1.0, 101)
