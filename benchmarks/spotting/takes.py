"""Takes: one clip under one condition, as a camera would deliver it, and what is hidden in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from tsfmicro.benchmarks.spotting.clips import Clip
from tsfmicro.benchmarks.spotting.footage import Footage
from tsfmicro.benchmarks.spotting.inject import Acted, moved_face, plan_events
from tsfmicro.synthetic.blink import Blink
from tsfmicro.synthetic.portrait import Portrait
from tsfmicro.synthetic.scene import Nuisance, Scene, SceneRenderer, jpeg_round_trip
from tsfmicro.values import Float32Array, Frame, UInt8Array

MAINS_HZ = 100.0
"""Twice the mains frequency: how often a lamp flickers. What a camera sees of it is its alias."""
_FIELDS = 6


@dataclass(frozen=True, slots=True)
class Condition:
    """What is done to a clip."""

    amplitude_percent_iod: float
    """Peak of every injected movement; 0 leaves the footage untouched."""
    fps: float | None = None
    """Frame rate of a still; footage has its own."""
    noise_sigma: float = 0.0
    """Sensor noise added, grey levels."""
    jpeg_quality: int | None = None
    flicker: float = 0.0
    """Relative amplitude of a lamp's flicker."""
    backwards: bool = False
    """Footage played from its end: a face that does other things, for fitting."""
    speed: float = 1.0
    """Footage played faster or slower, likewise."""

    @property
    def name(self) -> str:
        """Short and unique."""
        parts = [f"{self.amplitude_percent_iod:g}%" if self.amplitude_percent_iod else "untouched"]
        parts += [f"{self.fps:g}fps"] if self.fps else []
        parts += [f"noise{self.noise_sigma:g}"] if self.noise_sigma else []
        parts += [f"jpeg{self.jpeg_quality}"] if self.jpeg_quality else []
        parts += [f"flicker{self.flicker:g}"] if self.flicker else []
        parts += ["backwards"] if self.backwards else []
        parts += [f"speed{self.speed:g}"] if self.speed != 1.0 else []
        return " ".join(parts)


STILL_FPS = 60.0
AMPLITUDES = (1.0, 2.0, 3.0, 4.0, 5.0)
HELD_TO_BARS = (Condition(2.0), Condition(3.0))
"""All takes of a clip are run under these; under the others its first."""
USUAL = (Condition(0.0), *(Condition(amplitude) for amplitude in AMPLITUDES))
NUISANCES = (
    Condition(3.0, noise_sigma=4.0),
    Condition(3.0, jpeg_quality=40),
    Condition(3.0, flicker=0.03),
)
RATES = tuple(Condition(3.0, fps=fps) for fps in (25.0, 30.0, 100.0, 200.0))


@dataclass(frozen=True, slots=True)
class Take:
    """A clip, a condition, and which of several draws of events."""

    clip: Clip
    condition: Condition
    number: int = 0

    @property
    def seed(self) -> int:
        """Of the events: the same for every condition of a take, so that conditions differ in nothing else."""
        return crc32(f"{self.clip.name}/{self.number}".encode())

    @property
    def fps(self) -> float:
        """Of a still."""
        return self.condition.fps or STILL_FPS


def takes_of(clip: Clip, conditions: tuple[Condition, ...] | None = None) -> tuple[Take, ...]:
    """What is run of a clip: by default every amplitude, and what the split asks for besides."""
    chosen = conditions or (*USUAL, *(NUISANCES if clip.nuisances else ()), *(RATES if clip.rates else ()))
    return tuple(
        Take(clip, condition, number)
        for condition in chosen
        for number in range(clip.takes if condition in HELD_TO_BARS else 1)
    )


@dataclass(frozen=True, slots=True, eq=False)
class Staged:
    """A take that is ready to be filmed."""

    frames: Iterator[Frame]
    truth: tuple[Acted, ...]
    blinks: tuple[tuple[float, float], ...]
    """Start and end, seconds."""
    watched_s: float
    """How long there is a face to watch."""
    places_px: tuple[tuple[float, float], ...]
    """Middle of every face's eyes in the first frame it is seen in."""


