"""NVIDIA cards and their driver. Without one everything runs on the CPU, so nothing here fails."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tsfmicro.doctor.findings import Finding, one_line
from tsfmicro.doctor.installation import Installation
from tsfmicro.doctor.processes import ask, run_tool

_VENDOR = "0x10de"
_DISPLAY_CLASSES = ("0x0300", "0x0302")
_QUERY = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total,compute_cap", "--format=csv,noheader,nounits")


@dataclass(frozen=True, slots=True)
class Card:
    """A card that the driver shows."""

    name: str
    capability: str
    """Compute capability such as ``8.9``; empty where the driver is too old to say."""
    driver: str = ""
    memory_mib: float | None = None


@dataclass(frozen=True, slots=True)
class Gpu:
    """Everything known about NVIDIA on this machine."""

    on_bus: int
    """NVIDIA cards on the PCI bus, driver or not."""
    cards: tuple[Card, ...]
    driver_cuda: str | None
    """Newest CUDA version of the driver; None where its library does not answer."""
    tool_problem: str | None = None
    """What nvidia-smi complained about."""
    library_problem: str | None = None
    """Why the driver library does not answer, where nvidia-smi does."""


def gather_gpu() -> Gpu:
    """Ask nvidia-smi and the driver library; either may be missing, in containers and on Jetson."""
    cards, tool_problem = _ask_tool()
    library = ask("cuda")
    if library.problem is None and not cards:
        cards = tuple(Card(card["name"], card["capability"]) for card in library.values["cards"])
    return Gpu(
        on_bus=_cards_on_bus(Path("/sys/bus/pci/devices")),
        cards=cards,
        driver_cuda=library.values.get("cuda"),
        tool_problem=tool_problem,
        library_problem=library.problem if cards else None,
    )


def judge_gpu(gpu: Gpu, in_container: bool, here: Installation) -> list[Finding]:
    """Card, driver, compute capability."""
    if gpu.cards and gpu.library_problem is not None:
        fix = (
            "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility ..."
            if in_container
            else _reinstall(here)
        )
        text = f"{_listing(gpu)}; programs cannot compute on it: {gpu.library_problem}"
        return [Finding("gpu", "warn", text, fix)]
    if gpu.cards:
        cuda = f", CUDA {gpu.driver_cuda} at most" if gpu.driver_cuda else ""
        return [Finding("gpu", "ok", f"{_listing(gpu)}{cuda}")]
    if gpu.tool_problem is not None and "mismatch" in gpu.tool_problem.lower():
        text = f"the loaded driver is not the installed one: {gpu.tool_problem}"
        return [Finding("gpu", "warn", text, here.as_root("reboot"))]
    if gpu.tool_problem is not None:
        return [Finding("gpu", "warn", f"nvidia-smi shows no card: {gpu.tool_problem}", _reinstall(here))]
    if gpu.on_bus and in_container:
        fix = "docker run --gpus all ... (the host needs nvidia-container-toolkit)"
        return [Finding("gpu", "warn", f"the host has {gpu.on_bus} NVIDIA card(s) this container cannot see", fix)]
    if gpu.on_bus:
        return [Finding("gpu", "warn", f"{gpu.on_bus} NVIDIA card(s), but no driver", _reinstall(here))]
    return [Finding("gpu", "ok", "no NVIDIA card; everything runs on the CPU")]


def parse_cards(table: str) -> tuple[Card, ...]:
    """Read the lines of nvidia-smi; fields the driver does not know stay empty."""
    cards = []
    for line in filter(None, map(str.strip, table.splitlines())):
        fields = [field.strip() for field in line.split(",")]
        name, driver, memory, capability = (fields + [""] * 4)[:4]
        known = capability if capability.replace(".", "", 1).isdecimal() else ""
        cards.append(Card(name, known, driver, float(memory) if memory.replace(".", "", 1).isdecimal() else None))
    return tuple(cards)


def _ask_tool() -> tuple[tuple[Card, ...], str | None]:
    """Cards, or what nvidia-smi complained about; neither where it is not installed."""
    done = run_tool(*_QUERY)
    if done is not None and done.code != 0 and "not a valid field" in done.output:  # before driver 510
        done = run_tool(_QUERY[0], _QUERY[1].removesuffix(",compute_cap"), _QUERY[2])
    if done is None:
        return (), None
    if done.code != 0 or "No devices" in done.output:
        return (), one_line(done.output) or f"it ended with code {done.code}"
    return parse_cards(done.output), None


def _cards_on_bus(devices: Path) -> int:
    count = 0
    for device in devices.glob("*"):
        try:
            vendor = (device / "vendor").read_text(encoding="ascii").strip()
            kind = (device / "class").read_text(encoding="ascii").strip()
        except OSError:
            continue
        count += vendor == _VENDOR and kind.startswith(_DISPLAY_CLASSES)
    return count


def _listing(gpu: Gpu) -> str:
    texts = []
    for card in gpu.cards:
        memory = f", {card.memory_mib / 1024:.0f} GiB" if card.memory_mib else ""
        capability = f", compute capability {card.capability}" if card.capability else ""
        texts.append(f"{card.name}{memory}{capability}")
    driver = next((card.driver for card in gpu.cards if card.driver), "")
    return "; ".join(texts) + (f"; driver {driver}" if driver else "")


def _reinstall(here: Installation) -> str:
    if shutil.which("ubuntu-drivers"):
        return f"{here.as_root('ubuntu-drivers install')}, then restart"
    return f"{here.as_root('apt-get install nvidia-driver')}, then restart"
