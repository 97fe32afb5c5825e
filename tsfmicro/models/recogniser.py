"""Any network with what belongs around it: pairs for TSFmicro and MMNet, windows for FDP."""

from __future__ import annotations

from collections.abc import Sequence

from tsfmicro.models.config import ModelConfig
from tsfmicro.models.fdp.config import FdpConfig, LossWeights
from tsfmicro.models.fdp.fused import FusedWindow
from tsfmicro.models.fdp.network import FDP, build_fdp
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.models.interface import Network, Recognizer
from tsfmicro.models.network import build

AnyNetwork = Network | FDP


def build_any(config: ModelConfig | FdpConfig) -> AnyNetwork:
    """A freshly initialised network of either kind, in training mode; seed torch first for a repeatable one."""
    return build_fdp(config) if isinstance(config, FdpConfig) else build(config)


def recogniser(
    network: AnyNetwork,
    mean: Sequence[float],
    std: Sequence[float],
    temperature: float = 1.0,
    weights: LossWeights | None = None,
) -> Recognizer:
    """The network with its normalisation, temperature and softmax.

    Args:
        network: in whatever mode the caller left it.
        mean, std: per RGB channel, of crops divided by 255.
        temperature: logits are divided by it.
        weights: of FDP's joint loss; the others have one part only.

    Raises:
        ContractError: on a mean or std that is not three numbers, a std or temperature that is not positive.
    """
    if isinstance(network, FDP):
        return FusedWindow(network, mean, std, temperature, weights)
    return FusedRecognizer(network, mean, std, temperature)
