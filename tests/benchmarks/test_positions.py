"""Scenario ``positions``: both arms compute the same, one of them in every pass."""

from __future__ import annotations

import pytest

for needed in ("torch", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

import torch  # noqa: E402

from tests.running import Prompt  # noqa: E402
from tsfmicro.benchmarks import positions  # noqa: E402
from tsfmicro.benchmarks.positions import ANEW, ONCE, run_positions, with_formulas, with_tables  # noqa: E402
from tsfmicro.models.geometry import Precomputed, StageGeometry  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_the_arms_differ_in_where_tables_come_from_and_in_nothing_else() -> None:
    once = positions._fused("small")
    anew = with_formulas(once)
    forms = [{type(module) for module in fused.modules()} for fused in (once, anew)]
    assert Precomputed in forms[0] and Precomputed not in forms[1]
    assert any(isinstance(module, StageGeometry) for module in anew.modules())
    with torch.inference_mode():
        answers = [fused(*positions._crops(1))[1] for fused in (once, anew, with_tables(anew))]
    assert torch.equal(answers[0], answers[1]) and torch.equal(answers[0], answers[2])


def test_every_row_has_both_and_their_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "_graph_rows", lambda *_: [])  # tracing takes minutes
    passes, step = run_positions(["small"], [1], 2, rounds=1, threads=1)
    assert (passes["what"], step["what"]) == ("small, torch eager, batch 1", "small, training step, batch 2")
    for row in (passes, step):
        assert row["ratio"] == pytest.approx(row[ONCE] / row[ANEW], abs=1e-2)
        assert row["samples"].keys() == {ANEW, ONCE} and all(len(times) == 1 for times in row["samples"].values())


def test_a_size_that_does_not_exist_is_refused(prompt: Prompt) -> None:
    prompt("tsf-bench", "positions", "--size", "huge").assert_refused(2, "base or small")
