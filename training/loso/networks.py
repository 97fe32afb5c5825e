"""The network of a run: its configuration, its initial weights, and the device it is trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tsfmicro.bundle import WEIGHTS_FILE, Bundle
from tsfmicro.errors import BackendError, ContractError, UsageError
from tsfmicro.models.card import ModelCard
from tsfmicro.models.config import ModelConfig
from tsfmicro.models.interface import Network
from tsfmicro.models.network import build
from tsfmicro.training.loso.learn import MakeNetwork

_LAST_LAYER = "head.classify."


def model_config(size: str, fusion: str, classes: int) -> ModelConfig:
    """The configuration that was asked for.

    Raises:
        UsageError: if there is no such member of the family.
    """
    try:
        return ModelConfig(size=size, fusion=fusion, classes=classes)
    except ContractError as error:
        raise UsageError(f"--size {size} --fusion {fusion}: {error}; tsf-train models lists what there is") from error


def network_maker(config: ModelConfig, labels: tuple[str, ...], start: Bundle | None) -> MakeNetwork:
    """Builds the network, with the weights of ``start`` where there is one.

    The last layer of ``start`` is taken along only where it answers with the same classes in the same order.

    Raises:
        UsageError: if ``start`` is another network.
    """
    if start is None:
        return lambda: build(config)
    card = start.manifest.model
    if replace(card, classes=config.classes) != ModelCard.of(config):
        raise UsageError(
            f"{start.path} is {card.name} {card.size} {card.fusion}; the network to be trained is {config.model} "
            f"{config.size} {config.fusion}: name another --size, or leave --init out"
        )
    weights = {name: torch.from_numpy(np.array(tensor)) for name, tensor in start.weights().items()}
    if start.manifest.labels != labels:
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith(_LAST_LAYER)}

    def make() -> Network:
        network = build(config)
        network.load_state_dict({**network.state_dict(), **weights})
        return network

    return make


def pretraining_note(start: Bundle | None) -> dict[str, Any] | None:
    """What every report says about the initial weights."""
    if start is None:
        return None
    manifest = start.manifest
    return {
        "bundle": start.path.name,
        "weights_sha256": manifest.files[WEIGHTS_FILE],
        "data": manifest.provenance.data,
        "protocol": manifest.protocol_id,
    }


def device_of(name: str) -> torch.device:
    """The device that was asked for.

    Raises:
        BackendError: if it is not there; there is no silent fallback.
    """
    if name == "cpu":
        return torch.device("cpu")
    if name == "cuda":
        if not torch.cuda.is_available():
            raise BackendError("--device cuda: torch finds no CUDA device; type --device cpu, or install a CUDA torch")
        return torch.device("cuda")
    raise UsageError(f"--device is {name!r}; expected cpu or cuda")
