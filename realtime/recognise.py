"""From two crops to a label: the only place in the live path that calls a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tsfmicro.bundle import Calibration
from tsfmicro.preprocess import Preprocessor
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.runners import Runner, recognitions
from tsfmicro.values import CropPair, Recognition

LOW_MAGNITUDE = "low_magnitude"
"""Abstention: the face moved less than in any case the bundle was validated on."""
_LARGEST_BATCH = 16
"""Pairs handed to a runner at once: what engines are built for."""


@dataclass(frozen=True, slots=True, eq=False)
class Movement:
    """What the recogniser is asked about."""

    crops: CropPair
    magnitude_percent_iod: float
    """Peak displacement of its strongest region."""


@dataclass(frozen=True, slots=True)
class Recogniser:
    """A loaded bundle. Its preprocessing is the only one there is: no default can drift from it."""

    runner: Runner
    calibration: Calibration
    clock: StageClock = field(default_factory=StageClock)

    @property
    def preprocessor(self) -> Preprocessor:
        """How the bundle wants its crops."""
        return Preprocessor(self.runner.preprocess)

    def recognise(self, movements: Sequence[Movement]) -> list[Recognition]:
        """Label each movement, or abstain: also from one smaller than any the bundle was validated on.

        All of them go through the network together, up to a batch it was built for.
        """
        answers: list[Recognition] = []
        for first in range(0, len(movements), _LARGEST_BATCH):
            batch = movements[first : first + _LARGEST_BATCH]
            with self.clock.stage("recognise"):
                output = self.runner.infer(
                    np.stack([movement.crops.onset for movement in batch]),
                    np.stack([movement.crops.apex for movement in batch]),
                )
            found = recognitions(output, self.runner.labels, self.calibration)
            answers += [self._doubt(one, movement) for one, movement in zip(found, batch, strict=True)]
        return answers

    def _doubt(self, recognition: Recognition, movement: Movement) -> Recognition:
        smallest = self.calibration.min_magnitude_percent_iod
        if smallest is not None and movement.magnitude_percent_iod < smallest:
            return replace(recognition, abstain=(*recognition.abstain, LOW_MAGNITUDE))
        return recognition
