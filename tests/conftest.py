"""What every test gets: no surviving threads, no shared randomness, no unnoticed errors in the log."""

from __future__ import annotations

import ctypes
import logging
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.running import Prompt, write_clip
from tsfmicro import cli

ROOT = Path(__file__).resolve().parents[1]

LIBRARY_THREADS = {
    "InductorSubproc": "torch.compile keeps one worker pool until the interpreter ends",
    "ExecutorManagerThread": "joblib, under scikit-learn, keeps its pool for the next call",
    "QueueFeederThread": "multiprocessing, under torch's DataLoader, ends with its queue",
}
"""Beginnings of the names of threads that libraries own, and why they may outlive the tests."""

THREAD_GRACE_S = 2.0


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """Where small networks run, a second thread costs more than it brings; and sums come in one order."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _surviving_threads() -> list[threading.Thread]:
    return [
        thread
        for thread in threading.enumerate()
        if thread is not threading.main_thread()
        and not isinstance(thread, threading._DummyThread)  # a native thread that once called into Python
        and not thread.name.startswith(tuple(LIBRARY_THREADS))
    ]


@pytest.fixture(scope="session", autouse=True)
def _no_surviving_threads() -> Iterator[None]:
    """Fail the session when a thread outlives the tests: somebody forgot to stop, drain and join it."""
    yield
    until = time.monotonic() + THREAD_GRACE_S
    while (left := _surviving_threads()) and time.monotonic() < until:
        left[0].join(timeout=0.05)
    assert not left, f"threads survive the tests: {sorted(thread.name for thread in left)}"


@pytest.fixture(autouse=True)
def _own_randomness() -> Iterator[None]:
    """Start every test from the same seeds and put the global generators back afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    torch = sys.modules.get("torch")
    torch_state = torch.get_rng_state() if torch else None
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    if torch:
        torch.manual_seed(0)
    yield
    random.setstate(python_state)
    np.random.set_state(numpy_state)  # noqa: NPY002
    if torch:
        torch.set_rng_state(torch_state)


@pytest.fixture(autouse=True)
def _no_error_logs(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test during which something logged at ERROR, unless it is marked ``logs_errors``."""
    yield
    if request.node.get_closest_marker("logs_errors"):
        return
    records = [*caplog.get_records("setup"), *caplog.get_records("call")]
    errors = [f"{r.name}: {r.getMessage()}" for r in records if r.levelno >= logging.ERROR]
    assert not errors, f"logged at ERROR (mark the test logs_errors if that is its subject): {errors}"


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """The folder of real footage beside the checkout; its licences keep it out of the repository."""
    folder = ROOT.parent / "shared" / "media"
    if not folder.is_dir():
        pytest.skip("no real footage: ../shared/media is not beside this checkout")
    return folder


def _cuda_devices() -> int:
    """Count CUDA devices by asking the driver; 0 without one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip gpu tests on machines without CUDA, but fail them where a GPU was promised."""
    if item.get_closest_marker("gpu") and not _cuda_devices():
        if os.environ.get("TSFMICRO_REQUIRE_GPU") == "1":
            pytest.fail("TSFMICRO_REQUIRE_GPU=1, but the driver shows no CUDA device", pytrace=False)
        pytest.skip("needs CUDA; the driver shows no device")


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Prompt:
    monkeypatch.delenv(cli.DEBUG_VARIABLE, raising=False)
    monkeypatch.setenv("COLUMNS", "300")
    return Prompt(monkeypatch, capfd)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")
