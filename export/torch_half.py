"""The float16 form of a network in torch, for what compiles the network itself instead of its graph.

What stays float32 is what does in the graph's float16 form: norms, the classifier, and of FDP what tells frames apart
(``window_half``). Softmax is what ``scaled_dot_product_attention`` makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tsfmicro.models.fdp.frames import PatchEmbedding
from tsfmicro.models.fdp.fused import FusedWindow
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.runners.precision import may_be_float32

Fused: TypeAlias = FusedRecognizer | FusedWindow
"""What takes uint8 crops and gives probabilities."""

_NORMS = (nn.LayerNorm, nn.BatchNorm2d)
_MATRIX_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def in_half(fused: Fused) -> None:
    """Turn the network to float16 in place, in evaluation mode; what prepares the crops is float32 as before.

    Batch norms behind a convolution become part of it. No number of a part that stays float32 is rounded.
    """
    _fold_batch_norms(fused.network)
    for name, module in fused.network.named_modules():
        whole = isinstance(module, _NORMS) or may_be_float32(name)
        if not whole:
            _round(module)
        if whole or isinstance(module, _MATRIX_LAYERS):
            module.register_forward_pre_hook(_taking(torch.float32 if whole else torch.float16))
        if isinstance(module, PatchEmbedding):  # blocks add to this: the sum of float32 and float16 is float32
            module.register_forward_hook(lambda _, inputs, embedded: embedded.float())


def _round(module: nn.Module) -> None:
    """Its own numbers, not those of the modules in it."""
    for parameter in module.parameters(recurse=False):
        parameter.data = parameter.data.half()
    for name, buffer in list(module.named_buffers(recurse=False)):
        if buffer.is_floating_point():
            setattr(module, name, buffer.half())


def _taking(dtype: torch.dtype) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    def cast(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(x.to(dtype) for x in inputs)

    return cast


def _fold_batch_norms(network: nn.Module) -> None:
    """As ``half.fold_batch_norms`` does to the graph."""
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for place, (first, second) in enumerate(pairwise(sequence)):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                sequence[place], sequence[place + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
