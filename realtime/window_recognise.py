"""Naming without key frames (FDP), and several recognisers that are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from tsfmicro.align import AlignSpec, compose
from tsfmicro.bundle import Calibration
from tsfmicro.errors import ContractError, UsageError
from tsfmicro.motion import displacement
from tsfmicro.preprocess import Preprocessor, PreprocessSpec
from tsfmicro.realtime.recognise import LOW_MAGNITUDE, Movement, Namer, recognise_in_batches
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.spot import Finished
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.runners import LOW_PROBABILITY, RunnerOutput
from tsfmicro.runners.window import WindowRunner
from tsfmicro.values import Recognition, UInt8Array


def event_window(finished: Finished, frames: int, align: AlignSpec, preprocessor: Preprocessor) -> UInt8Array:
    """The frames of one movement, spread evenly in time from its onset to its offset, all held on the first.

    Held by the head's measured motion, as the apex is on the onset. A slow camera repeats frames.

    Returns:
        (T, S, S, 3) uint8 RGB.
    """
    interval = finished.interval
    inside = [s for s in finished.samples if interval.onset.t_s <= s.moment.t_s <= interval.offset.t_s]
    times = np.array([sample.moment.t_s for sample in inside])
    wanted = np.linspace(interval.onset.t_s, interval.offset.t_s, frames)
    chosen = [int(np.abs(times - t_s).argmin()) for t_s in wanted]
    first = inside[chosen[0]]
    crops = {number: _held(inside[number], first, align, preprocessor) for number in sorted(set(chosen))}
    return np.stack([crops[number] for number in chosen])


def _held(sample: FaceSample, first: FaceSample, align: AlignSpec, preprocessor: Preprocessor) -> UInt8Array:
    if sample is first:
        return preprocessor.crop(sample.pixels, sample.pixels_to_crop)
    moved = displacement(first.patch, sample.patch, align)
    back = np.asarray(cv2.invertAffineTransform(moved.rigid), dtype=np.float64)
    return preprocessor.crop(sample.pixels, compose(back, sample.pixels_to_crop))


@dataclass(frozen=True, slots=True)
class WindowRecogniser:
    """A loaded FDP bundle."""

    runner: WindowRunner
    calibration: Calibration
    clock: StageClock = field(default_factory=StageClock)

    @property
    def preprocess(self) -> PreprocessSpec:
        """How the bundle wants its crops."""
        return self.runner.preprocess

    @property
    def window_frames(self) -> int:
        """Frames of a window."""
        return self.runner.frames

    @property
    def backend(self) -> str:
        """Runtime that was chosen."""
        return self.runner.backend

    @property
    def device(self) -> str:
        """What it computes on."""
        return self.runner.device

    def recognise(self, movements: Sequence[Movement]) -> list[Recognition]:
        """Label each movement by its window, or abstain.

        Raises:
            ContractError: if a movement came without its window.
        """

        def infer(batch: Sequence[Movement]) -> RunnerOutput:
            windows = [movement.window for movement in batch if movement.window is not None]
            if len(windows) < len(batch):
                raise ContractError(f"{len(batch) - len(windows)} of {len(batch)} movements came without a window")
            with self.clock.stage("recognise"):
                return self.runner.infer(np.stack(windows)).answers

        return recognise_in_batches(movements, infer, self.runner.labels, self.calibration)


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Several recognisers whose calibrated probabilities are averaged.

    Raises:
        UsageError: when built of recognisers that want other crops, or windows of other lengths.
    """

    members: tuple[Namer, ...]
    calibrations: tuple[Calibration, ...]

    def __post_init__(self) -> None:
        if len({member.preprocess.digest for member in self.members}) != 1:
            raise UsageError("the recognisers were trained on crops made in different ways; they cannot be averaged")
        if len({member.window_frames for member in self.members} - {None}) > 1:
            raise UsageError("the recognisers look at windows of different lengths; they cannot be averaged")

    @property
    def preprocess(self) -> PreprocessSpec:
        """That of all of them."""
        return self.members[0].preprocess

    @property
    def window_frames(self) -> int | None:
        """Frames of the window that some of them want."""
        return next((member.window_frames for member in self.members if member.window_frames is not None), None)

    @property
    def backend(self) -> str:
        """Runtimes, in the order of the members."""
        return " + ".join(member.backend for member in self.members)

    @property
    def device(self) -> str:
        """Devices, in the order of the members."""
        return " + ".join(member.device for member in self.members)

    def recognise(self, movements: Sequence[Movement]) -> list[Recognition]:
        """Label each movement by the mean of what its members say.

        It abstains where the mean of the top class is below the mean of the members' thresholds, and where any of them
        was not validated on so small a movement.

        Raises:
            UsageError: if the members answer with different classes.
        """
        said = [member.recognise(movements) for member in self.members]
        threshold = float(np.mean([calibration.min_probability for calibration in self.calibrations]))
        return [_averaged(answers, threshold) for answers in zip(*said, strict=True)]


def _averaged(answers: Sequence[Recognition], threshold: float) -> Recognition:
    labels = tuple(answers[0].probabilities)
    if any(tuple(answer.probabilities) != labels for answer in answers):
        raise UsageError("the recognisers answer with different classes; they cannot be averaged")
    mean = {label: float(np.mean([answer.probabilities[label] for answer in answers])) for label in labels}
    low = (LOW_PROBABILITY,) if max(mean.values()) < threshold else ()
    small = (LOW_MAGNITUDE,) if any(LOW_MAGNITUDE in answer.abstain for answer in answers) else ()
    return Recognition(probabilities=mean, abstain=(*low, *small))
