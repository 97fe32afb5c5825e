"""The crop of one face, held steady by what is seen and not by where landmarks are guessed.

FaceMesh says which point is what, but its points jitter and cost several milliseconds. Points followed by Lucas-Kanade
are steadier and cheaper. So landmarks place an *anchor* patch, its points are followed into every frame, and the crop
is put where the head went. Landmarks come in now and then; they correct the crop only where they disagree with it by
more than they jitter.

Everything is followed from the anchor and not from frame to frame, so the error does not add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tsfmicro.align import RIGID_POINTS, AlignSpec, apply_transform, compose, crop_transform
from tsfmicro.motion import MOTION_POINTS, FacePatch, aligned_grey, grey_of, head_motion
from tsfmicro.realtime.look import Look, look_of
from tsfmicro.realtime.samples import SLACK, Cutout, FaceSample, cut_out
from tsfmicro.values import Face, Float32Array, Float64Array, Frame, Moment

_STILL_PX = 0.1
"""A head that moved less in the crop since the last frame has not moved: the crop stays."""
_DISAGREEMENT_PERCENT_IOD = 4.0
"""Landmarks this far from the followed crop put it right; their own jitter is below 1 %."""
_WORN_ERROR_PERCENT_IOD = 0.9
"""Rigid points that fit this badly are no longer those of the anchor: the head turned, or the light changed."""
_MAX_SCALE = 1.15
"""No head comes this much nearer between two frames."""


@dataclass(frozen=True, slots=True, eq=False)
class _Anchor:
    patch: FacePatch
    rigid_px: Float32Array
    """(K, 2) places of ``RIGID_POINTS`` in the crop, as the landmarks saw them."""


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    cutout: Cutout
    patch: FacePatch
    rigid_error: float


class FaceFollower:
    """Follows one face of one source from frame to frame.

    Args:
        align: geometry of the crop.
    """

    def __init__(self, align: AlignSpec) -> None:
        self._align = align
        self._anchor: _Anchor | None = None
        self._to_crop: Float64Array | None = None
        self._look: Look | None = None
        self._box_in_crop: Float32Array | None = None
        self._box_px: tuple[float, float, float, float] | None = None
        """None until somebody asks where it is in this frame."""
        self._prepared: tuple[Frame, _Placed | None] | None = None

    @property
    def box_px(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the face in the last frame; zeros before the first."""
        if self._box_px is None:
            self._box_px = self._box_now()
        return self._box_px

    def prepare(self, frame: Frame) -> None:
        """Do for this frame what needs no landmarks; may run in another thread while they are found."""
        self._place(frame)

    def follow(self, frame: Frame) -> FaceSample | None:
        """The face in the next frame, without landmarks; None where it cannot be followed: then :meth:`see` it."""
        placed = self._place(frame)
        if placed is None or placed.rigid_error > _WORN_ERROR_PERCENT_IOD or self._look is None:
            return None
        self._move(placed)
        return self._sample(frame, placed, self._look)

    def see(self, frame: Frame, face: Face) -> FaceSample:
        """The face in the next frame, with its landmarks."""
        placed = self._place(frame)
        if placed is None or self._is_off(placed, face):
            placed = self._anchor_at(frame, face)
        self._move(placed)
        self._look = look_of(face)
        self._box_in_crop = apply_transform(placed.patch.to_crop, _corners(face))
        return self._sample(frame, placed, self._look)

    def _move(self, placed: _Placed) -> None:
        self._to_crop, self._box_px, self._prepared = placed.patch.to_crop, None, None

    def _box_now(self) -> tuple[float, float, float, float]:
        if self._box_in_crop is None or self._to_crop is None:
            return 0.0, 0.0, 0.0, 0.0
        corners = apply_transform(_inverse(self._to_crop), self._box_in_crop)
        left, top = corners.min(axis=0)
        right, bottom = corners.max(axis=0)
        return float(left), float(top), float(right), float(bottom)

    def _place(self, frame: Frame) -> _Placed | None:
        """See :meth:`_place_in`; computed once for a frame."""
        if self._prepared is not None and self._prepared[0] is frame:
            return self._prepared[1]
        placed = self._place_in(frame)
        self._prepared = frame, placed
        return placed

    def _place_in(self, frame: Frame) -> _Placed | None:
        """Put the crop where the head went; None where the anchor is not seen, or there is none."""
        if self._anchor is None or self._to_crop is None:
            return None
        cutout = cut_out(frame, self._to_crop, self._align)
        picture = grey_of(cutout.pixels)
        grey = aligned_grey(picture, cutout.to_crop(self._to_crop), self._align)
        went = head_motion(self._anchor.patch, grey, self._align)
        if went is None or not 1 / _MAX_SCALE < _scale(went.rigid) < _MAX_SCALE:
            return None
        to_crop = self._to_crop
        points = self._anchor.patch.points_px
        way_px = float(np.abs(apply_transform(went.rigid, points) - points).max())
        if way_px > _STILL_PX:
            to_crop = compose(_inverse(went.rigid), to_crop)
            if way_px > SLACK * self._align.size_px:
                cutout = cut_out(frame, to_crop, self._align)
                picture = grey_of(cutout.pixels)
            grey = aligned_grey(picture, cutout.to_crop(to_crop), self._align)
        return _Placed(cutout, FacePatch(grey, to_crop, points), went.rigid_error)

    def _is_off(self, placed: _Placed, face: Face) -> bool:
        if self._anchor is None or placed.rigid_error > _WORN_ERROR_PERCENT_IOD:
            return True
        seen = apply_transform(placed.patch.to_crop, face.landmarks_px[list(RIGID_POINTS)])
        away_px = np.median(np.linalg.norm(seen - self._anchor.rigid_px, axis=1))
        return float(away_px) * 100.0 / self._align.iod_px > _DISAGREEMENT_PERCENT_IOD

    def _anchor_at(self, frame: Frame, face: Face) -> _Placed:
        to_crop = crop_transform(face.landmarks_px, self._align)
        cutout = cut_out(frame, to_crop, self._align)
        points = apply_transform(to_crop, face.landmarks_px[list(MOTION_POINTS)])
        patch = FacePatch(aligned_grey(grey_of(cutout.pixels), cutout.to_crop(to_crop), self._align), to_crop, points)
        self._anchor = _Anchor(patch, apply_transform(to_crop, face.landmarks_px[list(RIGID_POINTS)]))
        return _Placed(cutout, patch, 0.0)

    def _sample(self, frame: Frame, placed: _Placed, look: Look) -> FaceSample:
        to_crop = placed.patch.to_crop
        eyes = np.array([[self._align.size_px / 2, self._align.eye_row_px]], dtype=np.float32)
        x, y = apply_transform(_inverse(to_crop), eyes)[0]
        return FaceSample(
            moment=Moment(frame.index, frame.t_s),
            patch=placed.patch,
            pixels=placed.cutout.pixels,
            pixels_to_crop=placed.cutout.to_crop(to_crop),
            centre_px=(float(x), float(y)),
            iod_px=self._align.iod_px / _scale(to_crop),
            look=look,
        )


def _scale(transform: Float64Array) -> float:
    return float(np.hypot(transform[0, 0], transform[1, 0]))


def _inverse(transform: Float64Array) -> Float64Array:
    return np.asarray(cv2.invertAffineTransform(transform), dtype=np.float64)


def _corners(face: Face) -> Float32Array:
    left, top, right, bottom = face.box_px
    return np.array([[left, top], [right, top], [left, bottom], [right, bottom]], dtype=np.float32)
