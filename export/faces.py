"""Crops of a face that moves a little or not at all, for comparing networks on what they will see."""

from __future__ import annotations

import functools

import numpy as np
from skimage import data

from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.preprocess import Preprocessor, PreprocessSpec
from tsfmicro.synthetic.pairs import PairSpec, draw_clip, draw_pair
from tsfmicro.synthetic.portrait import Portrait, portrait_of
from tsfmicro.synthetic.windows import random_window
from tsfmicro.values import UInt8Array

_MOVING = PairSpec(amplitude_percent_iod=(0.5, 4.0))
_ALMOST_STILL = PairSpec(
    amplitude_percent_iod=(0.0, 0.3), misalignment_px=0.0, turn_deg=0.0, noise_sigma=(0.0, 0.5), jpeg_share=0.0
)


def face_pairs(count: int, seed: int, spec: PreprocessSpec) -> tuple[UInt8Array, UInt8Array]:
    """Pairs made from the public-domain portrait as training makes them, every other one almost without movement.

    Returns:
        Onset and apex, (count, S, S, 3) uint8 RGB each, as ``spec`` crops them.
    """
    portrait = _astronaut()
    rng, preprocessor = np.random.default_rng(seed), Preprocessor(spec)
    pairs = [draw_pair((portrait,), _ALMOST_STILL if i % 2 else _MOVING, preprocessor, rng).crops for i in range(count)]
    return np.stack([pair.onset for pair in pairs]), np.stack([pair.apex for pair in pairs])


def face_windows(count: int, frames: int, seed: int, spec: PreprocessSpec) -> UInt8Array:
    """Windows of the same face, every other one almost without movement.

    Returns:
        (count, frames, S, S, 3) uint8 RGB, as ``spec`` crops them.
    """
    portrait = _astronaut()
    rng, preprocessor = np.random.default_rng(seed), Preprocessor(spec)
    clips = [
        draw_clip((portrait,), _ALMOST_STILL if i % 2 else _MOVING, preprocessor, rng, random_window(frames, rng))
        for i in range(count)
    ]
    return np.stack([np.stack(clip.crops) for clip in clips])


@functools.cache
def _astronaut() -> Portrait:
    with FaceMeshDetector(max_faces=1) as detector:
        return portrait_of("astronaut", np.asarray(data.astronaut(), dtype=np.uint8), detector)
