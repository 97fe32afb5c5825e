"""NVIDIA cards, their driver, and the runtimes that want them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.examples import ADA, ADA_GPU, HOPPER, HOPPER_GPU, NO_GPU, WHEEL
from tsfmicro.doctor import gpu as gpu_module
from tsfmicro.doctor.gpu import Card, Gpu, gather_gpu, judge_gpu, parse_cards
from tsfmicro.doctor.processes import Answer, ToolRun
from tsfmicro.doctor.runtimes import OPTIONAL_RUNTIMES, judge_onnxruntime, judge_runtime, judge_torch

TENSORRT, RTX, OPENVINO = OPTIONAL_RUNTIMES
TORCH: dict[str, Any] = {
    "version": "2.11.0+cu130",
    "cuda": "13.0",
    "available": True,
    "architectures": ["sm_75", "sm_80", "sm_90", "sm_120", "compute_120"],
    "torchvision_problem": None,
}


# --- the card -------------------------------------------------------------------------------------------------------


def test_lines_of_nvidia_smi() -> None:
    table = "NVIDIA GeForce RTX 4060 Ti, 580.65, 16380, 8.9\nTesla K80, 470.1, [N/A], [N/A]\n\n"
    assert parse_cards(table) == (ADA, Card("Tesla K80", "", "470.1", None))
    assert parse_cards("Tesla K80, 390.1, 11441\n") == (Card("Tesla K80", "", "390.1", 11441.0),)


@pytest.mark.parametrize(
    ("gpu", "in_container", "status", "detail", "fix"),
    [
        (NO_GPU, False, "ok", "no NVIDIA card", ""),
        (ADA_GPU, False, "ok", "RTX 4060 Ti, 16 GiB, compute capability 8.9; driver 580.65, CUDA 13.0 at most", ""),
        (replace(ADA_GPU, driver_cuda=None), False, "ok", "driver 580.65", ""),
        (Gpu(1, (), None), False, "warn", "no driver", "sudo "),
        (Gpu(2, (), None), True, "warn", "2 NVIDIA card(s) this container cannot see", "--gpus all"),
        (Gpu(1, (), None, "Driver/library version mismatch"), False, "warn", "not the installed one", "sudo reboot"),
        (Gpu(1, (), None, "couldn't communicate"), False, "warn", "couldn't communicate", "then restart"),
        (replace(ADA_GPU, library_problem="no libcuda"), True, "warn", "no libcuda", "CAPABILITIES=compute"),
        (replace(ADA_GPU, library_problem="no libcuda"), False, "warn", "no libcuda", "then restart"),
    ],
)
def test_gpu(gpu: Gpu, in_container: bool, status: str, detail: str, fix: str) -> None:
    (found,) = judge_gpu(gpu, in_container, WHEEL)
    assert found.status == status
    assert detail in found.detail and fix in (found.fix or "")


@pytest.mark.parametrize(
    ("tool", "library", "expected"),
    [
        (None, Answer({}, "no libcuda.so.1"), NO_GPU),
        (ToolRun(0, "NVIDIA H200, 580.65, 143771, 9.0\n"), Answer({"cuda": "13.0", "cards": []}), HOPPER_GPU),
        (None, Answer({"cuda": "12.6", "cards": [{"name": "Orin", "capability": "8.7"}]}),
         Gpu(0, (Card("Orin", "8.7"),), "12.6")),
        (ToolRun(9, "NVIDIA-SMI has failed\n"), Answer({}, "x"), Gpu(0, (), None, "NVIDIA-SMI has failed")),
        (ToolRun(0, "No devices were found\n"), Answer({}, "x"), Gpu(0, (), None, "No devices were found")),
        (ToolRun(0, "NVIDIA H200, 580.65, 143771, 9.0\n"), Answer({}, "cuInit failed with code 803"),
         Gpu(0, (HOPPER,), None, None, "cuInit failed with code 803")),
    ],
)  # fmt: skip
def test_what_is_gathered(
    monkeypatch: pytest.MonkeyPatch, tool: ToolRun | None, library: Answer, expected: Gpu
) -> None:
    monkeypatch.setattr(gpu_module, "run_tool", lambda *words: tool)
    monkeypatch.setattr(gpu_module, "ask", lambda probe: library)
    monkeypatch.setattr(gpu_module, "_cards_on_bus", lambda folder: 0)
    assert replace(gather_gpu(), on_bus=expected.on_bus) == expected


def test_an_old_nvidia_smi_is_asked_for_less(monkeypatch: pytest.MonkeyPatch) -> None:
    def tool(*words: str) -> ToolRun:
        if "compute_cap" in words[1]:
            return ToolRun(2, 'Field "compute_cap" is not a valid field to query.')
        return ToolRun(0, "Tesla K80, 470.1, 11441\n")

    monkeypatch.setattr(gpu_module, "run_tool", tool)
    monkeypatch.setattr(gpu_module, "ask", lambda probe: Answer({"cuda": "11.4", "cards": []}))
    assert gather_gpu().cards == (Card("Tesla K80", "", "470.1", 11441.0),)


def test_cards_on_the_bus(tmp_path: Path) -> None:
    for number, (vendor, kind) in enumerate([("0x10de", "0x030200"), ("0x10de", "0x040300"), ("0x8086", "0x030000")]):
        device = tmp_path / f"0000:0{number}"
        device.mkdir()
        (device / "vendor").write_text(vendor + "\n")
        (device / "class").write_text(kind + "\n")
    (tmp_path / "0000:09").mkdir()
    assert gpu_module._cards_on_bus(tmp_path) == 1
    assert gpu_module._cards_on_bus(tmp_path / "none") == 0


# --- torch ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "gpu", "status", "hint"),
    [
        ({}, NO_GPU, "ok", "runs on the CPU here"),
        ({}, ADA_GPU, "ok", "reaches the NVIDIA GeForce RTX 4060 Ti"),
        ({}, HOPPER_GPU, "ok", "reaches"),
        ({"cuda": None, "version": "2.11.0+cpu"}, NO_GPU, "ok", "built for the CPU alone"),
        ({"cuda": None, "version": "2.11.0+cpu"}, ADA_GPU, "warn", "beside a NVIDIA GeForce"),
        ({"available": False}, replace(ADA_GPU, driver_cuda="12.4"), "warn", "goes up to CUDA 12.4"),
        ({"available": False}, ADA_GPU, "warn", "does not reach the card"),
        ({"architectures": ["sm_75", "sm_120"]}, ADA_GPU, "warn", "without code for the NVIDIA GeForce"),
        ({"architectures": ["sm_120"]}, replace(ADA_GPU, cards=(replace(ADA, capability=""),)), "ok", "reaches"),
        ({"torchvision_problem": "RuntimeError: operator torchvision::nms does not exist"}, NO_GPU, "warn", "nms"),
    ],
)
def test_torch(changes: dict[str, Any], gpu: Gpu, status: str, hint: str) -> None:
    (found,) = judge_torch(Answer(TORCH | changes), gpu, WHEEL)
    assert found.status == status and hint in found.detail


@pytest.mark.parametrize(
    ("architectures", "capability", "runs"),
    [
        (["sm_80"], "8.9", True),
        (["sm_89"], "8.0", False),
        (["sm_80"], "9.0", False),
        (["compute_80"], "9.0", True),
        (["compute_90"], "8.9", False),
        (["sm_90a"], "9.0", True),
        (["sm_120"], "12.1", True),
        (["gfx90a"], "9.0", False),
        ([], "8.9", False),
    ],
)
def test_which_cards_a_build_has_code_for(architectures: list[str], capability: str, runs: bool) -> None:
    gpu = replace(ADA_GPU, cards=(replace(ADA, capability=capability),))
    (found,) = judge_torch(Answer(TORCH | {"architectures": architectures}), gpu, WHEEL)
    assert (found.status == "ok") is runs


def test_torch_is_optional() -> None:
    assert judge_torch(None, ADA_GPU, WHEEL)[0].status == "ok"
    (found,) = judge_torch(Answer({}, "OSError: libcudart.so.13"), ADA_GPU, WHEEL)
    assert found.status == "warn" and "libcudart" in found.detail


# --- the other runtimes ---------------------------------------------------------------------------------------------


def test_onnxruntime() -> None:
    answer = Answer({"version": "1.31.1", "providers": ["CUDAExecutionProvider", "CPUExecutionProvider"]})
    (found,) = judge_onnxruntime(["onnxruntime"], answer, WHEEL)
    assert (found.status, found.detail) == ("ok", "1.31.1, providers: CUDA, CPU")


def test_two_onnxruntimes_write_one_folder() -> None:
    (found,) = judge_onnxruntime(["onnxruntime", "onnxruntime-gpu"], Answer({}, "broken"), WHEEL)
    assert found.status == "warn" and "overwrite each other" in found.detail
    assert found.fix and found.fix.startswith("/env/bin/python -m pip uninstall -y onnxruntime onnxruntime-gpu && ")


@pytest.mark.parametrize(
    "answer", [Answer({}, "ImportError: DLL"), Answer({"version": "1.31.1", "providers": ["AzureExecutionProvider"]})]
)
def test_without_the_cpu_provider_nothing_runs(answer: Answer) -> None:
    (found,) = judge_onnxruntime(["onnxruntime"], answer, WHEEL)
    assert found.status == "fail" and found.fix and "--force-reinstall" in found.fix


def test_optional_runtimes_may_be_absent() -> None:
    for wanted in OPTIONAL_RUNTIMES:
        (found,) = judge_runtime(wanted, None, ADA_GPU, WHEEL)
        assert (found.check, found.status) == (wanted.check, "ok") and "optional" in found.detail


def test_a_runtime_that_cannot_be_imported() -> None:
    (found,) = judge_runtime(TENSORRT, Answer({}, "ImportError: libnvinfer.so.10"), ADA_GPU, WHEEL)
    assert found.status == "warn" and "libnvinfer" in found.detail
    assert found.fix and "tsfmicro[tensorrt]" in found.fix


@pytest.mark.parametrize(
    ("wanted", "gpu", "status", "hint"),
    [
        (TENSORRT, NO_GPU, "ok", "cannot run an engine"),
        (TENSORRT, HOPPER_GPU, "ok", "1.5.0"),
        (RTX, ADA_GPU, "ok", "1.5.0"),
        (RTX, HOPPER_GPU, "warn", "not made for the NVIDIA H200"),
        (OPENVINO, NO_GPU, "ok", "1.5.0"),
    ],
)
def test_a_runtime_and_the_card(wanted: Any, gpu: Gpu, status: str, hint: str) -> None:
    (found,) = judge_runtime(wanted, Answer({"version": "1.5.0"}), gpu, WHEEL)
    assert found.status == status and hint in found.detail
