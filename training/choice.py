"""The options with which a command that trains names its network, and the words that name it again."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import typer

from tsfmicro.errors import ContractError, UsageError
from tsfmicro.models.card import AnyConfig
from tsfmicro.models.config import OPTIONS, ModelConfig
from tsfmicro.models.fdp.config import OPTIONS as FDP_OPTIONS
from tsfmicro.models.fdp.config import FdpConfig

# Spelt out, because type checkers do not follow enumerations made from a tuple; a test holds them equal to the config.


class Model(enum.StrEnum):
    """Networks of the family."""

    TSFMICRO = "tsfmicro"
    MMNET = "mmnet"
    FDP = "fdp"


class Fusion(enum.StrEnum):
    """Ways in which TSFmicro joins its branches."""

    LATE = "late"
    EARLY = "early"
    T2S = "t2s"
    S2T = "s2t"
    TEMPORAL = "temporal"
    SPATIAL = "spatial"


class Size(enum.StrEnum):
    """Widths."""

    BASE = "base"
    SMALL = "small"


ModelOption = Annotated[
    Model, typer.Option(help="Network: TSFmicro, MMNet to compare with, or FDP, which needs no key frames.")
]
FusionOption = Annotated[Fusion, typer.Option(help="Where TSFmicro's branches meet, or the one branch it has.")]
SizeOption = Annotated[Size, typer.Option(help="Widths: as published, or a quarter of them.")]
JudgementOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help=f"Judgement call of docs/models.md: {', '.join(OPTIONS)}; of docs/fdp.md: {', '.join(FDP_OPTIONS)}.",
    ),
]


def network_config(model: Model, fusion: Fusion, size: Size, options: list[str], classes: int) -> AnyConfig:
    """The configuration that the options name.

    Args:
        options: ``NAME=VALUE`` each.
        classes: width of the last layer.

    Raises:
        UsageError: if there is no such network.
    """
    known = FDP_OPTIONS if model is Model.FDP else OPTIONS
    named: dict[str, Any] = {}
    for word in options:
        name, equals, value = word.partition("=")
        if name not in known or not equals:
            raise UsageError(
                f"--option {word!r} is not understood; expected NAME=VALUE, NAME one of {', '.join(known)}"
            )
        named[name] = int(value) if value.isdecimal() else value
    if model is Model.FDP and fusion is not Fusion.LATE:
        raise UsageError(f"--fusion {fusion.value} changes nothing in FDP, which has no branches; leave it out")
    try:
        if model is Model.FDP:
            return FdpConfig(size=size.value, classes=classes, **named)
        return ModelConfig(model=model.value, fusion=fusion.value, size=size.value, classes=classes, **named)
    except ContractError as error:
        raise UsageError(str(error).replace("ModelConfig.", "").replace("FdpConfig.", "")) from error


def words_of(config: AnyConfig) -> list[str]:
    """The options that name this configuration on a command line."""
    fusion = ["--fusion", config.fusion] if isinstance(config, ModelConfig) else []
    words = ["--model", config.model, *fusion, "--size", config.size]
    return words + [word for name, value in config.options.items() for word in ("--option", f"{name}={value}")]
