"""How a bundle does on synthetic movements of people it has never seen, through the runner that is shipped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsfmicro.bundle import Bundle
from tsfmicro.errors import UsageError
from tsfmicro.preprocess import Preprocessor
from tsfmicro.runners import Runner, RunnerOutput, load
from tsfmicro.runners.contract import LoadedBundle
from tsfmicro.runners.window import load_window
from tsfmicro.runners.window_contract import WindowRunner
from tsfmicro.synthetic.pairs import LabelledClip, PairSpec, draw_clip, draw_pair
from tsfmicro.synthetic.portrait import Portrait
from tsfmicro.synthetic.windows import true_window
from tsfmicro.training.calibrate import expected_calibration_error

_BATCH = 16


class Examinee(ABC):
    """A loaded recogniser, and what it is shown of a movement.

    Args:
        loaded: whose labels and crops these are.
    """

    protocol: str
    """What its figures are of."""

    def __init__(self, loaded: LoadedBundle) -> None:
        self.labels = loaded.labels
        self.preprocess = loaded.preprocess

    @abstractmethod
    def draw(
        self, portraits: tuple[Portrait, ...], spec: PairSpec, preprocessor: Preprocessor, rng: np.random.Generator
    ) -> LabelledClip:
        """One movement of one of the person's pictures."""

    @abstractmethod
    def answer(self, clips: Sequence[LabelledClip]) -> RunnerOutput:
        """What it says of movements that :meth:`draw` made."""


class PairExaminee(Examinee):
    """TSFmicro or MMNet: onset and apex, the true ones."""

    protocol = "synthetic pairs of people not in training, from true key frames, identity morph off"

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner)
        self._runner = runner

    def draw(
        self, portraits: tuple[Portrait, ...], spec: PairSpec, preprocessor: Preprocessor, rng: np.random.Generator
    ) -> LabelledClip:
        """See ``Examinee.draw``."""
        pair = draw_pair(portraits, spec, preprocessor, rng)
        return LabelledClip((pair.crops.onset, pair.crops.apex), pair.emotion, pair.person, pair.contractions)

    def answer(self, clips: Sequence[LabelledClip]) -> RunnerOutput:
        """See ``Examinee.answer``."""
        onset, apex = (np.stack([clip.crops[view] for clip in clips]) for view in (0, 1))
        return self._runner.infer(onset, apex)


class WindowExaminee(Examinee):
    """FDP: the frames of a window from true onset to true offset."""

    protocol = "synthetic windows of people not in training, from true onset to true offset, identity morph off"

    def __init__(self, runner: WindowRunner) -> None:
        super().__init__(runner)
        self._runner = runner

    def draw(
        self, portraits: tuple[Portrait, ...], spec: PairSpec, preprocessor: Preprocessor, rng: np.random.Generator
    ) -> LabelledClip:
        """See ``Examinee.draw``."""
        return draw_clip(portraits, spec, preprocessor, rng, true_window(self._runner.frames, rng))

    def answer(self, clips: Sequence[LabelledClip]) -> RunnerOutput:
        """See ``Examinee.answer``."""
        return self._runner.infer(np.stack([np.stack(clip.crops) for clip in clips])).answers


@contextmanager
def load_examinee(bundle: Bundle, backend: str) -> Iterator[Examinee]:
    """Load a bundle of any recogniser; freed at the end of the block.

    Raises:
        TsfError: as ``load`` and ``load_window`` do.
    """
    if bundle.manifest.model.reads_windows:
        with load_window(bundle, backend) as windows:
            yield WindowExaminee(windows)
    else:
        with load(bundle, backend) as pairs:
            yield PairExaminee(pairs)


