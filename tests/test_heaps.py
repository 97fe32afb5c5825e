"""Threads share the heaps of malloc. Seen in processes of their own: the setting is the process's."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from tsfmicro import cli
from tsfmicro.heaps import share_heaps

THREADS = 12
TALK = f"""
import ctypes, threading
from tsfmicro.heaps import share_heaps
share_heaps()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
together = threading.Barrier({THREADS})
def hold():
    together.wait()
    libc.malloc(50_000)  # each call lets go of the interpreter's lock
    together.wait()
threads = [threading.Thread(target=hold) for _ in range({THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_stats()
"""


def heaps_of(**environment: str) -> int:
    """How many the process came to have, by what malloc itself prints."""
    done = subprocess.run(
        [sys.executable, "-c", TALK], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stderr.count("Arena ")


@pytest.fixture(autouse=True)
def of_glibc() -> None:
    if sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
        pytest.skip("this system has no glibc")


def test_there_are_as_many_as_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    assert 1 < heaps_of() <= max(2, len(os.sched_getaffinity(0)))


def test_what_the_user_says_stands() -> None:
    assert heaps_of(MALLOC_ARENA_MAX="5") == 5


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_nothing_is_done(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: object) -> None:
        raise AssertionError("another system's library was looked for")

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    share_heaps()


@pytest.mark.parametrize(("command", "shares"), [("live", True), ("bench", True), ("train", False)])
def test_what_runs_sessions_shares_them(command: str, shares: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    monkeypatch.setattr(cli, "share_heaps", lambda: said.append("heaps"))
    monkeypatch.setattr(cli, "_run", lambda *words: said.append("run"))
    getattr(cli, command)()
    assert said == (["heaps", "run"] if shares else ["run"])
