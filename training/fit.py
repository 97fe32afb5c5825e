"""One explicit training loop: AdamW, the network's own loss, a short warm-up and a linear decay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from tsfmicro.errors import ContractError
from tsfmicro.models.interface import Recognizer
from tsfmicro.models.recogniser import AnyNetwork
from tsfmicro.synthetic.pairs import UNITS

_TYPICAL_PERCENT_IOD = 2.5


@dataclass(frozen=True, slots=True)
class FitSpec:
    """How long and how fast to learn."""

    steps: int = 1000
    batch: int = 16
    learning_rate: float = 8e-4
    """Peak rate of AdamW (TSFmicro paper, section 4.2)."""
    weight_decay: float = 0.05
    warmup_steps: int = 20
    au_weight: float = 5.0
    """Of the auxiliary task that reads every action unit's contraction off the pooled features; 0 leaves it out."""
    workers: int = 1
    """Processes that draw pairs beside the one that learns."""

    def __post_init__(self) -> None:
        if min(self.steps, self.batch - 1, self.warmup_steps) < 1 or self.learning_rate <= 0 or self.au_weight < 0:
            raise ContractError(
                f"{self} cannot train: expected --steps >= 1, --batch >= 2, --au-weight >= 0, warm-up and rate above 0"
            )


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands."""

    step: int
    steps: int
    loss: float
    """Mean of the last steps, the auxiliary task included."""
    accuracy: float
    """On the training batches of the last steps."""


class ContractionTask(nn.Module):
    """Which units contract, how much and on which side, read linearly off the features the classifier sees.

    Emotions are coarse: lip corners pulled up are happiness and pulled out are not. Learning to measure the units
    makes a small corpus go further. The task is thrown away after training.
    """

    def __init__(self, network: AnyNetwork) -> None:
        super().__init__()
        classify = network.head.classify
        self.read = nn.Linear(classify.in_features, 2 * len(UNITS))
        self._features: Tensor | None = None
        self._hook = classify.register_forward_pre_hook(self._remember)

    def _remember(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._features = inputs[0]

    def loss(self, contractions: Tensor) -> Tensor:
        """Mean squared error over units and sides, in units of ``_TYPICAL_PERCENT_IOD``.

        Args:
            contractions: (B, 2, U) percent of the inter-ocular distance, of the batch the network saw last.

        Raises:
            ContractError: before the network has seen anything.
        """
        if self._features is None:
            raise ContractError("the auxiliary task has seen no batch; run the network first")
        read = self.read(self._features)  # (B, 2U)
        return nn.functional.mse_loss(read, contractions.flatten(1) / _TYPICAL_PERCENT_IOD)

    def detach(self) -> None:
        """Leave the network as it was found."""
        self._hook.remove()


def fit(fused: Recognizer, clips: Dataset[Any], spec: FitSpec, on_step: Callable[[Progress], None]) -> None:
    """Train ``fused.network`` in place, which then stands in evaluation mode.

    Args:
        fused: the network and what belongs around it.
        clips: samples of ``tsfmicro.training.corpus``: pairs, or windows for FDP.
        spec: how long and how fast.
        on_step: called after every batch.

    Raises:
        ContractError: if ``clips`` holds fewer than ``spec.steps`` batches.
    """
    loader = DataLoader(clips, batch_size=spec.batch, num_workers=spec.workers, drop_last=True)
    if len(loader) < spec.steps:
        raise ContractError(f"the corpus holds {len(loader)} batches of {spec.batch}; --steps {spec.steps} needs more")
    auxiliary = ContractionTask(fused.network) if spec.au_weight > 0 else None
    learned = [*fused.network.parameters(), *(auxiliary.parameters() if auxiliary else ())]
    optimiser = torch.optim.AdamW(learned, lr=spec.learning_rate, weight_decay=spec.weight_decay)

    def rate(step: int) -> float:
        return min((step + 1) / spec.warmup_steps, 1.0) * (1 - step / spec.steps)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    fused.network.train()
    loss_average, accuracy_average = 0.0, 0.0
    for step, (*views, truth, contractions) in enumerate(loader):
        loss, logits = fused.loss(torch.stack(views, dim=1), truth)
        if auxiliary is not None:
            loss = loss + spec.au_weight * auxiliary.loss(contractions)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(fused.network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        keep = min(step / (step + 1), 0.95)
        hit = float((logits.argmax(1) == truth).float().mean())
        loss_average = keep * loss_average + (1 - keep) * float(loss.detach())
        accuracy_average = keep * accuracy_average + (1 - keep) * hit
        on_step(Progress(step + 1, spec.steps, loss_average, accuracy_average))
        if step + 1 == spec.steps:
            break
    if auxiliary is not None:
        auxiliary.detach()
    fused.network.eval()
