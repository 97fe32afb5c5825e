"""Training on the samples of one fold. Nothing here is ever given the held-out person's labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tsfmicro.models.recogniser import AnyNetwork, recogniser
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.training.loso.augment import augmented
from tsfmicro.training.loso.compiled import loss_of
from tsfmicro.training.loso.keyframes import pairs_of
from tsfmicro.training.loso.samples import Samples
from tsfmicro.training.loso.spec import LosoSpec, Precision, Select, derived_seed
from tsfmicro.values import Float64Array

MakeNetwork = Callable[[], AnyNetwork]
"""Builds the network with its initial weights; torch is seeded before it is called."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training samples."""

    number: int
    """From 1."""
    loss: float
    accuracy: float
    inner_loss: float | None = None
    """Cross-entropy of the inner validation people; None without them."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values: dict[str, Any] = {
            "epoch": self.number,
            "loss": round(self.loss, 6),
            "accuracy": round(self.accuracy, 6),
        }
        return values if self.inner_loss is None else {**values, "inner_loss": round(self.inner_loss, 6)}


class Learner:
    """One network being trained on one set of samples, epoch by epoch.

    Args:
        samples: all it may see.
        spec: how to train.
        preprocess: normalisation of the crops.
        make_network: builds the network.
        seed: with ``name``, decides everything random.
        name: of the fold.
    """

    def __init__(
        self,
        samples: Samples,
        spec: LosoSpec,
        preprocess: PreprocessSpec,
        make_network: MakeNetwork,
        *,
        seed: int,
        name: str,
    ) -> None:
        self._samples, self._spec, self._mean = samples, spec, preprocess.mean
        self._device = samples.crops.device
        torch.manual_seed(derived_seed(seed, "weights"))
        network = make_network()
        network.to(device=self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.fused = recogniser(network, preprocess.mean, preprocess.std, weights=spec.loss).to(self._device)
        # Stochastic depth draws from the global generator.
        torch.manual_seed(derived_seed(seed, name, "depth"))
        self._random = torch.Generator().manual_seed(derived_seed(seed, name, "batches"))
        # Apart from the batches, so that these are the same whether key frames are drawn or not.
        frames = torch.Generator().manual_seed(derived_seed(seed, name, "key frames"))
        self._pairs = pairs_of(samples, spec.key_frames, frames)
        self._optimiser = torch.optim.AdamW(network.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay)
        self._loss = loss_of(spec)
        self._epoch = 0

    def epoch(self) -> Epoch:
        """Go through all samples once, in a new order."""
        spec, network = self._spec, self.fused.network
        network.train()
        order = torch.randperm(len(self._samples), generator=self._random).to(self._device)
        loss_sum, hits = 0.0, 0
        for part in torch.split(order, spec.batch):
            crops = augmented(self._pairs(part), spec.augment, self._random, self._mean)
            truth = self._samples.labels[part]
            with torch.autocast(self._device.type, torch.bfloat16, enabled=spec.precision is Precision.BF16):
                loss, logits = self._loss(self.fused, crops, truth)
            self._optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self._optimiser.step()
            loss_sum += float(loss.detach()) * len(part)
            hits += int((logits.argmax(1) == truth).sum())
        self._epoch += 1
        if self._epoch <= spec.decay_epochs:
            for group in self._optimiser.param_groups:
                group["lr"] *= spec.decay
        return Epoch(self._epoch, loss_sum / len(self._samples), hits / len(self._samples))

    def logits(self, crops: Tensor) -> Float64Array:
        """(N, C) of (N, V, S, S, 3) uint8 crops, in evaluation mode, float32, unaugmented."""
        self.fused.network.eval()
        with torch.inference_mode():
            rows = [self.fused.logits(part).double().cpu().numpy() for part in torch.split(crops, self._spec.batch)]
        return np.concatenate(rows)


@dataclass(frozen=True, slots=True)
class Learned:
    """A trained fold."""

    learner: Learner
    chosen_epoch: int
    curve: tuple[Epoch, ...]


def learn(learner: Learner, spec: LosoSpec, inner: Samples | None) -> Learned:
    """Train to the end, or to the epoch that the inner validation people choose."""
    network = learner.fused.network
    curve: list[Epoch] = []
    best, best_weights, chosen = float("inf"), None, spec.epochs
    for _ in range(spec.epochs):
        epoch = learner.epoch()
        if inner is not None:
            logits = torch.from_numpy(learner.logits(inner.crops))
            loss = float(nn.functional.cross_entropy(logits, inner.labels.cpu()))
            epoch = Epoch(epoch.number, epoch.loss, epoch.accuracy, loss)
            if loss < best:
                best, chosen = loss, epoch.number
                best_weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        curve.append(epoch)
    if best_weights is not None:
        network.load_state_dict(best_weights)
    return Learned(learner, chosen, tuple(curve))


def split_inner(train: Samples, spec: LosoSpec, *, seed: int, name: str) -> tuple[Samples, Samples | None]:
    """Training samples and, where the epoch is chosen so, those of a few people taken out of them.

    Who is taken out depends on seed and fold alone, never on anybody's labels.
    """
    people = train.subjects
    if spec.select is not Select.INNER or len(people) <= spec.inner_subjects:
        return train, None
    rng = np.random.default_rng(derived_seed(seed, name, "inner"))
    taken = sorted(rng.choice(len(people), spec.inner_subjects, replace=False).tolist())
    inside = [people[i] for i in taken]
    return train.of([person for person in people if person not in inside]), train.of(inside)


def shuffled(train: Samples, *, seed: int, name: str) -> Samples:
    """The same samples with their labels dealt out anew: a control that may learn everything but the truth."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(derived_seed(seed, name, "shuffle")))
    return replace(train, labels=train.labels[order.to(train.labels.device)])


def weights_digest(network: nn.Module) -> str:
    """SHA-256 over names and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
