"""What every runtime offers: pairs of crops in, calibrated probabilities out."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from tsfmicro.errors import ContractError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.values import Float32Array, UInt8Array, require_array


@dataclass(frozen=True, slots=True, eq=False)
class RunnerOutput:
    """What a recogniser returned for B pairs.

    Raises:
        ContractError: when built with wrong shapes or dtypes, with numbers that are not finite, or with
            probabilities that do not sum to 1.
    """

    probabilities: Float32Array
    """(B, C), calibrated; each row sums to 1."""
    logits: Float32Array
    """(B, C), already divided by the temperature: their softmax is ``probabilities``."""

    def __post_init__(self) -> None:
        require_array("RunnerOutput.probabilities", self.probabilities, (None, None), np.float32)
        require_array("RunnerOutput.logits", self.logits, self.probabilities.shape, np.float32)
        if not (np.all(np.isfinite(self.probabilities)) and np.all(np.isfinite(self.logits))):
            raise ContractError("RunnerOutput holds NaN or infinity; the weights or the backend are broken")
        sums = self.probabilities.sum(axis=1)
        if not np.all(np.abs(sums - 1) <= 1e-3) or np.any(self.probabilities < 0):
            raise ContractError(f"RunnerOutput.probabilities sum to {sums.tolist()}; expected 1, and none below 0")


class LoadedBundle(Protocol):
    """What every loaded recogniser says of itself, whatever it looks at."""

    @property
    def backend(self) -> str:
        """Runtime that was chosen, as accepted by what loaded it; never ``"auto"``."""

    @property
    def device(self) -> str:
        """What it computes on: ``"cpu"``, or the name of a card."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the columns of the output."""

    @property
    def preprocess(self) -> PreprocessSpec:
        """How crops must be made: the only place a caller gets a spec from."""

    def close(self) -> None:
        """Free the model. Closing twice is harmless."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Runner(LoadedBundle, Protocol):
    """A loaded recogniser of pairs. Leave the ``with`` block, or call :meth:`close`, to free what it holds."""

    def infer(self, onset: UInt8Array, apex: UInt8Array) -> RunnerOutput:
        """Recognise B pairs.

        Args:
            onset, apex: (B, S, S, 3) uint8 RGB crops as ``preprocess`` describes them, B at least 1.

        Raises:
            ContractError: on anything else, or after :meth:`close`.
        """


def require_crops(onset: UInt8Array, apex: UInt8Array, preprocess: PreprocessSpec) -> None:
    """Check that both are (B, S, S, 3) uint8 with the S of ``preprocess`` and the same B, at least 1.

    Raises:
        ContractError: naming the array, what it is and what was expected.
    """
    side = preprocess.align.size_px
    require_array("onset crops", onset, (None, side, side, 3), np.uint8)
    require_array("apex crops", apex, onset.shape, np.uint8)
    if onset.shape[0] < 1:
        raise ContractError("onset and apex crops hold 0 pairs; expected at least one")
