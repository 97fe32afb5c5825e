"""Runs an engine of an FDP bundle on a graphics card, checked as ``tensorrt_runner`` checks those of pairs."""

from __future__ import annotations

from collections.abc import Callable

from tsfmicro.bundle import Bundle
from tsfmicro.closing import Closing
from tsfmicro.errors import ContractError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.contract import RunnerOutput
from tsfmicro.runners.parity import Parity, compare, probe_windows
from tsfmicro.runners.tensorrt_engine import Engine
from tsfmicro.runners.tensorrt_runner import PROBE_SEED, PROBES, open_engine
from tsfmicro.runners.window_contract import WindowOutput, require_windows
from tsfmicro.values import Float32Array, UInt8Array

WindowReference = Callable[[UInt8Array], Float32Array]
"""Windows in, logits out: what an engine is compared with."""


class TensorRtWindowRunner(Closing):
    """Runs an engine of kind ``backend``. :meth:`infer` may be called from several threads at once."""

    def __init__(self, bundle: Bundle, kind: str, reference: WindowReference) -> None:
        """Check and load the engine.

        Args:
            bundle: verified, of an FDP.
            kind: ``"tensorrt"``, ``"tensorrt-rtx"`` or ``"torch-tensorrt"``.
            reference: asked only where the engine was not proved on a card like this one.

        Raises:
            BackendError, BundleError, ParityError: see ``open_engine``.
        """
        self.frames: int = bundle.manifest.model.window_config().frames

        def gap(engine: Engine) -> Parity:
            windows = probe_windows(PROBES, self.frames, PROBE_SEED)
            logits = engine.run(windows)[1]
            return compare(reference(windows), logits, bundle.manifest.calibration.min_probability)

        checked = open_engine(bundle, kind, gap)
        self.backend, self.precision, self.device = kind, checked.precision, checked.device
        self.labels: tuple[str, ...] = bundle.manifest.labels
        self.preprocess: PreprocessSpec = bundle.manifest.preprocess
        self._engine: Engine | None = checked.engine

    def __repr__(self) -> str:
        return (
            f"TensorRtWindowRunner(backend={self.backend!r}, device={self.device!r}, precision={self.precision!r}, "
            f"frames={self.frames}, labels={self.labels})"
        )

    def infer(self, frames: UInt8Array) -> WindowOutput:
        """See ``WindowRunner.infer``.

        Raises:
            ContractError: on wrong crops, or after :meth:`close`.
            BackendError: if the card fails at it.
        """
        require_windows(frames, self.frames, self.preprocess)
        if self._engine is None:
            raise ContractError("the runner is closed; load the bundle again")
        probabilities, logits, *images = self._engine.run(frames)
        return WindowOutput(RunnerOutput(probabilities=probabilities, logits=logits), images[0] if images else None)

    def close(self) -> None:
        """Free the card. Closing twice is harmless."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
