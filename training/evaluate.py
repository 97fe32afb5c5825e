"""How a bundle does on synthetic pairs of people it has never seen, through the runner that is shipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tsfmicro.errors import UsageError
from tsfmicro.preprocess import Preprocessor
from tsfmicro.runners import Runner
from tsfmicro.synthetic.pairs import PairSpec, draw_pair
from tsfmicro.synthetic.portrait import Portrait
from tsfmicro.training.calibrate import expected_calibration_error

_BATCH = 16


@dataclass(frozen=True, slots=True)
class HeldOutResult:
    """Accuracy on people who were not in training, from true key frames."""

    amplitude_percent_iod: float
    pairs: int
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
            "protocol": "synthetic pairs of people not in training, from true key frames, identity morph off",
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
    runner: Runner,
    people: dict[str, tuple[Portrait, ...]],
    *,
    amplitude_percent_iod: float,
    min_probability: float,
    pairs_per_person: int,
    seed: int,
) -> HeldOutResult:
    """Draw pairs of each person and compare the runner's answers with the truth.

    Raises:
        UsageError: if there is nobody to evaluate on.
    """
    if not people:
        raise UsageError("nobody to evaluate on; name pictures or clips of people who were not in training")
    labels = runner.labels
    spec = held_out_spec(amplitude_percent_iod, labels)
    preprocessor = Preprocessor(runner.preprocess)
    truth, probabilities, owners = [], [], []
    for number, (name, portraits) in enumerate(people.items()):
        rng = np.random.default_rng((seed, number))
        drawn = [draw_pair(portraits, spec, preprocessor, rng) for _ in range(pairs_per_person)]
        for start in range(0, len(drawn), _BATCH):
            batch = drawn[start : start + _BATCH]
            output = runner.infer(
                np.stack([pair.crops.onset for pair in batch]), np.stack([pair.crops.apex for pair in batch])
            )
            probabilities.append(output.probabilities.astype(np.float64))
        truth += [labels.index(pair.emotion) for pair in drawn]
        owners += [name] * len(drawn)
    return _score(
        np.concatenate(probabilities), np.array(truth), owners, labels, amplitude_percent_iod, min_probability
    )


def _score(
    probabilities: np.ndarray[Any, np.dtype[np.float64]],
    truth: np.ndarray[Any, np.dtype[np.int64]],
    owners: list[str],
    labels: tuple[str, ...],
    amplitude_percent_iod: float,
    min_probability: float,
) -> HeldOutResult:
    right = probabilities.argmax(axis=1) == truth
    recall = {label: float(right[truth == i].mean()) for i, label in enumerate(labels) if (truth == i).any()}
    owner = np.array(owners)
    answered = probabilities.max(axis=1) >= min_probability
    return HeldOutResult(
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
