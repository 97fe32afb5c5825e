"""The fixed split: which stretch of which footage serves tuning (train) and which only the final figures (test).

``split.csv`` was written before any constant of the spotter was chosen on it. It parts people, not clips: nobody is on
both sides. The footage itself may not be redistributed; ``tsf-bench spotting --media DIR`` looks for it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path

from tsfmicro.errors import UsageError


class Side(StrEnum):
    """Of the split."""

    TRAIN = "train"
    TEST = "test"


class Kind(StrEnum):
    """What a face does of its own accord."""

    STILL = "still"
    """One photograph, moved as a head: sway, parallax, blinks."""
    SEVERAL = "several"
    """A photograph of several people under a slowly moving camera."""
    QUIET = "quiet"
    """Real footage of a face that rests: small head motion, glances, blinks."""
    EXPRESSIVE = "expressive"
    """Real footage of a face that talks, grimaces or turns."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One stretch of footage."""

    name: str
    file: str
    """In the media folder; empty for the portrait that the project carries."""
    person: str
    side: Side
    kind: Kind
    from_s: float
    to_s: float
    """Equal to ``from_s`` where one frame is a photograph."""
    loop_s: float
    """Played forwards and backwards until so much has passed; 0 plays it once."""
    takes: int
    """How often it is used with other events, at the amplitudes that bars are set for."""
    nuisances: bool
    """Whether it is also run with noise, compression and flicker added."""
    rates: bool
    """Whether it is also rendered at other frame rates; stills only."""

    @property
    def photograph(self) -> bool:
        """Whether its motion is rendered."""
        return self.kind in {Kind.STILL, Kind.SEVERAL}


def read_split(side: Side | None = None) -> tuple[Clip, ...]:
    """The committed split, or one side of it."""
    text = resources.files("tsfmicro.benchmarks.spotting").joinpath("split.csv").read_text(encoding="utf-8")
    clips = tuple(_clip(row) for row in csv.DictReader(text.splitlines()))
    return tuple(clip for clip in clips if side is None or clip.side is side)


def require_media(folder: Path, clips: tuple[Clip, ...]) -> None:
    """Check that every file is there.

    Raises:
        UsageError: naming the folder, or the files that it lacks.
    """
    if not folder.is_dir():
        raise UsageError(
            f"there is no folder {folder} with the real footage that this benchmark needs; name it with --media DIR"
        )
    lacking = sorted({clip.file for clip in clips if clip.file and not (folder / clip.file).is_file()})
    if lacking:
        raise UsageError(f"{folder} lacks {', '.join(lacking)}; name the folder that holds them with --media DIR")


def _clip(row: dict[str, str]) -> Clip:
    return Clip(
        name=row["clip"],
        file=row["file"],
        person=row["person"],
        side=Side(row["side"]),
        kind=Kind(row["kind"]),
        from_s=float(row["from_s"]),
        to_s=float(row["to_s"]),
        loop_s=float(row["loop_s"]),
        takes=int(row["takes"]),
        nuisances=row["nuisances"] == "yes",
        rates=row["rates"] == "yes",
    )
