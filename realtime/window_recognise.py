"""Naming without key frames (FDP), its dynamic images, and several recognisers that are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from tsfmicro.bundle import Bundle, Calibration
from tsfmicro.errors import ContractError, UsageError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime.dynamic_images import DynamicImages
from tsfmicro.realtime.recognise import LOW_MAGNITUDE, Movement, Namer, Recogniser, recognise_in_batches
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.runners import LOW_PROBABILITY, RunnerOutput, load
from tsfmicro.runners.window import load_window
from tsfmicro.runners.window_contract import WindowRunner
from tsfmicro.values import Float32Array, Recognition, UInt8Array


@dataclass(frozen=True, slots=True)
class WindowRecogniser:
    """A loaded FDP bundle."""

    runner: WindowRunner
    calibration: Calibration
    clock: StageClock = field(default_factory=StageClock)
    images: DynamicImages = field(default_factory=DynamicImages)
    """What the network drew of the micro-expressions it named last."""

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
        """Label each movement by its window, or abstain; what the network draws of them goes to :attr:`images`.

        Raises:
            ContractError: if a movement came without its window.
        """

        def infer(batch: Sequence[Movement]) -> RunnerOutput:
            windows = [movement.window for movement in batch if movement.window is not None]
            if len(windows) < len(batch):
                raise ContractError(f"{len(batch) - len(windows)} of {len(batch)} movements came without a window")
            with self.clock.stage("recognise"):
                output = self.runner.infer(np.stack(windows))
            if output.dynamic_images is not None:
                for movement, image in zip(batch, output.dynamic_images, strict=True):
                    if movement.key is not None:
                        self.images.keep(movement.key, image)
            return output.answers

        return recognise_in_batches(movements, infer, self.runner.labels, self.calibration)

    def dynamic_image(self, window: UInt8Array) -> Float32Array | None:
        """What the network draws of one (T, S, S, 3) window: (64, 64) in 0..1; None from one that draws nothing.

        May be called from another thread than :meth:`recognise`.
        """
        images = self.runner.infer(window[None]).dynamic_images
        return None if images is None else images[0]


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


def load_namer(bundle: Bundle, backend: str, threads: int | None, clock: StageClock, stack: ExitStack) -> Namer:
    """Load what a bundle holds, a recogniser of pairs or of windows.

    Args:
        bundle: verified.
        backend, threads: as ``load`` and ``load_window`` take them.
        clock: times it.
        stack: frees it.

    Raises:
        TsfError: as ``load`` and ``load_window`` do.
    """
    calibration = bundle.manifest.calibration
    if bundle.manifest.model.reads_windows:
        return WindowRecogniser(stack.enter_context(load_window(bundle, backend, threads)), calibration, clock)
    return Recogniser(stack.enter_context(load(bundle, backend, threads)), calibration, clock)


def of_windows(namer: Namer | None) -> WindowRecogniser | None:
    """The recogniser of windows that names, alone or among others; None where there is none."""
    members = namer.members if isinstance(namer, Ensemble) else (namer,)
    return next((member for member in members if isinstance(member, WindowRecogniser)), None)


def _averaged(answers: Sequence[Recognition], threshold: float) -> Recognition:
    labels = tuple(answers[0].probabilities)
    if any(tuple(answer.probabilities) != labels for answer in answers):
        raise UsageError("the recognisers answer with different classes; they cannot be averaged")
    mean = {label: float(np.mean([answer.probabilities[label] for answer in answers])) for label in labels}
    low = (LOW_PROBABILITY,) if max(mean.values()) < threshold else ()
    small = (LOW_MAGNITUDE,) if any(LOW_MAGNITUDE in answer.abstain for answer in answers) else ()
    return Recognition(probabilities=mean, abstain=(*low, *small))
