"""The loss of a training step and its gradient through torch's compiler, once for all folds of a run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from tsfmicro.errors import BackendError
from tsfmicro.models.interface import Recognizer
from tsfmicro.training.loso.spec import LosoSpec, Step

Loss = Callable[[Recognizer, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From network, crops and class indices to loss and logits, as ``Recognizer.loss``."""


def eager_loss(fused: Recognizer, crops: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Operator by operator."""
    return fused.loss(crops, truth)


class CompiledLoss:
    """What torch's compiler makes of :func:`eager_loss`.

    Weights are arguments of what is compiled, so every fold's network takes the same code. The last batch of an epoch
    is of another size in every fold; it is not worth a compilation and goes operator by operator.

    Args:
        batch: pairs of a full batch.
        backend: of ``torch.compile``.
    """

    def __init__(self, batch: int, backend: str | Callable[..., Any] = "inductor") -> None:
        self._batch = batch
        self._compiled: Loss = torch.compile(eager_loss, dynamic=False, backend=backend)

    def __call__(self, fused: Recognizer, crops: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Recognizer.loss``."""
        loss = self._compiled if len(truth) == self._batch else eager_loss
        return loss(fused, crops, truth)


@cache
def _compiled_loss(batch: int) -> CompiledLoss:
    return CompiledLoss(batch)


def loss_of(spec: LosoSpec) -> Loss:
    """How a run computes its loss; the same function for all of its folds."""
    return _compiled_loss(spec.batch) if spec.step is Step.COMPILED else eager_loss


def require_compiler(spec: LosoSpec, device: torch.device) -> None:
    """Check, where a run is to be compiled, that something can be: not every fold should have to find out.

    Raises:
        BackendError: if there is no working compiler.
    """
    if spec.step is not Step.COMPILED:
        return
    try:
        torch.compile(torch.neg)(torch.ones(8, device=device))
    except Exception as error:  # whatever the compiler or the C++ compiler behind it raise
        said = (str(error).strip() or repr(error)).splitlines()[0]
        raise BackendError(f"--compile cannot compile here: {said}; install a C++ compiler, or leave it out") from error
