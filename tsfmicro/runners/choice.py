"""Which backend ``auto`` takes, and why. What can run is found out without loading anything."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from tsfmicro.bundle import Bundle
from tsfmicro.errors import TsfError
from tsfmicro.runners.cuda import card_here
from tsfmicro.runners.engine_card import ENGINE_KINDS, engines_of, read_card
from tsfmicro.runners.tensorrt_engine import MODULES
from tsfmicro.runners.tensorrt_runner import require_card, usable_engine

DEFAULT = "onnxruntime"


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend and the reason it was taken."""

    backend: str
    why: str
    """One sentence without a full stop, for people."""

    def __str__(self) -> str:
        return f"{self.backend}: {self.why}"


def choose(bundle: Bundle) -> Choice:
    """What ``auto`` is here: an engine of the bundle that fits this card and runtime, otherwise ONNX Runtime.

    An engine that lies in the bundle and cannot be used is named with the reason; it is not looked at again.
    """
    present = [kind for kind in ENGINE_KINDS if engines_of(bundle, kind)]
    if not present:
        return Choice(DEFAULT, "the bundle has no engine; this is its graph in float32, as it was exported")
    here = card_here()
    if here is None:
        return Choice(DEFAULT, f"the bundle has an engine ({', '.join(present)}), but there is no NVIDIA card here")
    refused = []
    for kind in present:
        try:
            card = read_card(bundle, usable_engine(bundle, kind))
            require_card(bundle, card, here)
        except TsfError as error:
            refused.append(f"{kind}: {error}")
            continue
        return Choice(kind, f"its {card.precision_actual} engine fits this runtime and the {here.name}")
    return Choice(DEFAULT, f"no engine of the bundle can be used: {'; '.join(refused)}")


def installed_backends() -> tuple[str, ...]:
    """Backends whose runtime is installed and has what it computes on, the default first."""
    on_cpu = {"onnxruntime": "onnxruntime", "openvino": "openvino", "torch": "torch", "torch-compiled": "torch"}
    found = [name for name, module in on_cpu.items() if find_spec(module) is not None]
    if card_here() is not None:
        found += [kind for kind in ENGINE_KINDS if find_spec(MODULES[kind]) is not None]
        found += ["cuda"] if find_spec("torch") is not None else []
    return tuple(found)
