"""Windows of frames, for recognisers without key frames: of one movement, or of the last half second of a face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tsfmicro.align import AlignSpec, compose
from tsfmicro.motion import displacement
from tsfmicro.preprocess import Preprocessor
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.spot import Finished
from tsfmicro.values import Float64Array, UInt8Array


@dataclass(frozen=True, slots=True, eq=False)
class HeldWindow:
    """Frames of one face, spread evenly in time, all held on the first by the head's measured motion."""

    crops: UInt8Array
    """(T, S, S, 3) RGB; a slow camera repeats frames."""
    samples: tuple[FaceSample, ...]
    """(T,) where they were cut from."""
    moved: Float64Array
    """(T,) displacement of the region that moved most against the first frame, percent of the inter-ocular distance;
    0 for the first."""


def cut_window(
    samples: Sequence[FaceSample],
    begin_s: float,
    end_s: float,
    frames: int,
    align: AlignSpec,
    preprocessor: Preprocessor,
) -> HeldWindow:
    """The frames of ``samples`` that are nearest to ``frames`` instants from ``begin_s`` to ``end_s``, ends included.

    Args:
        samples: of one face, in the order of time; at least one.
        begin_s: media time.
        end_s: likewise, not before ``begin_s``.
        frames: T.
        align: geometry of the crops.
        preprocessor: of the recogniser.
    """
    times = np.array([sample.moment.t_s for sample in samples])
    chosen = [int(np.abs(times - t_s).argmin()) for t_s in np.linspace(begin_s, end_s, frames)]
    first = samples[chosen[0]]
    held = {number: _held(samples[number], first, align, preprocessor) for number in sorted(set(chosen))}
    return HeldWindow(
        np.stack([held[number][0] for number in chosen]),
        tuple(samples[number] for number in chosen),
        np.array([held[number][1] for number in chosen]),
    )


def event_window(finished: Finished, frames: int, align: AlignSpec, preprocessor: Preprocessor) -> UInt8Array:
    """The frames of one movement from its onset to its offset; see :func:`cut_window`.

    Returns:
        (T, S, S, 3) uint8 RGB.
    """
    begin_s, end_s = finished.interval.onset.t_s, finished.interval.offset.t_s
    inside = [sample for sample in finished.samples if begin_s <= sample.moment.t_s <= end_s]
    return cut_window(inside, begin_s, end_s, frames, align, preprocessor).crops


def _held(
    sample: FaceSample, first: FaceSample, align: AlignSpec, preprocessor: Preprocessor
) -> tuple[UInt8Array, float]:
    if sample is first:
        return preprocessor.crop(sample.pixels, sample.pixels_to_crop), 0.0
    moved = displacement(first.patch, sample.patch, align)
    back = np.asarray(cv2.invertAffineTransform(moved.rigid), dtype=np.float64)
    return preprocessor.crop(sample.pixels, compose(back, sample.pixels_to_crop)), float(moved.residual.max())
