"""The synthetic corpus: pairs drawn on the fly, each from its own seed, so that any worker count gives the same run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tsfmicro.preprocess import Preprocessor
from tsfmicro.synthetic.pairs import PairSpec, draw_pair
from tsfmicro.synthetic.portrait import Portrait

Sample = tuple[Tensor, Tensor, int, Tensor]
"""Onset and apex crop, both (S, S, 3) uint8 RGB, the index of the class, and (2, U) contractions in percent of the
inter-ocular distance."""


class SyntheticPairs(Dataset[Sample]):
    """``length`` pairs of people made from the portraits; every person is drawn equally often.

    Args:
        people: portraits by person.
        spec: the distribution of pairs.
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

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self._length:
            raise IndexError(index)
        rng = np.random.default_rng((self._seed, index))
        person = self._people[rng.integers(len(self._people))]
        pair = draw_pair(person, self._spec, self._preprocessor, rng)
        onset, apex = (torch.from_numpy(crop) for crop in (pair.crops.onset, pair.crops.apex))
        return onset, apex, self._spec.classes.index(pair.emotion), torch.from_numpy(pair.contractions)
