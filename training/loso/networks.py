"""The network of a run: its configuration, its initial weights, and the device it is trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tsfmicro.bundle import WEIGHTS_FILE, Bundle
from tsfmicro.errors import BackendError, UsageError
from tsfmicro.models.card import AnyConfig
from tsfmicro.models.fdp.config import FdpConfig
from tsfmicro.models.recogniser import AnyNetwork, build_any
from tsfmicro.training.choice import Fusion, Model, Size, network_config
from tsfmicro.training.crops.cache import CacheIndex
from tsfmicro.training.loso.learn import MakeNetwork
from tsfmicro.training.loso.spec import LosoSpec

_LAST_LAYER = "head.classify."


def model_config(spec: LosoSpec, classes: int) -> AnyConfig:
    """The network of a run.

    Raises:
        UsageError: if there is no such member of the family.
    """
    return network_config(Model(spec.model), Fusion(spec.fusion), Size(spec.size), list(spec.options), classes)


def window_of(config: AnyConfig) -> int | None:
    """Frames of the windows a network looks at; None where it looks at onset and apex."""
    return config.frames if isinstance(config, FdpConfig) else None


def require_views(config: AnyConfig, index: CacheIndex) -> None:
    """Check that a cache holds what the network looks at.

    Raises:
        UsageError: if it holds pairs for FDP, windows for another network, or windows of another length.
    """
    needs = window_of(config)
    holds = index.views if index.is_of_windows else None
    if needs != holds:
        has, wanted = ("onset and apex" if n is None else f"windows of {n} frames" for n in (holds, needs))
        option = "" if needs is None else f" --window {needs}"
        raise UsageError(f"the crops are {has}, {config.model} takes {wanted}; cut them with tsf-train prepare{option}")


def network_maker(config: AnyConfig, labels: tuple[str, ...], start: Bundle | None) -> MakeNetwork:
    """Builds the network, with the weights of ``start`` where there is one.

    Another fusion of the same network gives the parts that both have. The last layer of ``start`` is taken along only
    where it answers with the same classes in the same order.

    Raises:
        UsageError: if ``start`` is another network.
    """
    if start is None:
        return lambda: build_any(config)
    card = start.manifest.model
    if (card.name, card.size, card.options) != (config.model, config.size, config.options):
        raise UsageError(
            f"{start.path} is {card.name} {card.size} {card.fusion}; the network to be trained is {config.model} "
            f"{config.size} {config.fusion}: name another --size, or leave --init out"
        )
    with torch.device("meta"):
        has = frozenset(build_any(config).state_dict())
    keeps_last = start.manifest.labels == labels
    weights = {
        name: torch.from_numpy(np.array(tensor))
        for name, tensor in start.weights().items()
        if name in has and (keeps_last or not name.startswith(_LAST_LAYER))
    }

    def make() -> AnyNetwork:
        network = build_any(config)
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
        "network": f"{manifest.model.name} {manifest.model.size} {manifest.model.fusion}",
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