def stage_still(take: Take, portrait: Portrait) -> Staged:
    """Animate a photograph: head sway with parallax, a blink now and then, sensor noise."""
    duration_s = take.clip.loop_s
    events = plan_events(duration_s, take.condition.amplitude_percent_iod, take.seed)
    blinks = _blinks_between([e.course.offset_s for e in events], duration_s)
    condition = take.condition
    nuisance = Nuisance(
        noise_sigma=max(Nuisance().noise_sigma, condition.noise_sigma), jpeg_quality=condition.jpeg_quality
    )
    scene = Scene(duration_s, take.fps, events, blinks, nuisance, seed=take.seed)
    frames = _delivered(
        SceneRenderer(portrait, scene).frames(), replace(condition, noise_sigma=0.0, jpeg_quality=None), take
    )
    spans = tuple((blink.start_s, blink.start_s + blink.duration_s) for blink in blinks)
    middle = portrait.landmarks_px[[33, 263]].mean(axis=0)
    place = (float(middle[0]), float(middle[1]))
    return Staged(frames, tuple(Acted(event, 0) for event in events), spans, duration_s, (place,))


def stage_footage(take: Take, footage: Footage) -> Staged:
    """Put the events into the faces of the footage, one face after the other."""
    faces = len(footage.landmarks_px[0])
    planned = plan_events(footage.duration_s, take.condition.amplitude_percent_iod, take.seed)
    acted = [Acted(event, number % faces) for number, event in enumerate(planned)]
    truth = tuple(act for act in acted if _seen_throughout(footage, act))
    places = [next(f[face] for f in footage.landmarks_px if f[face] is not None) for face in range(faces)]
    middles = [landmarks[[33, 263]].mean(axis=0) for landmarks in places if landmarks is not None]
    return Staged(
        _delivered(_played(footage, truth), take.condition, take),
        truth,
        footage.blinks,
        footage.watched_s,
        tuple((float(x), float(y)) for x, y in middles),
    )


def _played(footage: Footage, truth: tuple[Acted, ...]) -> Iterator[tuple[float, UInt8Array]]:
    for t_s, pixels, faces in zip(footage.times_s, footage.pictures, footage.landmarks_px, strict=True):
        picture = pixels
        for act in truth:
            landmarks = faces[act.face]
            if landmarks is not None:
                picture = moved_face(picture, landmarks, act.event, t_s)
        yield t_s, picture


def _seen_throughout(footage: Footage, act: Acted) -> bool:
    course = act.event.course
    return all(
        faces[act.face] is not None
        for t_s, faces in zip(footage.times_s, footage.landmarks_px, strict=True)
        if course.onset_s - 0.3 <= t_s <= course.offset_s + 0.3
    )


def _delivered(pictures: Iterator[tuple[float, UInt8Array]], condition: Condition, take: Take) -> Iterator[Frame]:
    """Lamp, sensor and compression, in this order."""
    rng = np.random.default_rng(take.seed)
    noise: list[Float32Array] = []
    for index, (t_s, pixels) in enumerate(pictures):
        picture = pixels
        if condition.flicker or condition.noise_sigma:
            light = picture.astype(np.float32)
            light *= np.float32(1 + condition.flicker * np.sin(2 * np.pi * MAINS_HZ * t_s))
            if condition.noise_sigma:
                if not noise:
                    shape = (_FIELDS, *picture.shape)
                    noise = list(rng.standard_normal(shape, dtype=np.float32) * np.float32(condition.noise_sigma))
                field = noise[int(rng.integers(_FIELDS))]
                light += np.roll(field, int(rng.integers(field.shape[0])), axis=0)
            picture = np.clip(light + 0.5, 0, 255).astype(np.uint8)
        if condition.jpeg_quality is not None:
            picture = jpeg_round_trip(picture, condition.jpeg_quality)
        yield Frame(picture, index, t_s, 0.0, take.clip.name)


def _blinks_between(ends_s: list[float], duration_s: float) -> tuple[Blink, ...]:
    """A blink in every second pause; every three seconds where nothing happens."""
    if not ends_s:
        return tuple(Blink(float(t)) for t in np.arange(2.0, duration_s - 0.5, 3.0))
    return tuple(Blink(end_s + 0.45) for end_s in ends_s[::2] if end_s + 0.8 < duration_s)
