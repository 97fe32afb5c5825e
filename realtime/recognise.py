"""From two crops to a label: the only place in the live path that calls a network."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from tsfmicro.bundle import Calibration
from tsfmicro.preprocess import Preprocessor
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.runners import Runner, recognitions
from tsfmicro.values import CropPair, Recognition

LOW_MAGNITUDE = "low_magnitude"
"""Abstention: the face moved less than in any case the bundle was validated on."""


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

    def recognise(self, crops: CropPair, magnitude_percent_iod: float) -> Recognition:
        """Label one event, or abstain: also from a movement smaller than any the bundle was validated on."""
        with self.clock.stage("recognise"):
            output = self.runner.infer(np.ascontiguousarray(crops.onset[None]), np.ascontiguousarray(crops.apex[None]))
        recognition = recognitions(output, self.runner.labels, self.calibration)[0]
        smallest = self.calibration.min_magnitude_percent_iod
        if smallest is not None and magnitude_percent_iod < smallest:
            return replace(recognition, abstain=(*recognition.abstain, LOW_MAGNITUDE))
        return recognition
