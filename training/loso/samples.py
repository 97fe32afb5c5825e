"""Crops and labels in memory, and the subsets that a fold may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tsfmicro.errors import UsageError
from tsfmicro.labels import protocol
from tsfmicro.training.crops.cache import CacheEntry, CropCache


@dataclass(frozen=True, slots=True, eq=False)
class NearFrames:
    """Frames beside the key frames of some clips."""

    pictures: Tensor
    """(M, S, S, 3) uint8 RGB, of these clips and perhaps of others."""
    first: Tensor
    """(N, 2) int64: where those of the onset and of the apex begin in ``pictures``."""
    count: Tensor
    """(N, 2) int64: how many there are of each."""

    def take(self, places: Tensor) -> NearFrames:
        """Those of the clips at these places."""
        return NearFrames(self.pictures, self.first[places], self.count[places])

    def to(self, device: torch.device) -> NearFrames:
        """On another device."""
        return NearFrames(self.pictures.to(device), self.first.to(device), self.count.to(device))


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Some clips."""

    crops: Tensor
    """(N, V, S, S, 3) uint8 RGB: onset and apex, or the frames of a window."""
    labels: Tensor
    """(N,) int64."""
    entries: tuple[CacheEntry, ...]
    classes: tuple[str, ...]
    near: NearFrames | None = None
    """What training may take for onset and apex; None where the cache holds nothing of the kind."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """People, sorted."""
        return tuple(sorted({entry.subject for entry in self.entries}))

    def __len__(self) -> int:
        return len(self.entries)

    def of(self, subjects: Sequence[str]) -> Samples:
        """Only the clips of these people."""
        wanted = set(subjects)
        return self.take([i for i, entry in enumerate(self.entries) if entry.subject in wanted])

    def without(self, subject: str) -> Samples:
        """Everybody else's clips."""
        return self.take([i for i, entry in enumerate(self.entries) if entry.subject != subject])

    def take(self, numbers: Sequence[int]) -> Samples:
        """The clips at these places."""
        places = torch.as_tensor(list(numbers), dtype=torch.int64, device=self.labels.device)
        entries = tuple(self.entries[i] for i in numbers)
        near = None if self.near is None else self.near.take(places)
        return Samples(self.crops[places], self.labels[places], entries, self.classes, near)

    def to(self, device: torch.device) -> Samples:
        """On another device."""
        near = None if self.near is None else self.near.to(device)
        return Samples(self.crops.to(device), self.labels.to(device), self.entries, self.classes, near)


def load_samples(cache: CropCache) -> Samples:
    """Every clip of a cache that has crops.

    Raises:
        UsageError: if a class of the protocol has no clip, or there are fewer than two people.
    """
    classes = protocol(cache.index.protocol_id).classes
    usable = cache.usable
    entries = tuple(cache.index.entries[i] for i in usable)
    lacking = [name for name in classes if name not in {entry.label for entry in entries}]
    if lacking:
        raise UsageError(
            f"{cache.folder} has no crop of {', '.join(lacking)}, so UF1 and UAR of {cache.index.protocol_id} are not "
            "defined; see its failures.json, or take another protocol"
        )
    if len({entry.subject for entry in entries}) < 2:
        raise UsageError(f"{cache.folder} has crops of one person only; leaving that one out leaves nobody")
    crops = torch.from_numpy(np.array(cache.crops[usable]))
    labels = torch.tensor([classes.index(entry.label) for entry in entries], dtype=torch.int64)
    return Samples(crops, labels, entries, classes, _near(cache, usable))


def _near(cache: CropCache, usable: Sequence[int]) -> NearFrames | None:
    if not len(cache.neighbours):
        return None
    starts = [cache.index.neighbour_starts[i] for i in usable]
    near = [cache.index.entries[i].neighbours for i in usable]
    first = [[start, start + len(of.onset)] for start, of in zip(starts, near, strict=True)]
    count = [[len(of.onset), len(of.apex)] for of in near]
    return NearFrames(torch.from_numpy(np.array(cache.neighbours)), torch.tensor(first), torch.tensor(count))
