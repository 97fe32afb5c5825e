"""``tsf-doctor`` as a user and a program meet it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.running import Prompt, environment, spawn
from tsfmicro.doctor import commands
from tsfmicro.doctor.examine import Check, all_checks
from tsfmicro.doctor.findings import Finding

FIELDS = ["check", "status", "detail", "fix"]
NAMES = [
    "python", "packages", "conflicts", "opencv", "opencv-import", "landmarks", "bundle", "video", "camera", "display",
    "cpu", "gpu", "onnxruntime", "torch", "tensorrt", "tensorrt-rtx", "openvino", "output", "clock", "console",
]  # fmt: skip


def findings_of(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    def checks(bundles: object, shipped: object, out: object) -> list[Check]:
        return [Check(finding.check, lambda finding=finding: [finding]) for finding in findings]  # type: ignore[misc]

    monkeypatch.setattr(commands, "all_checks", checks)


def test_names_that_scripts_select_by() -> None:
    assert [check.name for check in all_checks([], commands.SHIPPED, Path())] == NAMES


def test_a_whole_report(prompt: Prompt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    done = prompt("tsf-doctor", "--json", "--out", tmp_path, "--model", tmp_path / "none.tsf")
    findings = json.loads(done.out)
    assert all(list(finding) == FIELDS for finding in findings)
    assert {finding["status"] for finding in findings} <= {"ok", "warn", "fail"}
    assert all(finding["fix"] for finding in findings if finding["status"] != "ok")
    assert {finding["check"] for finding in findings} == {*NAMES, "tested-versions", "memory"}
    assert [f["detail"] for f in findings if "check itself failed" in f["detail"]] == []
    shipped, asked = [finding for finding in findings if finding["check"] == "bundle"]
    assert (shipped["status"], asked["status"]) == ("ok", "fail")
    assert str(tmp_path / "none.tsf") in asked["detail"]
    assert done.code == 5
    assert done.err == ""


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ((Finding("python", "ok", "3.11"), Finding("camera", "warn", "slow", "another")), 0),
        ((Finding("bundle", "fail", "changed", "again"),), 5),
        ((Finding("opencv", "fail", "two", "uninstall"), Finding("bundle", "fail", "changed", "again")), 6),
    ],
)
def test_exit_codes(prompt: Prompt, monkeypatch: pytest.MonkeyPatch, findings: tuple[Finding, ...], code: int) -> None:
    findings_of(monkeypatch, *findings)
    done = prompt("tsf-doctor")
    assert done.code == code
    lines = done.out.splitlines()
    assert len(lines) == len(findings) + 1
    assert lines[0].startswith(findings[0].status) and done.err == ""


def test_help_has_examples_and_exit_codes(prompt: Prompt) -> None:
    done = prompt("tsf-doctor", "--help")
    assert (done.code, done.err) == (0, "")
    for hint in ("Usage: tsf-doctor", "tsf-doctor --model mine.tsf", "jq", "Exit codes: 0"):
        assert hint in done.out


def test_what_the_command_line_refuses(prompt: Prompt) -> None:
    done = prompt("tsf-doctor", "--jsn")
    assert (done.code, done.out) == (2, "") and "--json" in done.err


def test_a_broken_numpy_is_reported_and_not_met(tmp_path: Path) -> None:
    """The doctor itself leans on nothing that it examines."""
    for name in ("numpy", "cv2", "mediapipe", "av", "onnxruntime", "safetensors", "skimage", "torch"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('built for another numpy')\n")
    shadowed = environment()
    shadowed["PYTHONPATH"] = os.pathsep.join([str(tmp_path), shadowed["PYTHONPATH"]])
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        shadowed.pop(name, None)
    done = subprocess.run(
        spawn("--json", script="doctor"), env=shadowed, capture_output=True, text=True, check=False, cwd=tmp_path,
        timeout=120,
    )  # fmt: skip
    status = {finding["check"]: finding["status"] for finding in json.loads(done.stdout)}
    assert done.returncode == 6 and done.stderr == ""
    for name in ("opencv-import", "landmarks", "recogniser", "video", "onnxruntime"):
        assert status[name] == "fail", name
    assert status["torch"] == "warn"


def test_a_console_that_lacks_letters(tmp_path: Path) -> None:
    out = tmp_path / "→"
    plain = environment() | {"PYTHONIOENCODING": "latin-1"}
    command = spawn("--out", out, script="doctor")
    done = subprocess.run(command, env=plain, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120)
    assert "names and tables will break" in done.stdout and "\\u2192 can be written" in done.stdout
    assert "Traceback" not in done.stderr