@dataclass(frozen=True, slots=True)
class HeldOutResult:
    """Accuracy on people who were not in training, from true key frames."""

    protocol: str
    """What was shown of each movement."""
    amplitude_percent_iod: float
    pairs: int
    """Movements, whatever was shown of them."""
    people: int
    accuracy: float
    recall: dict[str, float]
    """By class."""
    accuracy_by_person: dict[str, float]
    uar: float
    """Mean recall."""
    calibration_error: float
    """Expected calibration error, ten bins."""
    answered: float
    """Share above the abstention threshold."""
    accuracy_of_answered: float | None
    """None where nothing was answered."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, rounded to what the sample size supports."""
        return {
            "protocol": self.protocol,
            "amplitude_percent_iod": self.amplitude_percent_iod,
            "pairs": self.pairs,
            "people": self.people,
            "accuracy": round(self.accuracy, 4),
            "uar": round(self.uar, 4),
            "recall": {name: round(value, 4) for name, value in self.recall.items()},
            "accuracy_by_person": {name: round(value, 4) for name, value in self.accuracy_by_person.items()},
            "expected_calibration_error": round(self.calibration_error, 4),
            "answered": round(self.answered, 4),
            "accuracy_of_answered": None if self.accuracy_of_answered is None else round(self.accuracy_of_answered, 4),
        }


def held_out_spec(amplitude_percent_iod: float, classes: tuple[str, ...]) -> PairSpec:
    """Symmetric expressions of one strength on the photographs as they are, with the usual camera around them."""
    return PairSpec(
        amplitude_percent_iod=(amplitude_percent_iod, amplitude_percent_iod),
        width_iod=(0.11, 0.11),
        one_sided=0.0,
        iod_px=(80.0, 140.0),
        identity_strength=0.0,
        noise_sigma=(1.0, 1.5),
        classes=classes,
    )


def evaluate_held_out(
    examinee: Examinee,
    people: dict[str, tuple[Portrait, ...]],
    *,
    amplitude_percent_iod: float,
    min_probability: float,
    pairs_per_person: int,
    seed: int,
) -> HeldOutResult:
    """Draw movements of each person and compare the recogniser's answers with the truth.

    Raises:
        UsageError: if there is nobody to evaluate on.
    """
    if not people:
        raise UsageError("nobody to evaluate on; name pictures or clips of people who were not in training")
    labels = examinee.labels
    spec = held_out_spec(amplitude_percent_iod, labels)
    preprocessor = Preprocessor(examinee.preprocess)
    truth, probabilities, owners = [], [], []
    for number, (name, portraits) in enumerate(people.items()):
        rng = np.random.default_rng((seed, number))
        drawn = [examinee.draw(portraits, spec, preprocessor, rng) for _ in range(pairs_per_person)]
        for start in range(0, len(drawn), _BATCH):
            output = examinee.answer(drawn[start : start + _BATCH])
            probabilities.append(output.probabilities.astype(np.float64))
        truth += [labels.index(clip.emotion) for clip in drawn]
        owners += [name] * len(drawn)
    return _score(
        np.concatenate(probabilities), np.array(truth), owners, examinee, amplitude_percent_iod, min_probability
    )


def _score(
    probabilities: np.ndarray[Any, np.dtype[np.float64]],
    truth: np.ndarray[Any, np.dtype[np.int64]],
    owners: list[str],
    examinee: Examinee,
    amplitude_percent_iod: float,
    min_probability: float,
) -> HeldOutResult:
    right = probabilities.argmax(axis=1) == truth
    recall = {label: float(right[truth == i].mean()) for i, label in enumerate(examinee.labels) if (truth == i).any()}
    owner = np.array(owners)
    answered = probabilities.max(axis=1) >= min_probability
    return HeldOutResult(
        protocol=examinee.protocol,
        amplitude_percent_iod=amplitude_percent_iod,
        pairs=len(truth),
        people=len(set(owners)),
        accuracy=float(right.mean()),
        recall=recall,
        accuracy_by_person={name: float(right[owner == name].mean()) for name in dict.fromkeys(owners)},
        uar=float(np.mean(list(recall.values()))),
        calibration_error=expected_calibration_error(probabilities, truth),
        answered=float(answered.mean()),
        accuracy_of_answered=float(right[answered].mean()) if answered.any() else None,
    )
