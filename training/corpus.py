"""The synthetic corpus: clips drawn on the fly, each from its own seed, so that any worker count gives the same run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tsfmicro.models.card import AnyConfig
from tsfmicro.models.fdp.config import FdpConfig
from tsfmicro.preprocess import Preprocessor
from tsfmicro.synthetic.pairs import LabelledClip, PairSpec, draw_clip, draw_pair
from tsfmicro.synthetic.portrait import Portrait
from tsfmicro.synthetic.windows import random_window

Sample = tuple[Tensor, Tensor, int, Tensor]
"""Onset and apex crop, both (S, S, 3) uint8 RGB, the index of the class, and (2, U) contractions in percent of the
inter-ocular distance. In a sample of a window its T frames stand in the place of onset and apex."""


class SyntheticClips(Dataset[Any]):
    """``length`` clips of people made from the portraits; every person is drawn equally often.

    Args:
        people: portraits by person.
        spec: the distribution of clips.
        preprocessor: the one that goes into the bundle.
        seed, length: sample ``i`` depends on ``(seed, i)`` alone.
    """

    def __init__(
        self,
        people: dict[str, tuple[Portrait, ...]],
        spec: PairSpec,
        preprocessor: Preprocessor,
        *,
        seed: int,
        length: int,
    ) -> None:
        self._people: Sequence[tuple[Portrait, ...]] = tuple(people.values())
        self._spec = spec
        self._preprocessor = preprocessor
        self._seed = seed
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self._length:
            raise IndexError(index)
        rng = np.random.default_rng((self._seed, index))
        person = self._people[rng.integers(len(self._people))]
        clip = self.draw(person, rng)
        views = (torch.from_numpy(crop) for crop in clip.crops)
        return *views, self._spec.classes.index(clip.emotion), torch.from_numpy(clip.contractions)

    @abstractmethod
    def draw(self, person: tuple[Portrait, ...], rng: np.random.Generator) -> LabelledClip:
        """One clip of one of the person's pictures."""


class SyntheticPairs(SyntheticClips):
    """Onset and apex."""

    def draw(self, person: tuple[Portrait, ...], rng: np.random.Generator) -> LabelledClip:
        """See ``SyntheticClips.draw``."""
        pair = draw_pair(person, self._spec, self._preprocessor, rng)
        return LabelledClip((pair.crops.onset, pair.crops.apex), pair.emotion, pair.person, pair.contractions)


class SyntheticWindows(SyntheticClips):
    """The frames of windows around a movement, which neither begin nor end exactly where it does.

    Args:
        frames: of each window.
        people, spec, preprocessor, seed, length: see ``SyntheticClips``.
    """

    def __init__(
        self,
        frames: int,
        people: dict[str, tuple[Portrait, ...]],
        spec: PairSpec,
        preprocessor: Preprocessor,
        *,
        seed: int,
        length: int,
    ) -> None:
        super().__init__(people, spec, preprocessor, seed=seed, length=length)
        self._frames = frames

    def draw(self, person: tuple[Portrait, ...], rng: np.random.Generator) -> LabelledClip:
        """See ``SyntheticClips.draw``."""
        return draw_clip(person, self._spec, self._preprocessor, rng, random_window(self._frames, rng))


def drawn_for(
    config: AnyConfig,
    people: dict[str, tuple[Portrait, ...]],
    spec: PairSpec,
    preprocessor: Preprocessor,
    *,
    seed: int,
    length: int,
) -> SyntheticClips:
    """The clips that a network learns from: pairs, or windows for FDP."""
    if isinstance(config, FdpConfig):
        return SyntheticWindows(config.frames, people, spec, preprocessor, seed=seed, length=length)
    return SyntheticPairs(people, spec, preprocessor, seed=seed, length=length)
