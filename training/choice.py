"""The options with which a command that trains names its network, and the words that name it again."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import typer

from tsfmicro.errors import ContractError, UsageError
from tsfmicro.models.config import OPTIONS, ModelConfig

# Spelt out, because type checkers do not follow enumerations made from a tuple; a test holds them equal to the config.


class Model(enum.StrEnum):
    """Networks of the family."""

    TSFMICRO = "tsfmicro"
    MMNET = "mmnet"


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


ModelOption = Annotated[Model, typer.Option(help="Network: TSFmicro, or MMNet to compare with.")]
FusionOption = Annotated[Fusion, typer.Option(help="Where TSFmicro's branches meet, or the one branch it has.")]
SizeOption = Annotated[Size, typer.Option(help="Widths: as published, or a quarter of them.")]
JudgementOption = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help=f"Judgement call of docs/models.md: {', '.join(OPTIONS)}."),
]


def network_config(model: Model, fusion: Fusion, size: Size, options: list[str], classes: int) -> ModelConfig:
    """The configuration that the options name.

    Args:
        options: ``NAME=VALUE`` each.
        classes: width of the last layer.

    Raises:
        UsageError: if there is no such network.
    """
    named: dict[str, Any] = {}
    for word in options:
        name, equals, value = word.partition("=")
        if name not in OPTIONS or not equals:
            raise UsageError(
                f"--option {word!r} is not understood; expected NAME=VALUE, NAME one of {', '.join(OPTIONS)}"
            )
        named[name] = int(value) if value.isdecimal() else value
    try:
        return ModelConfig(model=model.value, fusion=fusion.value, size=size.value, classes=classes, **named)
    except ContractError as error:
        raise UsageError(str(error).replace("ModelConfig.", "")) from error


def words_of(config: ModelConfig) -> list[str]:
    """The options that name this configuration on a command line."""
    words = ["--model", config.model, "--fusion", config.fusion, "--size", config.size]
    return words + [word for name, value in config.options.items() for word in ("--option", f"{name}={value}")]
