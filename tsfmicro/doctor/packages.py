"""Python itself, the packages this project needs, and what they think of each other."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

import tsfmicro
from tsfmicro.doctor.findings import Finding, Status, one_line
from tsfmicro.doctor.installation import Installation
from tsfmicro.doctor.opencv_builds import NAMES as OPENCV_NAMES
from tsfmicro.doctor.processes import run_tool
from tsfmicro.doctor.requirements import Requirement, canonical, parse_requirement, satisfies

_PYTHONS = ((3, 11), (3, 12))
_REASONS = {
    "numpy": "mediapipe 0.10.21 is built for numpy 1",
    "mediapipe": "later releases carry no models and look up a vendor's host",
}
_MOST_CONFLICTS = 4
_WANTED = re.compile(r"(?:has requirement|requires) ([^;]+?)(?:;.*?)?, (?:but you have|which is not)")
"""What a line of ``pip check`` asks for, without its marker."""
_SEEN_TO = ("tsfmicro", *OPENCV_NAMES)
"""Packages whose complaints other checks bring, with better advice."""


@dataclass(frozen=True, slots=True)
class Package:
    """One requirement and what is there."""

    requirement: Requirement
    installed: str | None
    """Version, None where it is not installed."""
    tested: str | None
    """Version of constraints.txt, None where that is not at hand or does not name it."""


@dataclass(frozen=True, slots=True)
class Conflicts:
    """What the package installer says about the requirements of everything that is installed."""

    ran: bool
    lines: tuple[str, ...]
    """One a conflict; the first word is the package that complains."""


def judge_python(version: tuple[int, int, int], executable: str) -> list[Finding]:
    """Whether this Python is one that mediapipe has a wheel for."""
    text = ".".join(map(str, version))
    if version[:2] in _PYTHONS:
        return [Finding("python", "ok", f"{text}, {executable}; tsfmicro {tsfmicro.__version__}")]
    return [
        Finding(
            "python", "fail", f"{text}; 3.11 and 3.12 are supported, mediapipe 0.10.21 has no wheel for others",
            "uv venv --python 3.12, or on Debian and Ubuntu: apt-get install python3.11 python3.11-venv",
        )
    ]  # fmt: skip


def gather_packages(here: Installation) -> list[Package]:
    """Every requirement of this project with the version that is installed."""
    tested = _tested_versions(here)
    return [Package(r, _installed_version(r.name), tested.get(r.name)) for r in _requirements(here)]


def judge_packages(packages: Sequence[Package], here: Installation) -> list[Finding]:
    """Presence, ranges and tested versions. OpenCV's presence is its own check's business."""
    needed = [p for p in packages if not p.requirement.extra and not p.requirement.name.startswith("opencv")]
    extras = _once(p for p in packages if p.requirement.extra not in {"", "dev"} and p.installed is not None)
    bad = [package for package in needed if not _in_range(package)]
    odd = [package for package in extras if not _in_range(package)]
    findings = [_complaint("fail", bad, here)] if bad else []
    findings += [_complaint("warn", odd, here)] if odd else []
    if not findings:
        findings.append(Finding("packages", "ok", f"all {len(needed)} needed are here and in range"))
    return [*findings, *_judge_tested(_once(p for p in packages if p.requirement.extra != "dev"), here)]


def gather_ours(here: Installation) -> frozenset[str]:
    """Names of the packages this project needs, and of those that they need in turn."""
    found: set[str] = set()
    left = ["tsfmicro", *(requirement.name for requirement in _requirements(here))]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        with suppress(PackageNotFoundError):
            lines = [line for line in requires(name) or [] if "extra ==" not in line]
            left += [canonical(matched[0]) for line in lines if (matched := re.match(r"[\w.-]+", line))]
    return frozenset(found)


def gather_conflicts(here: Installation) -> Conflicts:
    """Ask pip, or uv where there is no pip."""
    words = [str(here.python), "-m", "pip", "check"] if here.has_pip else ["uv", "pip", "check"]
    done = run_tool(*words, *([] if here.has_pip else ["--python", str(here.python)]), timeout_s=60)
    if done is None or (done.code == 0 and not done.output):
        return Conflicts(False, ())
    lines = [one_line(line) for line in done.output.splitlines() if line.strip() and not line.startswith("WARNING")]
    return Conflicts(True, () if done.code == 0 else tuple(lines))


def judge_conflicts(conflicts: Conflicts, ours: Collection[str], here: Installation) -> list[Finding]:
    """Whether any installed package finds another one missing or in a version it does not want.

    Args:
        conflicts: from :func:`gather_conflicts`.
        ours: names from :func:`gather_ours`; another package's complaint is not mended by installing ours again.
        here: what the commands are for.
    """
    if not conflicts.ran:
        return [Finding("conflicts", "ok", "not looked at: neither pip nor uv is here to ask")]
    lines = [line for line in conflicts.lines if canonical(line.split()[0]) not in _SEEN_TO]
    if not lines:
        return [Finding("conflicts", "ok", "no package is at odds with another")]
    shown = "; ".join(lines[:_MOST_CONFLICTS])
    more = f"; and {len(lines) - _MOST_CONFLICTS} more" if len(lines) > _MOST_CONFLICTS else ""
    foreign = sorted({canonical(line.split()[0]) for line in lines} - set(ours))
    if foreign:
        fix = f"{here.uninstall(*foreign)} (not needed here), or keep it apart: python3 -m venv .venv"
    else:
        wanted = dict.fromkeys(matched[1].strip() for line in lines if (matched := _WANTED.search(line)))
        fix = here.install(*wanted) if wanted else here.install_project()
    return [Finding("conflicts", "warn", shown + more, fix)]


def _judge_tested(packages: Sequence[Package], here: Installation) -> list[Finding]:
    known = [p for p in packages if p.installed is not None and p.tested is not None]
    other = [p for p in known if str(p.installed).partition("+")[0] != p.tested]
    if other:
        named = ", ".join(f"{p.requirement.name} {p.installed} (tested: {p.tested})" for p in other)
        fix = here.install(*(f"{p.requirement.name}=={p.tested}" for p in other))
        return [Finding("tested-versions", "warn", f"other versions than were tested together: {named}", fix)]
    if known:
        return [Finding("tested-versions", "ok", f"{len(known)} packages have the versions that were tested together")]
    return [Finding("tested-versions", "ok", "not compared: constraints.txt is not beside this installation")]


def _in_range(package: Package) -> bool:
    return package.installed is not None and satisfies(package.installed, package.requirement.specifier)


def _complaint(status: Status, packages: Sequence[Package], here: Installation) -> Finding:
    text = "; ".join(_state(package) for package in packages)
    return Finding("packages", status, text, here.install(*(_pin(package) for package in packages)))


def _state(package: Package) -> str:
    name = package.requirement.name
    if package.installed is None:
        return f"{package.requirement} is not installed"
    reason = f": {_REASONS[name]}" if name in _REASONS else ""
    extra = f" of the extra {package.requirement.extra!r}" if package.requirement.extra else ""
    return f"{name} is {package.installed}, outside {package.requirement.specifier}{extra}{reason}"


def _pin(package: Package) -> str:
    return f"{package.requirement.name}=={package.tested}" if package.tested else str(package.requirement)


def _once(packages: Iterable[Package]) -> list[Package]:
    return list({package.requirement.name: package for package in packages}.values())


def _requirements(here: Installation) -> list[Requirement]:
    if here.checkout is None:
        return [parse_requirement(line) for line in requires("tsfmicro") or []]
    project = tomllib.loads((here.checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = [parse_requirement(line) for line in project["dependencies"]]
    for extra, lines in project["optional-dependencies"].items():
        found += [parse_requirement(line, extra) for line in lines]
    return found


def _tested_versions(here: Installation) -> dict[str, str]:
    if here.checkout is None or not (here.checkout / "constraints.txt").is_file():
        return {}
    lines = (here.checkout / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==", 1) for line in lines if "==" in line and not line.startswith("#"))
    return {canonical(name.strip()): version.strip() for name, version in pairs}


def _installed_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
