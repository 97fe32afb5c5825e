"""What became of every frame of a source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Ledger:
    """Counts of one source, or of all of them.

    Of a recording they depend on the file alone: ``dropped``, ``late`` and ``times_lost`` are 0.
    """

    captured: int = 0
    """Frames that arrived with a picture and a time."""
    analysed: int = 0
    """Frames that went through the pipeline."""
    dropped: int = 0
    """Captured and given up, because the analysis was slower than the source."""
    late: int = 0
    """Live: analysed, but later than one frame period after their capture."""
    repeated: int = 0
    """Captured with exactly the picture of the frame before."""
    undecodable: int = 0
    """Pictures that could not be decoded."""
    misstamped: int = 0
    """Pictures whose time was missing, or did not advance, or jumped."""
    longest_gap_s: float = 0.0
    """Longest media time from one captured frame to the next."""
    times_lost: int = 0
    """How often the source went away."""


def total(ledgers: Iterable[Ledger]) -> Ledger:
    """The sum; the longest of the gaps."""
    rows = list(ledgers)
    sums = {f.name: sum(getattr(row, f.name) for row in rows) for f in fields(Ledger) if f.name != "longest_gap_s"}
    return Ledger(**sums, longest_gap_s=max((row.longest_gap_s for row in rows), default=0.0))
