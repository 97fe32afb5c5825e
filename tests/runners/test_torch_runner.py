"""The network in torch, compiled: the same answers for any number of pairs, or a clear refusal."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tsfmicro.benchmarks.engines import untrained_bundle
from tsfmicro.bundle import Bundle, default_bundle_path, read_bundle
from tsfmicro.errors import BackendError
from tsfmicro.models.config import ModelConfig
from tsfmicro.runners import load
from tsfmicro.runners.parity import probe_pairs


@pytest.fixture
def bundle() -> Bundle:
    return read_bundle(default_bundle_path())


def test_a_compiler_that_is_missing_is_told(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*words: Any, **options: Any) -> Any:
        def call(*crops: Any) -> None:
            raise RuntimeError("no working C++ compiler\nand a long story")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(BackendError, match="cannot compile here: no working C") as caught:
        load(bundle, "torch-compiled")
    assert caught.value.exit_code == 6
    assert "long story" not in str(caught.value)


def test_the_compiled_network_answers_as_the_eager_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced for any number of pairs. Generating and compiling C++ takes minutes and is left to torch's own tests."""
    bundle = untrained_bundle(tmp_path / "x.tsf", ModelConfig(size="small", fusion="spatial"))
    compiled_by = functools.partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", compiled_by)
    with load(bundle, "torch", threads=1) as eager, load(bundle, "torch-compiled", threads=1) as compiled:
        assert compiled.backend == "torch-compiled"
        for count in (1, 2, 3):
            onset, apex = probe_pairs(count, seed=count)
            found, wanted = compiled.infer(onset, apex), eager.infer(onset, apex)
            np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-4)
