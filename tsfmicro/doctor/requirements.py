"""Requirements and versions, as far as this project writes them. The doctor leans on no package it examines."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest

from tsfmicro.errors import ContractError

_OPERATORS: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*([^;\[]*)(?:;(.*))?$")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")


@dataclass(frozen=True, slots=True)
class Requirement:
    """A distribution and its range."""

    name: str
    """Lower case, words joined by hyphens."""
    specifier: str
    """Clauses as written, such as ``>=1.26,<2``; empty for any version."""
    extra: str = ""
    """The extra that asks for it; empty for what every installation needs."""

    def __str__(self) -> str:
        return f"{self.name}{self.specifier}"


def parse_requirement(text: str, extra: str = "") -> Requirement:
    """Read one requirement.

    Args:
        text: from pyproject.toml, or from a wheel's metadata, where a marker names the extra.
        extra: the extra it stands under, for a text without such a marker.

    Raises:
        ContractError: if it is written in a way this project does not use.
    """
    matched = _REQUIREMENT.match(text)
    if matched is None:
        raise ContractError(f"requirement {text!r} cannot be read; expected a name and a range")
    name, specifier, marker = matched.groups()
    asked_by = _EXTRA.search(marker or "")
    plain = specifier.strip().replace(" ", "").strip("()")
    requirement = Requirement(canonical(name), plain, asked_by[1] if asked_by else extra)
    satisfies("0", requirement.specifier)  # refuses what it cannot compare
    return requirement


def satisfies(version: str, specifier: str) -> bool:
    """Whether a version lies in a range. Pre-releases count as their release, local versions as their public one.

    Raises:
        ContractError: if a clause has another operator than those of this project.

    >>> satisfies("4.11.0.86", ">=4.10,<5"), satisfies("2.0", ">=1.26,<2"), satisfies("2.0.0", "==2.0")
    (True, False, True)
    """
    for clause in filter(None, specifier.split(",")):
        matched = re.fullmatch(r"(==|!=|>=|<=|>|<)(\d[\w.+!-]*)", clause)
        if matched is None:
            raise ContractError(f"version clause {clause!r} cannot be read; expected an operator and a version")
        pairs = list(zip_longest(release(version), release(matched[2]), fillvalue=0))
        if not _OPERATORS[matched[1]](tuple(a for a, _ in pairs), tuple(b for _, b in pairs)):
            return False
    return True


def release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version.

    >>> release("2.11.0+cu130"), release("5.0.0rc1")
    ((2, 11, 0), (5, 0, 0))
    """
    matched = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in matched[0].split(".")) if matched else ()


def canonical(name: str) -> str:
    """A distribution's name as registries compare it.

    >>> canonical("Scikit_Image")
    'scikit-image'
    """
    return re.sub(r"[-_.]+", "-", name).lower()
