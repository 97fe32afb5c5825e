"""Things that are closed at the end of their ``with`` block, when that block fails too."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """Gives a class that has :meth:`close` its ``with`` block. Exceptions pass through."""

    __slots__ = ()

    @abstractmethod
    def close(self) -> None:
        """Give back what is held. Closing twice is harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
