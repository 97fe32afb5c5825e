"""A clip of one portrait: head sway, blinks, light, noise, and micro-expressions at known times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from tsfmicro.errors import ContractError
from tsfmicro.synthetic.action_units import EMOTIONS, Combination
from tsfmicro.synthetic.blink import Blink, Eyelids
from tsfmicro.synthetic.field import DisplacementField, depth_field, expression_field
from tsfmicro.synthetic.portrait import Portrait
from tsfmicro.synthetic.timecourse import TrueEvent
from tsfmicro.values import Float32Array, Float64Array, UInt8Array

_NOISE_FIELDS = 8


@dataclass(frozen=True, slots=True)
class Nuisance:
    """What a camera and a living head add to every frame."""

    sway_iod: float = 0.02
    """Amplitude of the head's translation, inter-ocular distances."""
    tilt_deg: float = 0.6
    """Amplitude of in-plane rotation."""
    turn_deg: float = 1.0
    """Amplitude of yaw and pitch, rendered as parallax."""
    zoom: float = 0.006
    """Amplitude of the change of scale."""
    noise_sigma: float = 1.2
    """Sensor noise, grey levels."""
    light_drift: float = 0.02
    """Amplitude of slow brightness change, relative."""
    jpeg_quality: int | None = None
    """Compress every frame; None leaves it alone."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that happens in a clip. The same scene gives the same frames, bit for bit."""

    duration_s: float
    fps: float
    events: tuple[TrueEvent, ...]
    blinks: tuple[Blink, ...] = ()
    nuisance: Nuisance = field(default_factory=Nuisance)
    width_iod: float = 0.11
    """Spread of an anchor, inter-ocular distances."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fps <= 0 or self.duration_s <= 0:
            raise ContractError(f"Scene has {self.duration_s} s at {self.fps} fps; expected both above 0")
        for event in self.events:
            if event.course.offset_s > self.duration_s:
                raise ContractError(f"{event} ends after the clip's {self.duration_s} s")

    @property
    def frame_count(self) -> int:
        """Frames of the clip."""
        return round(self.duration_s * self.fps)


@dataclass(frozen=True, slots=True, eq=False)
class _Sway:
    """A slow, smooth random motion: three sines per degree of freedom."""

    frequency_hz: Float64Array
    phase: Float64Array

    @classmethod
    def random(cls, rng: np.random.Generator, axes: int) -> _Sway:
        return cls(rng.uniform(0.08, 0.45, (axes, 3)), rng.uniform(0, 2 * np.pi, (axes, 3)))

    def at(self, t_s: float) -> Float64Array:
        """(axes,) values between -1 and 1."""
        values: Float64Array = np.sin(2 * np.pi * self.frequency_hz * t_s + self.phase).mean(axis=1)
        return values


class SceneRenderer:
    """Renders the frames of a scene from a framed portrait.

    Args:
        portrait: a picture of the size the frames shall have.
        scene: what happens.
    """

    def __init__(self, portrait: Portrait, scene: Scene) -> None:
        self._portrait = portrait
        self._scene = scene
        self._height, self._width = portrait.pixels.shape[:2]
        rng = np.random.default_rng(scene.seed)
        self._sway = _Sway.random(rng, 7)
        self._lids = Eyelids.of(portrait) if scene.blinks else None
        self._depth = depth_field(portrait)
        self._fields = [expression_field(portrait, _combination(e), width_iod=scene.width_iod) for e in scene.events]
        self._columns, self._rows = np.meshgrid(
            np.arange(self._width, dtype=np.float32), np.arange(self._height, dtype=np.float32)
        )
        # Fresh noise for every frame costs more than the rest of the frame: draw a few fields, shift and mirror them.
        shape = (_NOISE_FIELDS, self._height, self._width, 3)
        self._noise = (rng.standard_normal(shape, dtype=np.float32) * scene.nuisance.noise_sigma).astype(np.float32)
        self._frame_seed = int(rng.integers(2**31))

    def frames(self) -> Iterator[tuple[float, UInt8Array]]:
        """Media time in seconds and (H, W, 3) RGB picture of every frame."""
        for index in range(self._scene.frame_count):
            t_s = index / self._scene.fps
            yield t_s, self.render(index, t_s)

    def render(self, index: int, t_s: float) -> UInt8Array:
        """The picture at one time; ``index`` only picks the noise."""
        nuisance = self._scene.nuisance
        sway = self._sway.at(t_s)
        to_frame = self._head_pose(sway)
        moving = self._displacement(t_s, sway).sampled(to_frame, self._width, self._height)
        back = _inverse(to_frame)
        map_x = back[0, 0] * self._columns + back[0, 1] * self._rows + back[0, 2] - moving[..., 0]
        map_y = back[1, 0] * self._columns + back[1, 1] * self._rows + back[1, 2] - moving[..., 1]
        picture = cv2.remap(
            self._face(t_s),
            map_x.astype(np.float32),
            map_y.astype(np.float32),
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        gain = 1 + nuisance.light_drift * float(sway[6])
        noisy = np.clip(picture * np.float32(gain) + self._noise_of(index) + 0.5, 0, 255).astype(np.uint8)
        return noisy if nuisance.jpeg_quality is None else jpeg_round_trip(noisy, nuisance.jpeg_quality)

    def _face(self, t_s: float) -> UInt8Array:
        closure = max((blink.closure(t_s) for blink in self._scene.blinks), default=0.0)
        return self._portrait.pixels if self._lids is None else self._lids.over(self._portrait.pixels, closure)

    def _head_pose(self, sway: Float64Array) -> Float64Array:
        nuisance, iod = self._scene.nuisance, self._portrait.iod_px
        angle = np.deg2rad(nuisance.tilt_deg * sway[2])
        scale = 1 + nuisance.zoom * sway[3]
        linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        pivot = self._portrait.landmarks_px[168].astype(np.float64)
        shift = nuisance.sway_iod * iod * sway[:2]
        return np.column_stack([linear, pivot - linear @ pivot + shift])

    def _displacement(self, t_s: float, sway: Float64Array) -> DisplacementField:
        turn = np.sin(np.deg2rad(self._scene.nuisance.turn_deg) * sway[4:6])
        total = self._depth[..., None] * turn.astype(np.float32)
        for event, displacement in zip(self._scene.events, self._fields, strict=True):
            contraction = event.course.contraction(t_s)
            if contraction > 0:
                peak_px = event.amplitude_percent_iod / 100 * self._portrait.iod_px
                total = total + np.float32(contraction * peak_px) * displacement.values_px
        step = self._fields[0].step_px if self._fields else max(self._portrait.iod_px / 25, 1.0)
        return DisplacementField(total, step)

    def _noise_of(self, index: int) -> Float32Array:
        rng = np.random.default_rng((self._frame_seed, index))
        chosen = self._noise[rng.integers(_NOISE_FIELDS)]
        flipped = chosen[:, ::-1] if rng.random() < 0.5 else chosen
        return np.roll(flipped, (int(rng.integers(self._height)), int(rng.integers(self._width))), axis=(0, 1))


def jpeg_round_trip(pixels: UInt8Array, quality: int) -> UInt8Array:
    """(H, W, 3) RGB picture after JPEG compression."""
    _, packed = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])


def _combination(event: TrueEvent) -> Combination:
    for combination in EMOTIONS[event.emotion]:
        if combination.units == event.action_units:
            return combination
    raise ContractError(f"{event.action_units} is no combination of {event.emotion}")


def _inverse(transform: Float64Array) -> Float64Array:
    return np.asarray(cv2.invertAffineTransform(transform), dtype=np.float64)
