"""What runners of recognisers that take windows of frames (FDP) offer.

Beside the runners of pairs, not among them: what goes in differs, and so does what else comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tsfmicro.bundle import Bundle
from tsfmicro.errors import BundleError, ContractError
from tsfmicro.models.fdp.config import WINDOW_PX, FdpConfig
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.runners.contract import LoadedBundle, RunnerOutput
from tsfmicro.values import Float32Array, UInt8Array, require_array


@dataclass(frozen=True, slots=True, eq=False)
class WindowOutput:
    """What a recogniser returned for B windows.

    Raises:
        ContractError: when built with dynamic images of another shape, or that are not finite.
    """

    answers: RunnerOutput
    dynamic_images: Float32Array | None
    """(B, 64, 64) in 0..1: what moved when, as the network draws it; None from a network that draws none."""

    def __post_init__(self) -> None:
        if self.dynamic_images is not None:
            shape = (len(self.answers.logits), WINDOW_PX, WINDOW_PX)
            require_array("WindowOutput.dynamic_images", self.dynamic_images, shape, np.float32)
            if not np.all(np.isfinite(self.dynamic_images)):
                raise ContractError("WindowOutput.dynamic_images hold NaN or infinity; the weights are broken")


class WindowRunner(LoadedBundle, Protocol):
    """A loaded recogniser of windows. Leave the ``with`` block, or call :meth:`close`, to free what it holds."""

    @property
    def frames(self) -> int:
        """Frames of a window."""

    def infer(self, frames: UInt8Array) -> WindowOutput:
        """Recognise B windows.

        Args:
            frames: (B, T, S, S, 3) uint8 RGB crops as ``preprocess`` describes them, in the order of time, all held on
                the first; B at least 1.

        Raises:
            ContractError: on anything else, or after :meth:`close`.
        """


def require_windows(windows: UInt8Array, frames: int, preprocess: PreprocessSpec) -> None:
    """Check that these are (B, T, S, S, 3) uint8 crops, B at least 1.

    Raises:
        ContractError: saying what they are and what was expected.
    """
    side = preprocess.align.size_px
    require_array("frames of windows", windows, (None, frames, side, side, 3), np.uint8)
    if windows.shape[0] < 1:
        raise ContractError("frames hold 0 windows; expected at least one")


def window_config(bundle: Bundle) -> FdpConfig:
    """The network of a bundle.

    Raises:
        BundleError: if it holds no FDP.
    """
    try:
        return bundle.manifest.model.window_config()
    except ContractError as error:
        raise BundleError(f"{bundle.path}: {error}") from error
