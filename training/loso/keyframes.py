"""Which frames a training pair is made of. Only training asks; evaluation reads the annotated pairs themselves.

The paper says nothing of it. The released program of TSFmicro searches, within a few frames of the annotated ones, for
the pair that differs most; MMNet's draws frames at random there. Drawing is the default: a search is one more choice
that is made by looking at the data, and it prefers whatever moves most, blinks included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from tsfmicro.training.loso.samples import NearFrames, Samples
from tsfmicro.training.loso.spec import KeyFrames

Pairs = Callable[[Tensor], Tensor]
"""From places (B,) of training clips to their views (B, V, S, S, 3) uint8."""


def pairs_of(samples: Samples, key_frames: KeyFrames, generator: torch.Generator) -> Pairs:
    """What an epoch takes its batches from.

    Args:
        samples: the training clips; without neighbours, as of windows, they are taken as they are.
        key_frames: which frames to take.
        generator: on the CPU, so that a seed means the same on every device.
    """
    near = samples.near
    if near is None or key_frames is KeyFrames.ANNOTATED:
        return lambda places: samples.crops[places]
    if key_frames is KeyFrames.LARGEST:
        crops = with_largest_difference(samples, near).crops
        return lambda places: crops[places]
    return lambda places: jittered(samples.crops[places], near.take(places), generator)


def jittered(pairs: Tensor, near: NearFrames, generator: torch.Generator) -> Tensor:
    """Draw onset and apex of each pair, apart from each other, from the key frame and its neighbours alike.

    Args:
        pairs: (B, 2, S, S, 3) uint8, annotated; left as they are.
        near: the neighbours of these B clips.
        generator: on the CPU.

    Returns:
        (B, 2, S, S, 3) uint8.
    """
    draws = torch.rand(len(pairs), 2, generator=generator).to(pairs.device)
    drawn = (draws * (near.count + 1)).long().minimum(near.count)  # (B, 2), 0 is the key frame
    clips, views = torch.nonzero(drawn, as_tuple=True)
    pairs = pairs.clone()
    pairs[clips, views] = near.pictures[near.first[clips, views] + drawn[clips, views] - 1]
    return pairs


def with_largest_difference(samples: Samples, near: NearFrames) -> Samples:
    """The same clips, each with that pair of frames whose squared differences sum to most; of equals the nearest."""
    crops = samples.crops.clone()
    for clip in torch.nonzero(near.count.sum(dim=1))[:, 0].tolist():
        onsets, apexes = (
            torch.cat([crops[clip, view][None], near.pictures[start : start + count]])
            for view, (start, count) in enumerate(
                zip(near.first[clip].tolist(), near.count[clip].tolist(), strict=True)
            )
        )
        sums = (apexes[None].int() - onsets[:, None].int()).square().sum(dim=(2, 3, 4))  # (onsets, apexes)
        onset, apex = divmod(int(sums.argmax()), len(apexes))
        crops[clip] = torch.stack([onsets[onset], apexes[apex]])
    return replace(samples, crops=crops)
