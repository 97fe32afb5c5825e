"""Processors, memory, clock, console, display, and the folder of the results."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.examples import CONTAINER, PLAIN, WHEEL
from tsfmicro.doctor import display as display_module
from tsfmicro.doctor.display import Display, gather_display, judge_display
from tsfmicro.doctor.limits import Limits, Resources, gather_resources, read_limits
from tsfmicro.doctor.machine import (
    Clock,
    Folder,
    gather_clock,
    gather_folder,
    gather_surroundings,
    judge_clock,
    judge_console,
    judge_folder,
    judge_resources,
)
from tsfmicro.doctor.processes import Answer

QUIET = Resources(logical_cpus=8, usable_cpus=8, quota_cpus=None, load_1min=0.5, available_gib=12.0)
CLOCK = Clock(monotonic=True, resolution_s=1e-9, ran_backwards=False, year=2026)


# --- processors and memory ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status", "hint"),
    [
        ({}, "ok", "8 processors"),
        ({"usable_cpus": 2}, "ok", "2 of 8 processors"),
        ({"usable_cpus": 1}, "warn", "wants two"),
        ({"quota_cpus": 1.5}, "warn", "only the time of 1.5"),
        ({"quota_cpus": 8.0}, "ok", "8 processors"),
        ({"load_1min": 10.1}, "warn", "load 10.1"),
        ({"load_1min": 9.9}, "ok", "8 processors"),
        ({"load_1min": None}, "ok", "8 processors"),
    ],
)
def test_processors(changes: dict[str, Any], status: str, hint: str) -> None:
    cpu = judge_resources(replace(QUIET, **changes), PLAIN)[0]
    assert (cpu.check, cpu.status) == ("cpu", status) and hint in cpu.detail


def test_a_quota_is_mended_by_a_set_of_processors() -> None:
    cpu = judge_resources(replace(QUIET, quota_cpus=3.5), CONTAINER)[0]
    assert "in a container" in cpu.detail and cpu.fix and "--cpuset-cpus 0-2" in cpu.fix


@pytest.mark.parametrize(
    ("available_gib", "status"), [(12.0, "ok"), (1.0, "ok"), (0.9, "warn"), (0.0, "warn"), (None, "ok")]
)
def test_memory(available_gib: float | None, status: str) -> None:
    memory = judge_resources(replace(QUIET, available_gib=available_gib), CONTAINER)[1]
    assert (memory.check, memory.status) == ("memory", status)
    assert ("--memory" in (memory.fix or "")) is (status == "warn")


def groups(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")


def test_limits_of_version_2(tmp_path: Path) -> None:
    groups(tmp_path, {"own/cpu.max": "150000 100000", "own/memory.max": "2000", "own/memory.current": "500"})
    assert read_limits(tmp_path, "0::/own\n") == Limits(1.5, 1500)
    groups(tmp_path, {"own/cpu.max": "max 100000", "own/memory.max": "max"})
    assert read_limits(tmp_path, "0::/own\n") == Limits(None, None)


def test_limits_inside_a_container_are_at_the_root(tmp_path: Path) -> None:
    groups(tmp_path, {"cpu.max": "200000 100000", "memory.max": "1000"})
    assert read_limits(tmp_path, "0::/\n") == Limits(2.0, 1000)


def test_limits_of_version_1(tmp_path: Path) -> None:
    groups(tmp_path, {
        "cpu,cpuacct/cpu.cfs_quota_us": "50000", "cpu,cpuacct/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": "9223372036854771712",
        "memory/job/memory.limit_in_bytes": "1000", "memory/job/memory.usage_in_bytes": "1200",
    })  # fmt: skip
    assert read_limits(tmp_path, "4:memory:/job\n2:cpu,cpuacct:/job\n") == Limits(0.5, 0)
    groups(tmp_path, {"cpu,cpuacct/cpu.cfs_quota_us": "-1"})
    assert read_limits(tmp_path, "2:cpu,cpuacct:/\n") == Limits(None, None)


def test_no_control_groups(tmp_path: Path) -> None:
    assert read_limits(tmp_path / "none", "") == Limits(None, None)


def test_this_machine_has_processors() -> None:
    found = gather_resources()
    assert 1 <= found.usable_cpus <= found.logical_cpus
    assert found.available_gib is None or found.available_gib > 0


def test_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert gather_surroundings().in_container


# --- clock and console ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status", "hint"),
    [
        ({}, "ok", "1e-06 ms"),
        ({"monotonic": False}, "fail", "backwards"),
        ({"ran_backwards": True}, "fail", "backwards"),
        ({"resolution_s": 0.0156}, "warn", "15.6 ms"),
        ({"year": 1970}, "warn", "1970"),
    ],
)
def test_clock(changes: dict[str, Any], status: str, hint: str) -> None:
    (found,) = judge_clock(replace(CLOCK, **changes), WHEEL)
    assert found.status == status and hint in found.detail


def test_this_clock_runs_forwards() -> None:
    clock = gather_clock()
    assert clock.monotonic and not clock.ran_backwards and 0 < clock.resolution_s < 1


@pytest.mark.parametrize(
    ("encoding", "status"), [("utf-8", "ok"), ("UTF-16", "ok"), ("ascii", "warn"), ("latin-1", "warn"),
                             (None, "warn"), ("no-such-code", "warn")]
)  # fmt: skip
def test_console(encoding: str | None, status: str) -> None:
    (found,) = judge_console(encoding)
    assert found.status == status
    assert ("LANG=C.UTF-8" in (found.fix or "")) is (status == "warn")


# --- display --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("display", "status", "detail", "fix"),
    [
        (Display("", None), "ok", "without a window", ""),
        (Display("DISPLAY=:0", Answer({})), "ok", "DISPLAY=:0: a window opens", ""),
        (Display("DISPLAY=:9", Answer({}, "ended by SIGABRT: qt.qpa.xcb: could not connect to display :9 ...")),
         "fail", "no display answers there", "--no-display"),
        (Display("DISPLAY=:9", Answer({}, "no answer within 20 s")), "fail", "no answer within", "unset DISPLAY"),
        (Display("DISPLAY=:0", Answer({}, "error: The function is not implemented")), "fail", "without windows",
         "mend opencv"),
    ],
)  # fmt: skip
def test_display(display: Display, status: str, detail: str, fix: str) -> None:
    (found,) = judge_display(display)
    assert found.status == status and detail in found.detail and fix in (found.fix or "")


@pytest.mark.skipif(os.name != "posix" or os.uname().sysname != "Linux", reason="the variables are Linux's")
def test_a_window_is_tried_only_where_a_display_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def ask(probe: str, timeout_s: float) -> Answer:
        tried.append(probe)
        return Answer({})

    monkeypatch.setattr(display_module, "ask", ask)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert gather_display() == Display("", None) and not tried
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert gather_display() == Display("WAYLAND_DISPLAY=wayland-0", Answer({}))
    assert tried == ["window"]


# --- where results go -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "status", "detail", "fix"),
    [
        (Folder(Path("runs"), None, 9000.0), "ok", "runs can be written, 9 GiB free", ""),
        (Folder(Path("runs"), None, None), "ok", "runs can be written", ""),
        (Folder(Path("runs"), None, 700.0), "warn", "700 MiB free", "make room"),
        (Folder(Path("runs"), None, 20.0), "fail", "is full, 20 MiB free", "make room"),
        (Folder(Path("runs"), os.strerror(28), 0.0), "fail", "is full", "make room"),
        (Folder(Path("my runs"), "Permission denied", 9000.0), "fail", "Permission denied", "mkdir -p 'my runs'"),
    ],
)
def test_folder(folder: Folder, status: str, detail: str, fix: str) -> None:
    (found,) = judge_folder(folder)
    assert found.status == status and detail in found.detail and fix in (found.fix or "")


def test_a_folder_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    found = gather_folder(tmp_path / "a" / "b")  # would be made by the run
    assert found.problem is None and found.free_mib is not None
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    assert gather_folder(tmp_path / "runs").problem == "Not a directory"
