"""The compiled step: one compilation for all folds, the same weights as without, and a word where nothing compiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.loso.tiny import PREPROCESS, make_tiny, tiny_cache, tiny_spec
from tsfmicro.errors import BackendError
from tsfmicro.models.config import ModelConfig
from tsfmicro.models.fdp.config import FdpConfig
from tsfmicro.models.recogniser import build_any, recogniser
from tsfmicro.training.loso import learn
from tsfmicro.training.loso.compiled import CompiledLoss, eager_loss, loss_of, require_compiler
from tsfmicro.training.loso.fold import run_fold
from tsfmicro.training.loso.samples import Samples, load_samples
from tsfmicro.training.loso.spec import LosoSpec, Step
from tsfmicro.training.training_options import TrainingOptions

COMPILED = tiny_spec(step=Step.COMPILED)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return load_samples(tiny_cache(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batches of what was compiled; the code that runs is that of the eager step."""
    torch.compiler.reset()
    seen: list[int] = []

    def backend(module: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
        seen.append(next(len(x) for x in inputs if x.ndim == 5))
        return module.forward

    loss = CompiledLoss(COMPILED.batch, backend)
    monkeypatch.setattr(learn, "loss_of", lambda spec: loss if spec.step is Step.COMPILED else eager_loss)
    return seen


def weights(samples: Samples, spec: LosoSpec, subject: str, seed: int = 0) -> str:
    return run_fold(samples, subject, spec, PREPROCESS, make_tiny, seed=seed).weights_sha256


def test_all_folds_and_seeds_share_one_compilation(samples: Samples, compiled: list[int]) -> None:
    """Each fold is a network of its own, with a last batch that is smaller."""
    digests = [
        (weights(samples, COMPILED, subject, seed), weights(samples, tiny_spec(), subject, seed))
        for subject, seed in (("p1", 0), ("p2", 0), ("p2", 1))
    ]
    assert len(samples.without("p1")) % COMPILED.batch != 0
    assert compiled == [COMPILED.batch]
    assert len(set(digests)) == 3 and all(one == other for one, other in digests)


@pytest.mark.parametrize(
    "config", [ModelConfig(size="small"), ModelConfig(model="mmnet", size="small"), FdpConfig(size="small")]
)
def test_the_loss_of_every_network_is_one_graph(config: ModelConfig | FdpConfig, compiled: list[int]) -> None:
    views = config.frames if isinstance(config, FdpConfig) else 2
    fused = recogniser(build_any(config), PREPROCESS.mean, PREPROCESS.std)
    crops = torch.randint(0, 256, (2, views, 224, 224, 3), dtype=torch.uint8)
    explained = torch._dynamo.explain(eager_loss)(fused, crops, torch.tensor([0, 1]))
    assert (explained.graph_count, explained.graph_break_count) == (1, 0)


def test_the_option_decides(tmp_path: Path) -> None:
    assert TrainingOptions().spec(5).step is Step.EAGER
    spec = TrainingOptions(compile=True).spec(5)
    assert spec.step is Step.COMPILED and loss_of(spec) is loss_of(spec) and loss_of(LosoSpec()) is eager_loss
    assert LosoSpec.from_dict(spec.to_dict()) == spec
    before = {name: value for name, value in LosoSpec().to_dict().items() if name != "step"}
    assert LosoSpec.from_dict(before) == LosoSpec()


def test_without_a_compiler_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise RuntimeError("no C++ compiler\nand a long story")

    monkeypatch.setattr(torch, "compile", broken)
    require_compiler(tiny_spec(), CPU)
    with pytest.raises(BackendError, match=r"^--compile cannot compile here: no C\+\+ compiler; install"):
        require_compiler(COMPILED, CPU)
