"""Runs an engine of the bundle on a graphics card, once everything about the engine has been checked.

In this order, so that whatever can be told without a card is told without one: the sidecar and the bundle, the version
of the runtime, the card, and then, unless the sidecar says that it was done on such a card, whether the engine computes
what the float32 graph computes in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tsfmicro.bundle import Bundle
from tsfmicro.closing import Closing
from tsfmicro.errors import BackendError, ContractError, ParityError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.contract import RunnerOutput, require_crops
from tsfmicro.runners.cuda import Card, Cuda
from tsfmicro.runners.engine_card import EngineCard, engine_file, engines_of, read_card, rebuild_command
from tsfmicro.runners.parity import Parity, Tolerance, compare, probe_pairs
from tsfmicro.runners.precision import Precision
from tsfmicro.runners.tensorrt_engine import MODULES, Engine, layout_of, runtime_module
from tsfmicro.values import Float32Array, UInt8Array

PROBES, PROBE_SEED = 8, 7

Reference = Callable[[UInt8Array, UInt8Array], Float32Array]
"""Crops in, logits out: what an engine is compared with."""


@dataclass(frozen=True, slots=True, eq=False)
class CheckedEngine:
    """An engine that may be used."""

    engine: Engine
    precision: str
    device: str
    """Name of the card."""


def open_engine(bundle: Bundle, kind: str, gap: Callable[[Engine], Parity]) -> CheckedEngine:
    """Check and load the engine of a bundle.

    Args:
        bundle: verified.
        kind: ``"tensorrt"``, ``"tensorrt-rtx"`` or ``"torch-tensorrt"``.
        gap: how far the engine is from the float32 graph; asked only where it was not proved on a card like this one.

    Raises:
        BackendError: if there is no such engine or it cannot run here, with the command that builds it.
        BundleError: if its sidecar is missing or cannot be read.
        ParityError: if it does not compute what the graph computes.
    """
    name = usable_engine(bundle, kind)
    card = read_card(bundle, name)
    cuda = Cuda()
    try:
        here = cuda.card()
        require_card(bundle, card, here)
        engine = Engine(bundle.read(name), kind, layout_of(bundle), card.batch_profile[2], cuda)
    except BaseException:
        cuda.close()
        raise
    if not card.is_proven_on(here.name, card.runtime_version):
        try:
            _require_near(bundle, card, here, gap(engine))
        except BaseException:
            engine.close()
            raise
    return CheckedEngine(engine, card.precision_actual, here.name)


def _require_near(bundle: Bundle, card: EngineCard, here: Card, parity: Parity) -> None:
    if not parity.within(Tolerance.of(Precision(card.precision_actual))):
        again = rebuild_command(bundle, card.kind, Precision(card.precision_requested))
        raise ParityError(
            f"the engine does not compute what the network computes on this {here.name}: {parity}. It is not "
            f"used; type `{again}` on this machine, or --backend onnxruntime"
        )


class TensorRtRunner(Closing):
    """Runs an engine of kind ``backend``. :meth:`infer` may be called from several threads at once."""

    def __init__(self, bundle: Bundle, kind: str, reference: Reference) -> None:
        """Check and load the engine.

        Args:
            bundle: verified.
            kind: ``"tensorrt"``, ``"tensorrt-rtx"`` or ``"torch-tensorrt"``.
            reference: asked only where the engine was not proved on a card like this one.

        Raises:
            BackendError: if there is no such engine or it cannot run here, with the command that builds it.
            BundleError: if its sidecar is missing or cannot be read.
            ParityError: if it does not compute what the reference computes.
        """

        def gap(engine: Engine) -> Parity:
            onset, apex = probe_pairs(PROBES, PROBE_SEED)
            logits = engine.run(onset, apex)[1]
            return compare(reference(onset, apex), logits, bundle.manifest.calibration.min_probability)

        checked = open_engine(bundle, kind, gap)
        self.backend, self.precision, self.device = kind, checked.precision, checked.device
        self.labels: tuple[str, ...] = bundle.manifest.labels
        self.preprocess: PreprocessSpec = bundle.manifest.preprocess
        self._engine: Engine = checked.engine
        self._closed = False

    def __repr__(self) -> str:
        return (
            f"TensorRtRunner(backend={self.backend!r}, device={self.device!r}, precision={self.precision!r}, "
            f"labels={self.labels})"
        )

    def infer(self, onset: UInt8Array, apex: UInt8Array) -> RunnerOutput:
        """See ``Runner.infer``.

        Raises:
            ContractError: on wrong crops, or after :meth:`close`.
            BackendError: if the card fails at it.
        """
        require_crops(onset, apex, self.preprocess)
        if self._closed:
            raise ContractError("the runner is closed; load the bundle again")
        probabilities, logits = self._engine.run(onset, apex)
        return RunnerOutput(probabilities=probabilities, logits=logits)

    def close(self) -> None:
        """Free the card. Closing twice is harmless."""
        self._closed = True
        self._engine.close()


def usable_engine(bundle: Bundle, kind: str) -> str:
    """Name of the engine of this kind that fits the bundle and the installed runtime; nothing is loaded.

    Raises:
        BackendError: if there is none, it is stale, or another version of the runtime is installed.
        BundleError: if its sidecar is missing or cannot be read.
    """
    names = engines_of(bundle, kind)
    if not names:
        again = rebuild_command(bundle, kind, Precision.FLOAT16)
        missing = engine_file(kind, Precision.FLOAT16)
        raise BackendError(
            f"backend {kind} needs an engine, and {bundle.path} has no {missing}; type `{again}`, or use "
            "--backend onnxruntime"
        )
    card = read_card(bundle, names[0])
    version = str(runtime_module(kind).__version__)
    if card.runtime_version != version:
        again = rebuild_command(bundle, kind, Precision(card.precision_requested))
        raise BackendError(
            f"{bundle.path / names[0]} was built with {MODULES[kind]} {card.runtime_version}, and {version} is "
            f"installed; type `{again}`"
        )
    return names[0]


def require_card(bundle: Bundle, card: EngineCard, here: Card) -> None:
    """Check that an engine was built for this card.

    Raises:
        BackendError: if not, with the command that builds it anew.
    """
    if card.compute_capabilities and here.capability not in card.compute_capabilities:
        again = rebuild_command(bundle, card.kind, Precision(card.precision_requested))
        raise BackendError(
            f"the engine is for compute capability {', '.join(card.compute_capabilities)}, and the {here.name} has "
            f"{here.capability}; type `{again}` on this machine"
        )
