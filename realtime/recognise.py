"""From crops to a label: here, and in ``window_recognise``, the live path calls a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from tsfmicro.bundle import Calibration
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.runners import Runner, RunnerOutput, recognitions
from tsfmicro.values import CropPair, Recognition, UInt8Array

LOW_MAGNITUDE = "low_magnitude"
"""Abstention: the face moved less than in any case the bundle was validated on."""
LARGEST_BATCH = 16
"""Pairs handed to a runner at once: what engines are built for."""


@dataclass(frozen=True, slots=True, eq=False)
class Movement:
    """What the recogniser is asked about."""

    crops: CropPair
    magnitude_percent_iod: float
    """Peak displacement of its strongest region."""
    window: UInt8Array | None = None
    """(T, S, S, 3) RGB, frames from onset to offset; None where no recogniser asked for them."""
    key: tuple[str, str] | None = None
    """Source and event id of the micro-expression; None for a window that nobody spotted."""


class Namer(Protocol):
    """Whatever names movements: one recogniser, or several that are averaged."""

    @property
    def preprocess(self) -> PreprocessSpec:
        """How crops must be made."""

    @property
    def window_frames(self) -> int | None:
        """Frames of the window it wants of each movement; None where onset and apex will do."""

    @property
    def backend(self) -> str:
        """What runs it."""

    @property
    def device(self) -> str:
        """What it computes on."""

    def recognise(self, movements: Sequence[Movement]) -> list[Recognition]:
        """Label each movement, or abstain."""


@dataclass(frozen=True, slots=True)
class Recogniser:
    """A loaded bundle. Its preprocessing is the only one there is: no default can drift from it."""

    runner: Runner
    calibration: Calibration
    clock: StageClock = field(default_factory=StageClock)

    @property
    def preprocess(self) -> PreprocessSpec:
        """How the bundle wants its crops."""
        return self.runner.preprocess

    @property
    def window_frames(self) -> None:
        """None: onset and apex are enough."""
        return None

    @property
    def backend(self) -> str:
        """Runtime that was chosen."""
        return self.runner.backend

    @property
    def device(self) -> str:
        """What it computes on."""
        return self.runner.device

    def recognise(self, movements: Sequence[Movement]) -> list[Recognition]:
        """Label each movement, or abstain: also from one smaller than any the bundle was validated on.

        All of them go through the network together, up to a batch it was built for.
        """

        def infer(batch: Sequence[Movement]) -> RunnerOutput:
            with self.clock.stage("recognise"):
                return self.runner.infer(
                    np.stack([movement.crops.onset for movement in batch]),
                    np.stack([movement.crops.apex for movement in batch]),
                )

        return recognise_in_batches(movements, infer, self.runner.labels, self.calibration)


def recognise_in_batches(
    movements: Sequence[Movement],
    infer: Callable[[Sequence[Movement]], RunnerOutput],
    labels: tuple[str, ...],
    calibration: Calibration,
) -> list[Recognition]:
    """Label movements, at most :data:`LARGEST_BATCH` at once, and abstain from those that are too small."""
    answers: list[Recognition] = []
    for first in range(0, len(movements), LARGEST_BATCH):
        batch = movements[first : first + LARGEST_BATCH]
        found = recognitions(infer(batch), labels, calibration)
        answers += [_doubted(one, movement, calibration) for one, movement in zip(found, batch, strict=True)]
    return answers


def _doubted(recognition: Recognition, movement: Movement, calibration: Calibration) -> Recognition:
    """The same, or an abstention where the movement is smaller than any the bundle was validated on."""
    smallest = calibration.min_magnitude_percent_iod
    if smallest is not None and movement.magnitude_percent_iod < smallest:
        return replace(recognition, abstain=(*recognition.abstain, LOW_MAGNITUDE))
    return recognition
