"""The training loop: it learns, it is repeatable, and its learning rate is the documented one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from tsfmicro.errors import ContractError
from tsfmicro.models.config import ModelConfig
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.models.network import build
from tsfmicro.preprocess import IMAGENET_MEAN, IMAGENET_STD
from tsfmicro.synthetic.pairs import UNITS
from tsfmicro.training.corpus import Sample
from tsfmicro.training.fit import ContractionTask, FitSpec, Progress, fit

pytestmark = pytest.mark.usefixtures("one_torch_thread")


class Pictures(Dataset[Sample]):
    """Random crops of the given side, with the given labels in turn."""

    def __init__(self, side: int, labels: list[int]) -> None:
        rng = np.random.default_rng(1)
        self.crops = torch.from_numpy(rng.integers(0, 256, (2, len(labels), side, side, 3), dtype=np.uint8))
        self.labels = labels
        self.contractions = torch.full((2, len(UNITS)), 1.25)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        return self.crops[0, index], self.crops[1, index], self.labels[index], self.contractions


class Tiny(nn.Module):
    """Mean colour of the difference times a matrix: learns in microseconds."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.zeros(3, 2))
        self.gain = gain

    def forward(self, difference: Tensor, onset: Tensor) -> Tensor:
        return difference.mean(dim=(2, 3)) @ self.matrix * self.gain


def tiny(gain: float = 1.0) -> FusedRecognizer:
    network: Any = Tiny(gain)
    return FusedRecognizer(network, IMAGENET_MEAN, IMAGENET_STD)


class Spy(torch.optim.AdamW):
    """AdamW that says what it was asked to do."""

    rates: list[float]
    norms: list[float]
    decays: list[float]

    def step(self, closure: Any = None) -> Any:
        group = self.param_groups[0]
        Spy.rates.append(group["lr"])
        Spy.decays.append(group["weight_decay"])
        Spy.norms.append(math.sqrt(sum(float((p.grad**2).sum()) for p in group["params"])))
        return super().step(closure)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> type[Spy]:
    Spy.rates, Spy.norms, Spy.decays = [], [], []
    monkeypatch.setattr(torch.optim, "AdamW", Spy)
    return Spy


def run(fused: FusedRecognizer, pairs: Dataset[Sample], **spec: Any) -> list[Progress]:
    told: list[Progress] = []
    fit(fused, pairs, FitSpec(workers=0, **{"au_weight": 0.0, **spec}), told.append)
    return told


def state_of(seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor], list[Progress], FusedRecognizer]:
    torch.manual_seed(seed)
    fused = FusedRecognizer(build(ModelConfig(size="small")), IMAGENET_MEAN, IMAGENET_STD)
    before = {name: tensor.clone() for name, tensor in fused.network.state_dict().items()}
    told = run(fused, Pictures(224, [0, 3, 1, 4]), steps=2, batch=2, au_weight=FitSpec().au_weight)
    return before, fused.network.state_dict(), told, fused


def test_the_real_network_learns_repeatably() -> None:
    before, after, told, fused = state_of(5)
    assert [p.step for p in told] == [1, 2]
    assert all(math.isfinite(p.loss) and p.loss > 0 for p in told)
    assert not any(module.training for module in fused.network.modules())
    moved = [name for name, _ in fused.network.named_parameters() if not torch.equal(before[name], after[name])]
    assert len(moved) > 0.9 * len(list(fused.network.parameters()))
    assert all(bool(torch.isfinite(tensor).all()) for tensor in after.values())
    assert not fused.network.head.classify._forward_pre_hooks  # the auxiliary task is gone
    before_again, after_again, told_again, _ = state_of(5)
    assert all(torch.equal(before[name], before_again[name]) for name in before)
    assert all(torch.equal(after[name], after_again[name]) for name in after)
    assert told == told_again


def test_the_network_is_trained_in_training_mode() -> None:
    fused = tiny().eval()
    modes: list[bool] = []
    fused.network.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    run(fused, Pictures(4, [0, 1]), steps=1, batch=2)
    assert modes == [True]
    assert not fused.network.training


def test_separable_pictures_are_learnt() -> None:
    pictures = Pictures(4, [0, 1] * 200)
    for index, label in enumerate(pictures.labels):
        pictures.crops[0, index] = 100
        pictures.crops[1, index] = 160 if label else 40
    fused = tiny()
    told = run(fused, pictures, steps=100, batch=4, learning_rate=0.1)
    assert told[0].loss == pytest.approx(math.log(2))
    assert told[-1].loss < 0.4 * told[0].loss
    assert told[-1].accuracy > 0.95


