"""What computes: ONNX Runtime, which every run needs, and what is optional: torch, TensorRT, OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from tsfmicro.doctor.findings import Finding, one_line
from tsfmicro.doctor.gpu import Card, Gpu
from tsfmicro.doctor.installation import Installation
from tsfmicro.doctor.processes import Answer, ask
from tsfmicro.doctor.requirements import canonical, release

_ONNXRUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-rocm")
_RTX_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""Compute capabilities that TensorRT-RTX is documented for; Hopper and Jetson Orin are not among them."""


@dataclass(frozen=True, slots=True)
class OptionalRuntime:
    """A package that some backend or target needs."""

    check: str
    module: str
    extra: str
    purpose: str
    needs_gpu: bool


OPTIONAL_RUNTIMES = (
    OptionalRuntime("tensorrt", "tensorrt", "tensorrt", "FP16 engines", True),
    OptionalRuntime("tensorrt-rtx", "tensorrt_rtx", "rtx", "FP16 engines for RTX cards", True),
    OptionalRuntime("openvino", "openvino", "openvino", "quicker recognition on the CPU", False),
)


def gather_onnxruntimes() -> list[str]:
    """Installed distributions that write the folder ``onnxruntime/``."""
    names = {canonical(distribution.metadata["Name"] or "") for distribution in metadata.distributions()}
    return [name for name in _ONNXRUNTIMES if name in names]


def judge_onnxruntime(distributions: Sequence[str], answer: Answer, here: Installation) -> list[Finding]:
    """One distribution that can be imported and has the CPU provider."""
    again = here.reinstall("onnxruntime>=1.20,<2") if distributions else here.install("onnxruntime>=1.20,<2")
    if len(distributions) > 1:
        listed = " and ".join(distributions)
        fix = f"{here.uninstall(*distributions)} && {here.install('onnxruntime>=1.20,<2')}"
        return [Finding("onnxruntime", "warn", f"{listed} write the same folder and overwrite each other", fix)]
    if answer.problem is not None:
        return [Finding("onnxruntime", "fail", f"cannot be imported: {answer.problem}", again)]
    providers = [str(name).removesuffix("ExecutionProvider") for name in answer.values["providers"]]
    text = f"{answer.values['version']}, providers: {', '.join(providers)}"
    if "CPU" not in providers:
        return [Finding("onnxruntime", "fail", f"{text}; the CPU provider is missing", again)]
    return [Finding("onnxruntime", "ok", text)]


def gather_torch() -> Answer | None:
    """What torch says of itself; None where it is not installed."""
    return ask("torch") if find_spec("torch") is not None else None


def judge_torch(answer: Answer | None, gpu: Gpu, here: Installation) -> list[Finding]:
    """Whether torch fits the card. ``tsf-live`` does without torch, so nothing here fails."""
    if answer is None:
        return [
            Finding("torch", "ok", f"not installed; tsf-train and tsf-export need it: {here.install_project('train')}")
        ]
    again = f"{here.uninstall('torch', 'torchvision')} && {here.install('torch>=2.9,<3', 'torchvision>=0.24,<1')}"
    if answer.problem is not None:
        return [Finding("torch", "warn", f"cannot be imported: {answer.problem}", again)]
    version, cuda = answer.values["version"], answer.values["cuda"]
    built = f"{version}, built for CUDA {cuda}" if cuda else f"{version}, built for the CPU alone"
    if answer.values["torchvision_problem"] is not None:
        text = f"{built}; torchvision does not fit it: {one_line(answer.values['torchvision_problem'])}"
        return [Finding("torch", "warn", text, again)]
    if not gpu.cards:
        return [Finding("torch", "ok", f"{built}; runs on the CPU here")]
    if cuda is None:
        return [Finding("torch", "warn", f"{built}, beside a {gpu.cards[0].name}", again)]
    if gpu.driver_cuda is not None and release(cuda)[:1] > release(gpu.driver_cuda)[:1]:
        text = f"{built}; the driver goes up to CUDA {gpu.driver_cuda}"
        fix = f"install a newer driver, or: {here.install('torch>=2.9,<3')} from the wheels for CUDA {gpu.driver_cuda}"
        return [Finding("torch", "warn", text, fix)]
    if not answer.values["available"]:
        fix = f"{here.python} -c 'import torch; torch.zeros(1).cuda()'"
        return [Finding("torch", "warn", f"{built}; it does not reach the card; what it says: see the command", fix)]
    strange = [c for c in gpu.cards if c.capability and not _runs_on(answer.values["architectures"], c.capability)]
    if strange:
        text = f"{built} without code for the {strange[0].name} (compute capability {strange[0].capability})"
        return [Finding("torch", "warn", text, again)]
    return [Finding("torch", "ok", f"{built}; reaches the {gpu.cards[0].name}")]


def gather_runtime(wanted: OptionalRuntime) -> Answer | None:
    """Its version; None where it is not installed."""
    return ask("runtime", wanted.module) if find_spec(wanted.module) is not None else None


def judge_runtime(wanted: OptionalRuntime, answer: Answer | None, gpu: Gpu, here: Installation) -> list[Finding]:
    """Whether an optional runtime can be imported and used here."""
    if answer is None:
        return [Finding(wanted.check, "ok", f"not installed; optional, for {wanted.purpose}")]
    if answer.problem is not None:
        fix = here.install_project(wanted.extra)
        return [Finding(wanted.check, "warn", f"installed, but cannot be imported: {answer.problem}", fix)]
    version = answer.values["version"]
    if wanted.needs_gpu and not gpu.cards:
        return [Finding(wanted.check, "ok", f"{version}; without an NVIDIA card it cannot run an engine")]
    foreign = _outside_rtx(gpu.cards) if wanted.check == "tensorrt-rtx" else None
    if foreign is not None:
        text = f"{version} is not made for the {foreign.name} (compute capability {foreign.capability})"
        return [Finding(wanted.check, "warn", text, f"use TensorRT itself: {here.install_project('tensorrt')}")]
    return [Finding(wanted.check, "ok", version)]


def _outside_rtx(cards: Sequence[Card]) -> Card | None:
    return next((card for card in cards if card.capability and card.capability not in _RTX_CAPABILITIES), None)


def _runs_on(architectures: Sequence[str], capability: str) -> bool:
    """Code of a build runs on cards of its own major number from its minor one up; PTX on all later ones."""
    card = tuple(int(part) for part in capability.split("."))
    for name in architectures:
        kind, _, digits = name.partition("_")
        digits = digits.rstrip("af")
        if not digits.isdecimal():
            continue
        built = (int(digits[:-1]), int(digits[-1]))
        if (kind == "sm" and built[0] == card[0] and built <= card) or (kind == "compute" and built <= card):
            return True
    return False
