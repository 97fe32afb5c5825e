"""The machine a result was measured on: limits of control groups, threads, accelerators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tsfmicro.benchmarks import machine as module
from tsfmicro.benchmarks.machine import cpu_limit, gpus, machine, memory_limit_mib
from tsfmicro.benchmarks.reading import circumstances

GIB = 2**30
UNLIMITED_V1 = 9223372036854771712


def tree(root: Path, files: dict[str, object]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n", encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("files", "own", "cpus", "mib"),
    [
        ({"cpu.max": "150000 100000", "memory.max": 2 * GIB}, {"": "/"}, 1.5, 2048),
        ({"cpu.max": "max 100000", "memory.max": "max"}, {"": "/"}, None, None),
        # The tightest of the groups above counts, and a group that is not mounted here is no error.
        ({"a/cpu.max": "50000 100000", "a/b/cpu.max": "max 100000"}, {"": "/a/b"}, 0.5, None),
        ({"cpu.max": "200000 100000"}, {"": "/not/mounted/here"}, 2.0, None),
        (
            {"cpu/cpu.cfs_quota_us": 250000, "cpu/cpu.cfs_period_us": 100000, "memory/x/memory.limit_in_bytes": GIB},
            {"cpu": "/", "cpuacct": "/", "memory": "/x"},
            2.5,
            1024,
        ),
        (
            {
                "cpu/cpu.cfs_quota_us": -1,
                "cpu/cpu.cfs_period_us": 100000,
                "memory/memory.limit_in_bytes": UNLIMITED_V1,
            },
            {"cpu": "/", "memory": "/"},
            None,
            None,
        ),
        ({}, {}, None, None),
    ],
)
def test_limits_of_control_groups(
    tmp_path: Path, files: dict[str, object], own: dict[str, str], cpus: float | None, mib: int | None
) -> None:
    root = tree(tmp_path, files)
    assert cpu_limit(root, own) == cpus
    assert memory_limit_mib(root, own) == mib


def test_thread_settings_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    found = machine()["threads"]
    assert found["OMP_NUM_THREADS"] == "3" and "MKL_NUM_THREADS" not in found


def fake_smi(folder: Path, script: str) -> None:
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / "nvidia-smi").chmod(0o755)


def test_gpus_are_named_with_their_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus() == []
    fake_smi(tmp_path, 'echo "NVIDIA H200, 570.1, 143771 MiB, 1980 MHz, 700.00 W"')
    (found,) = gpus()
    assert (found["name"], found["driver_version"], found["power.limit"]) == ("NVIDIA H200", "570.1", "700.00 W")
    fake_smi(tmp_path, "echo no devices were found; exit 9")
    assert gpus() == []


def test_a_system_that_tells_nothing_gives_nulls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_PROC", "_GROUPS", "_GOVERNOR"):
        monkeypatch.setattr(module, name, tmp_path / "absent")
    found = machine()
    assert found["cpu_limit"] is found["memory_limit_mib"] is found["cpu_governor"] is found["memory_mib"] is None
    assert found["cpu"] and found["cpu_mhz"] is None
    json.dumps(found, allow_nan=False)


def test_clocks_are_those_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, {"cpuinfo": "cpu MHz\t\t: 2449.998\nbogomips : 1\ncpu MHz\t\t: 3100.4"})
    monkeypatch.setattr(module, "_PROC", tmp_path)
    assert machine()["cpu_mhz"] == [2450, 3100]


def test_what_differs_between_two_runs_is_named() -> None:
    before = {"cpu": "a", "kernel": "6", "commit": "x", "inputs": {"bundle": "1"}}
    after = {"cpu": "a", "kernel": "7", "commit": "y", "inputs": {"bundle": "2"}, "gpus": []}
    assert circumstances(before, after) == ["kernel", "inputs"]
