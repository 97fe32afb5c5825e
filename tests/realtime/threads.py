"""Threads in tests: joined, and what they raise fails the test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self


class Worker:
    """Runs functions in threads while entered."""

    def __init__(self, *functions: Callable[[], object]) -> None:
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(function,), name="worker") for function in functions]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a thread of the test hangs"
        if kind is None and self._errors:
            raise self._errors[0]

    def _run(self, function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as error:  # told to the test
            self._errors.append(error)
