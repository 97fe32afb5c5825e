"""The options of every command that trains networks for a comparison, as one value."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from tsfmicro.errors import UsageError
from tsfmicro.models.fdp.config import LossWeights
from tsfmicro.training.choice import Fusion, FusionOption, JudgementOption, Model, ModelOption, Size, SizeOption
from tsfmicro.training.loso.spec import DOCUMENTED, DOCUMENTED_3C, KeyFrames, LosoSpec, Mode, Precision, Select, Step

_DEFAULTS = LosoSpec()
_FDP_RATE, _FDP_DECAY = 1e-4, 1e-3
"""Learning rate and weight decay of FDP's released program."""


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What was typed, apart from the data. Every field is an option of that name."""

    select: Annotated[Select, typer.Option(help="Who chooses the epoch in honest mode.")] = _DEFAULTS.select
    epochs: Annotated[int, typer.Option(min=1, help="Fixed in advance; with --select inner, the most.")] = (
        _DEFAULTS.epochs
    )
    inner_subjects: Annotated[int, typer.Option(min=1, help="People that choose the epoch with --select inner.")] = (
        _DEFAULTS.inner_subjects
    )
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, counted from 0.")] = len(_DEFAULTS.seeds)
    shuffled_seeds: Annotated[int, typer.Option(min=0, help="Seeds run again on shuffled labels, as a control.")] = (
        _DEFAULTS.shuffled_seeds
    )
    model: ModelOption = Model.TSFMICRO
    fusion: FusionOption = Fusion.LATE
    size: SizeOption = Size.BASE
    option: JudgementOption = None
    init: Annotated[Path | None, typer.Option(help="Bundle to fine-tune, said in every report.")] = None
    batch: Annotated[int, typer.Option(min=1)] = _DEFAULTS.batch
    learning_rate: Annotated[
        float | None, typer.Option(help=f"Of AdamW. Not named: {_DEFAULTS.learning_rate:g}, for fdp {_FDP_RATE:g}.")
    ] = None
    weight_decay: Annotated[
        float | None,
        typer.Option(
            min=0,
            help=f"Of AdamW. Not named: {DOCUMENTED[0]}, with three classes {DOCUMENTED_3C[0]}, "
            f"for fdp {_FDP_DECAY:g}, as released.",
        ),
    ] = None
    key_frames: Annotated[
        KeyFrames | None,
        typer.Option(
            help="Onset and apex in training: drawn from the frames in range, the pair that differs most, or as "
            "annotated. Not named: jittered; fdp has none."
        ),
    ] = None
    order_weight: Annotated[float, typer.Option(min=0, help="Of the order of frames in FDP's loss.")] = (
        _DEFAULTS.loss.order
    )
    image_weight: Annotated[float, typer.Option(min=0, help="Of the dynamic image in FDP's loss.")] = (
        _DEFAULTS.loss.dynamic_image
    )
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu"
    precision: Annotated[Precision, typer.Option(help="Of training; evaluation is fp32.")] = _DEFAULTS.precision
    compile: Annotated[
        bool, typer.Option("--compile", help="Training steps through torch's compiler, which first takes minutes.")
    ] = False
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the network.")] = 1
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False

    def spec(self, classes: int, mode: Mode = Mode.HONEST) -> LosoSpec:
        """What decides the numbers.

        Args:
            classes: of the protocol; with three, the released programs decay and augment otherwise.
            mode: of ``loso``.

        Raises:
            UsageError: if nothing can be trained with it.
        """
        usual_rate = _DEFAULTS.learning_rate
        usual_decay, augment = DOCUMENTED_3C if classes == 3 else DOCUMENTED
        key_frames = self.key_frames or _DEFAULTS.key_frames
        if self.model is Model.FDP:
            if self.precision is Precision.BF16:
                raise UsageError("--precision bf16 rounds away what differs between frames; train fdp in fp32")
            if self.key_frames not in {None, KeyFrames.ANNOTATED}:
                raise UsageError(f"--key-frames {key_frames}: fdp looks at windows, which have no key frames")
            usual_rate, usual_decay, key_frames = _FDP_RATE, _FDP_DECAY, KeyFrames.ANNOTATED
        return LosoSpec(
            mode=mode,
            select=self.select,
            epochs=self.epochs,
            inner_subjects=self.inner_subjects,
            seeds=tuple(range(self.seeds)),
            shuffled_seeds=min(self.shuffled_seeds, self.seeds),
            model=self.model.value,
            fusion=self.fusion.value,
            size=self.size.value,
            options=tuple(self.option or ()),
            loss=LossWeights(order=self.order_weight, dynamic_image=self.image_weight),
            learning_rate=usual_rate if self.learning_rate is None else self.learning_rate,
            weight_decay=usual_decay if self.weight_decay is None else self.weight_decay,
            batch=self.batch,
            precision=self.precision,
            step=Step.COMPILED if self.compile else Step.EAGER,
            augment=augment,
            key_frames=key_frames,
        )


def with_training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter ``training`` of a command by one option for each field of :class:`TrainingOptions`."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    hints = get_type_hints(TrainingOptions, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(TrainingOptions)
    ]

    @wraps(command)
    def run(**words: Any) -> None:
        typed = {field.name: words.pop(field.name) for field in fields(TrainingOptions)}
        command(**words, training=TrainingOptions(**typed))

    alone = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own if p.name != "training"]
    run.__signature__ = inspect.Signature([*alone, *shared])  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {}
    return run
