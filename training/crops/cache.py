"""Crops on the disk: memory-mapped arrays, and beside them what each row is and whether it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tsfmicro.errors import SourceError, UsageError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.training.crops.faces import Faces
from tsfmicro.training.crops.neighbours import Neighbours
from tsfmicro.values import UInt8Array

SCHEMA = "tsf.crops/1"
PENDING, DONE, FAILED = 0, 1, 2
_INDEX, _CROPS, _STATE, _FAILURES = "index.json", "crops.npy", "state.npy", "failures.json"
_NEIGHBOURS, _UNREADABLE = "neighbours.npy", "unreadable_neighbours.json"


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One clip to crop: its onset and apex, or a window of its frames."""

    key: str
    dataset: str
    subject: str
    clip: str
    sheet_onset: int
    label: str
    onset_file: str
    """Path of the picture, relative to the root."""
    apex_file: str
    window_files: tuple[str, ...] = ()
    """Paths of the frames of a window, in the order of time; empty where onset and apex are cropped."""
    neighbours: Neighbours = Neighbours()  # noqa: RUF009  frozen
    """Frames that training may take for onset and apex."""

    @property
    def files(self) -> tuple[str, ...]:
        """What is cropped, view by view."""
        return self.window_files or (self.onset_file, self.apex_file)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``window_files`` and ``neighbours`` only where there are any."""
        values = {name: getattr(self, name) for name in self.__slots__}
        window, near = values.pop("window_files"), values.pop("neighbours")
        values |= {"window_files": list(window)} if window else {}
        return {**values, "neighbours": near.to_dict()} if near else values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CacheEntry:
        """Read what :meth:`to_dict` wrote."""
        near = values.get("neighbours")
        return cls(**{
            **values,
            "window_files": tuple(values.get("window_files", ())),
            "neighbours": Neighbours.from_dict(near) if near else Neighbours(),
        })  # fmt: skip


@dataclass(frozen=True, slots=True)
class CacheIndex:
    """What a cache holds, and what it was made with."""

    dataset: str
    protocol_id: str
    audit_digest: str
    faces: Faces
    preprocess: PreprocessSpec
    entries: tuple[CacheEntry, ...]
    key_frame_range: float = 0.0
    """Share of the way from onset to apex within which neighbours were looked for; 0 where no clip is long enough."""

    @property
    def views(self) -> int:
        """Crops of each clip: 2, or the frames of a window."""
        return len(self.entries[0].files) if self.entries else 2

    @property
    def is_of_windows(self) -> bool:
        """Whether frames of windows are cropped instead of onset and apex."""
        return any(entry.window_files for entry in self.entries)

    @property
    def neighbour_starts(self) -> tuple[int, ...]:
        """Where each clip's neighbours begin among all, the onset's before the apex's, and last how many there are."""
        counts = (len(entry.neighbours.onset) + len(entry.neighbours.apex) for entry in self.entries)
        return tuple(accumulate(counts, initial=0))

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides the crops."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Deterministic JSON."""
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "dataset": self.dataset,
            "protocol": self.protocol_id,
            "audit_digest": self.audit_digest,
            "faces": self.faces.value,
            "preprocess": self.preprocess.to_dict(),
            "preprocess_digest": self.preprocess.digest,
            "clips": [entry.to_dict() for entry in self.entries],
        }
        if self.key_frame_range:
            values["key_frame_range"] = self.key_frame_range
        return json.dumps(values, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> CacheIndex:
        """Read what :meth:`to_json` wrote."""
        values = json.loads(text)
        return cls(
            values["dataset"],
            values["protocol"],
            values["audit_digest"],
            Faces(values["faces"]),
            PreprocessSpec.from_dict(values["preprocess"]),
            tuple(CacheEntry.from_dict(clip) for clip in values["clips"]),
            values.get("key_frame_range", 0.0),
        )


class CropCache:
    """A folder with the crops of one index. Open it with :func:`create_or_resume` or :func:`open_cache`."""

    def __init__(
        self, folder: Path, index: CacheIndex, crops: UInt8Array, neighbours: UInt8Array, state: UInt8Array
    ) -> None:
        self.folder = folder
        self.index = index
        self.crops = crops
        """(N, V, S, S, 3) uint8 RGB, memory-mapped: onset and apex of every entry, or the frames of its window."""
        self.neighbours = neighbours
        """(M, S, S, 3) uint8 RGB, memory-mapped: those of every entry, see ``CacheIndex.neighbour_starts``."""
        self._starts = index.neighbour_starts
        self._state = state
        self._failures: dict[str, str] = _read_dict(folder / _FAILURES)
        self._unreadable: dict[str, int] = _read_dict(folder / _UNREADABLE)

    @property
    def pending(self) -> list[int]:
        """Entries that nobody has tried yet."""
        return [int(i) for i in np.flatnonzero(self._state == PENDING)]

    @property
    def usable(self) -> list[int]:
        """Entries with crops."""
        return [int(i) for i in np.flatnonzero(self._state == DONE)]

    @property
    def failures(self) -> dict[str, str]:
        """Why an entry has no crops, by key."""
        return dict(self._failures)

    @property
    def unreadable_neighbours(self) -> dict[str, int]:
        """How many neighbours of an entry could not be cut, so that the key frame stands in their place, by key."""
        return dict(self._unreadable)

    def store(
        self, number: int, crops: Sequence[UInt8Array], neighbours: Sequence[UInt8Array] = (), unreadable: int = 0
    ) -> None:
        """Keep the V crops of a clip and its neighbours; they count once :meth:`flush` is called."""
        self.crops[number] = np.stack(crops)
        for place, picture in enumerate(neighbours, start=self._starts[number]):
            self.neighbours[place] = picture
        if unreadable:
            self._unreadable[self.index.entries[number].key] = unreadable
        self._state[number] = DONE

    def fail(self, number: int, reason: str) -> None:
        """Note that an entry cannot be cropped."""
        self._state[number] = FAILED
        self._failures[self.index.entries[number].key] = reason

    def flush(self) -> None:
        """Put everything on the disk, pictures before the marks that say they are there."""
        for pictures in (self.crops, self.neighbours):
            if isinstance(pictures, np.memmap):
                pictures.flush()
        _replace(self.folder / _FAILURES, json.dumps(self._failures, indent=1, ensure_ascii=False).encode())
        if self._unreadable:
            _replace(self.folder / _UNREADABLE, json.dumps(self._unreadable, indent=1, ensure_ascii=False).encode())
        partial = self.folder / f"{_STATE}.part"
        with partial.open("wb") as file:
            np.save(file, self._state)
        partial.replace(self.folder / _STATE)


def create_or_resume(folder: Path, index: CacheIndex) -> CropCache:
    """A new cache, or the one that was begun there with the very same index.

    Raises:
        UsageError: if another cache lies there, or something else.
    """
    path = folder / _INDEX
    if path.is_file():
        if path.read_text(encoding="utf-8") != index.to_json():
            raise UsageError(
                f"{folder} holds crops of other clips or of another preprocessing; name another folder, or remove it"
            )
        return open_cache(folder)
    if folder.exists() and any(entry.name not in {_CROPS, _NEIGHBOURS} for entry in folder.iterdir()):
        raise UsageError(f"{folder} is not empty and holds no crops; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    side = index.preprocess.align.size_px
    crops = _new_array(folder / _CROPS, (len(index.entries), index.views, side, side, 3))
    near = _new_array(folder / _NEIGHBOURS, (index.neighbour_starts[-1], side, side, 3))
    cache = CropCache(folder, index, crops, near, np.zeros(len(index.entries), dtype=np.uint8))
    cache.flush()
    _replace(path, index.to_json().encode())  # last: a cache without its index is begun anew
    return cache


def open_cache(folder: Path, *, writable: bool = True) -> CropCache:
    """An existing cache.

    Raises:
        SourceError: if there is none, or it is damaged.
    """
    try:
        index = CacheIndex.from_json((folder / _INDEX).read_text(encoding="utf-8"))
        mode: Literal["r+", "r"] = "r+" if writable else "r"
        crops = np.load(folder / _CROPS, mmap_mode=mode)
        side, wanted = crops.shape[-2], index.neighbour_starts[-1]
        near = np.load(folder / _NEIGHBOURS, mmap_mode=mode) if wanted else _nothing(side)
        state = np.load(folder / _STATE)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"{folder} holds no crops that can be read ({error}); make them with tsf-train prepare"
        ) from error
    if len(crops) != len(index.entries) or len(state) != len(index.entries) or len(near) != wanted:
        raise SourceError(f"{folder} is damaged: {len(crops)} crops for {len(index.entries)} clips; remove it")
    return CropCache(folder, index, crops, near, state)


def _new_array(path: Path, shape: tuple[int, ...]) -> UInt8Array:
    if shape[0] == 0:  # an empty file cannot be mapped
        return _nothing(shape[-2])
    made: UInt8Array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)  # type: ignore[no-untyped-call]
    return made


def _nothing(side: int) -> UInt8Array:
    return np.zeros((0, side, side, 3), dtype=np.uint8)


def _read_dict(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.part")
    partial.write_bytes(data)
    partial.replace(path)
