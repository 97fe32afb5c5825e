"""What a leave-one-subject-out run does, fixed before it starts and kept beside its results."""

from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from tsfmicro.errors import UsageError
from tsfmicro.models.fdp.config import LossWeights

STAMP = "test-selected upper bound, not comparable"
"""On every output of the paper mode: each fold's epoch was chosen by looking at the person it is tested on."""


class Mode(enum.StrEnum):
    """Whether the held-out person may choose the epoch."""

    HONEST = "honest"
    """The held-out person is evaluated once, at the end."""
    PAPER = "paper"
    """As the authors of TSFmicro did: evaluated after every epoch, the best one counts."""


class Select(enum.StrEnum):
    """Who chooses the epoch in honest mode."""

    FIXED = "fixed"
    """Nobody: the number given in advance."""
    INNER = "inner"
    """People taken out of the training set; the epoch with their lowest cross-entropy."""


class Precision(enum.StrEnum):
    """Arithmetic of training. Evaluation is always float32."""

    FP32 = "fp32"
    BF16 = "bf16"


class Step(enum.StrEnum):
    """Forward and backward of training. Evaluation never is compiled."""

    EAGER = "eager"
    """Operator by operator."""
    COMPILED = "compiled"
    """Full batches through torch's compiler."""


class KeyFrames(enum.StrEnum):
    """Which frames training takes for onset and apex. Tests always see the annotated ones.

    The others look among the neighbours of the crop cache, ``tsf-train prepare --key-frame-range``.
    """

    JITTERED = "jittered"
    """Drawn anew for every pair, all frames in range alike (MMNet)."""
    LARGEST = "largest"
    """The pair that differs most, by the sum of squares (TSFmicro's program, whose sums wrapped around at 256)."""
    ANNOTATED = "annotated"
    """Those of the annotation."""


@dataclass(frozen=True, slots=True)
class AugmentSpec:
    """Random changes that onset and apex share (TSFmicro paper, section 4.2; the amounts are those released)."""

    flip: float = 0.5
    rotation_deg: float = 3.0
    shift: float = 15 / 224
    """Largest shift, share of the side: a random crop after padding by 15 px at 224 px."""


DOCUMENTED = (0.6, AugmentSpec())
"""Weight decay and augmentation of the released programs, which the paper does not state."""
DOCUMENTED_3C = (0.7, AugmentSpec(rotation_deg=4.0, shift=4 / 224))
"""The same where there are three classes."""


@dataclass(frozen=True, slots=True)
class LosoSpec:
    """Everything that decides the numbers, apart from the crops and the initial weights."""

    mode: Mode = Mode.HONEST
    select: Select = Select.FIXED
    epochs: int = 50
    """The paper's number; with ``inner``, the most there can be."""
    inner_subjects: int = 2
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    shuffled_seeds: int = 1
    """Seeds that are run once more on shuffled training labels, as a control."""
    model: str = "tsfmicro"
    size: str = "base"
    fusion: str = "late"
    options: tuple[str, ...] = ()
    """Judgement calls of the network, ``NAME=VALUE`` each."""
    loss: LossWeights = field(default_factory=LossWeights)
    """Parts of FDP's joint loss; TSFmicro and MMNet have cross-entropy alone."""
    learning_rate: float = 8e-4
    weight_decay: float = DOCUMENTED[0]
    batch: int = 32
    decay: float = 0.987
    """The learning rate is multiplied by it after each of the first ``decay_epochs`` epochs."""
    decay_epochs: int = 50
    precision: Precision = Precision.FP32
    step: Step = Step.EAGER
    augment: AugmentSpec = DOCUMENTED[1]
    key_frames: KeyFrames = KeyFrames.JITTERED

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.inner_subjects, len(self.seeds)) < 1 or self.learning_rate <= 0:
            raise UsageError(
                f"epochs {self.epochs}, batch {self.batch}, inner subjects {self.inner_subjects}, {len(self.seeds)} "
                f"seeds and rate {self.learning_rate} cannot train; expected at least one of each and a rate above 0"
            )
        if not 0 <= self.shuffled_seeds <= len(self.seeds):
            raise UsageError(f"{self.shuffled_seeds} shuffled seeds of {len(self.seeds)}; expected no more than seeds")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = asdict(self)
        return {**values, "seeds": list(self.seeds), "options": list(self.options)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LosoSpec:
        """Read what :meth:`to_dict` wrote.

        Raises:
            UsageError: if another version wrote it, with other settings.
        """
        rest = {name: value for name, value in values.items() if name not in _CONVERTED}
        try:
            return cls(
                mode=Mode(values["mode"]),
                select=Select(values["select"]),
                seeds=tuple(values["seeds"]),
                options=tuple(values["options"]),
                precision=Precision(values["precision"]),
                step=Step(values.get("step", Step.EAGER)),  # runs of before had no choice
                augment=AugmentSpec(**values["augment"]),
                key_frames=KeyFrames(values["key_frames"]),
                loss=LossWeights(**values["loss"]),
                **rest,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"the run's settings are not those of this version ({error}); run tsf-train loso into a new folder"
            ) from error


_CONVERTED = frozenset({"mode", "select", "seeds", "options", "precision", "step", "augment", "key_frames", "loss"})


def derived_seed(*parts: object) -> int:
    """A seed that depends on all parts and on nothing else, such as the order of folds."""
    digest = hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).digest()
    return int.from_bytes(digest[:6], "big")