def test_the_rate_warms_up_and_then_falls_along_a_line(spy: type[Spy]) -> None:
    run(tiny(), Pictures(4, [0, 1] * 50), steps=50, batch=2, learning_rate=0.02, warmup_steps=10, weight_decay=0.07)
    rates = np.array(spy.rates)
    assert len(rates) == 50
    assert rates[0] == pytest.approx(0.02 / 10)
    assert np.all(np.diff(rates[:10]) > 0)
    assert rates.argmax() == 9
    np.testing.assert_allclose(rates[9:], 0.02 * (1 - np.arange(9, 50) / 50), rtol=1e-9)
    assert rates[-1] == pytest.approx(0.02 / 50)
    assert set(spy.decays) == {0.07}


def test_gradients_are_clipped(spy: type[Spy]) -> None:
    run(tiny(gain=1e4), Pictures(4, [0, 1] * 3), steps=3, batch=2)
    assert max(spy.norms) == pytest.approx(5.0, rel=1e-3)


def test_gradients_do_not_add_up_from_step_to_step(spy: type[Spy]) -> None:
    pictures = Pictures(4, [0, 0] * 4)
    pictures.crops[:] = pictures.crops[:, :1]
    run(tiny(), pictures, steps=4, batch=2, learning_rate=1e-12)
    np.testing.assert_allclose(spy.norms, spy.norms[0], rtol=1e-4)


@pytest.mark.parametrize("steps", [1, 3])
def test_it_stops_after_the_steps(steps: int, spy: type[Spy]) -> None:
    told = run(tiny(), Pictures(4, [0, 1] * 20), steps=steps, batch=4)
    assert [(p.step, p.steps) for p in told] == [(i, steps) for i in range(1, steps + 1)]
    assert len(spy.rates) == steps


def test_progress_is_the_mean_so_far() -> None:
    told = run(tiny(gain=0.0), Pictures(4, [0, 0, 1, 1, 0, 1]), steps=3, batch=2)
    assert [p.accuracy for p in told] == pytest.approx([1.0, 0.5, 0.5])  # logits are equal: class 0 is the answer
    assert [p.loss for p in told] == pytest.approx([math.log(2)] * 3)


class Headed(nn.Module):
    """A body and a classifier at the place where the auxiliary task looks for it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.head: Any = nn.Module()
        self.head.classify = nn.Linear(4, 2)

    def forward(self, difference: Tensor, onset: Tensor) -> Tensor:
        logits: Tensor = self.head.classify(self.body(difference.mean(dim=(2, 3))))
        return logits


def headed() -> tuple[FusedRecognizer, Any]:
    network: Any = Headed()
    return FusedRecognizer(network, IMAGENET_MEAN, IMAGENET_STD), network


def test_the_auxiliary_task_measures_in_typical_contractions() -> None:
    fused, network = headed()
    task = ContractionTask(fused.network)
    with pytest.raises(ContractError, match="no batch"):
        task.loss(torch.zeros(2, 2, len(UNITS)))
    with torch.no_grad():
        task.read.weight.zero_()
        task.read.bias.zero_()
    network(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))
    assert task.loss(torch.full((2, 2, len(UNITS)), 5.0)).item() == pytest.approx(4.0)  # 5 % is twice the typical
    task.detach()
    assert not network.head.classify._forward_pre_hooks


def test_the_auxiliary_task_reads_side_by_side() -> None:
    """Row by row of (2, U): first the left half of the face, then the right."""
    fused, network = headed()
    task = ContractionTask(fused.network)
    contractions = torch.zeros(1, 2, len(UNITS))
    contractions[0, 1, 3] = 2.5
    with torch.no_grad():
        task.read.weight.zero_()
        task.read.bias.zero_()
        task.read.bias[len(UNITS) + 3] = 1.0
    network(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4))
    assert task.loss(contractions).item() == 0.0


@pytest.mark.parametrize(("weight", "moves"), [(0.0, False), (5.0, True)])
def test_the_auxiliary_task_teaches_the_body(weight: float, moves: bool) -> None:
    fused, network = headed()
    with torch.no_grad():
        network.head.classify.weight.zero_()  # nothing but the auxiliary task reaches the body in the first step
    before = network.body.weight.clone()
    run(fused, Pictures(4, [0, 1]), steps=1, batch=2, au_weight=weight, weight_decay=0.0)
    assert torch.equal(network.body.weight, before) != moves
    assert not network.head.classify._forward_pre_hooks


@pytest.mark.parametrize("bad", [{"steps": 0}, {"batch": 1}, {"learning_rate": 0.0}, {"learning_rate": -1.0}])
def test_what_cannot_train_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="cannot train"):
        FitSpec(**bad)
