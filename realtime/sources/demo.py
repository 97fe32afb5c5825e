"""``demo:`` — a public-domain portrait brought to life, with micro-expressions at known times."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from tsfmicro.closing import Closing
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.synthetic.action_units import EMOTIONS
from tsfmicro.synthetic.blink import Blink
from tsfmicro.synthetic.portrait import Portrait, framed, portrait_of
from tsfmicro.synthetic.scene import Scene, SceneRenderer
from tsfmicro.synthetic.timecourse import TrueEvent, random_course
from tsfmicro.values import Frame

DEMO_NAME = "demo:"
_WIDTH_PX, _HEIGHT_PX, _FPS, _DURATION_S = 640, 480, 60.0, 24.0
_IOD_PX = 118.0
_FIRST_S, _SPACING_S = 2.0, 2.15
_SEED = 20

_REPERTOIRE = ("happiness", "surprise", "disgust", "repression", "others")


def demo_scene(seed: int = _SEED) -> Scene:
    """Ten micro-expressions, two of every class, in 24 s, and six blinks between them."""
    rng = np.random.default_rng(seed)
    order = [*rng.permutation(_REPERTOIRE), *rng.permutation(_REPERTOIRE)]
    events: list[TrueEvent] = []
    for number, emotion in enumerate(str(name) for name in order):
        course = random_course(rng, _FIRST_S + number * _SPACING_S + rng.uniform(0, 0.35))
        units = EMOTIONS[emotion][0 if number < len(_REPERTOIRE) else 1].units
        events.append(TrueEvent(course, emotion, units, float(rng.uniform(2.5, 4.0))))
    gaps = rng.choice(len(events) - 1, size=6, replace=False)
    blinks = tuple(
        Blink((events[i].course.offset_s + events[i + 1].course.onset_s) / 2 - 0.14) for i in sorted(gaps.tolist())
    )
    return Scene(duration_s=_DURATION_S, fps=_FPS, events=tuple(events), blinks=blinks, seed=seed)


class DemoSource(Closing):
    """The clip behind ``demo:``; the same frames on every run.

    The portrait is NASA's picture of Eileen Collins, public domain, that scikit-image carries.
    """

    def __init__(self, seed: int = _SEED) -> None:
        self.name = DEMO_NAME
        self.live = False
        self.skipped = self.undecodable = self.misstamped = 0
        self._scene = demo_scene(seed)
        self.expected_frames: int | None = self._scene.frame_count
        self.expected_duration_s: float | None = self._scene.duration_s

    @property
    def truth(self) -> tuple[TrueEvent, ...]:
        """What is hidden in the clip."""
        return self._scene.events

    def frames(self) -> Iterator[Frame]:
        """Render frame by frame."""
        renderer = SceneRenderer(_demo_portrait(), self._scene)
        for index, (t_s, pixels) in enumerate(renderer.frames()):
            yield Frame(pixels=pixels, index=index, t_s=t_s, captured_s=time.monotonic(), source=self.name)

    def close(self) -> None:
        """Nothing is held open."""


def _demo_portrait() -> Portrait:
    from skimage import data

    with FaceMeshDetector(max_faces=1) as detector:
        portrait = portrait_of("astronaut", np.ascontiguousarray(data.astronaut()), detector)
    return framed(portrait, _WIDTH_PX, _HEIGHT_PX, _IOD_PX, (0.5, 0.42))
