"""Face samples of takes kept on the disk, so that variants of the spotter can be tried in seconds a take.

A recording holds crops of faces: it belongs in a scratch folder and nowhere else. It is a pickle of this project's own
values; read only what you recorded yourself.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tsfmicro.benchmarks.spotting.clips import Clip, Kind
from tsfmicro.benchmarks.spotting.filming import stagings
from tsfmicro.benchmarks.spotting.inject import Acted
from tsfmicro.benchmarks.spotting.takes import Condition, Take, takes_of
from tsfmicro.errors import UsageError
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime.pipeline import PipelineSpec
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.spot import FaceSpotter, SpotSpec
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.realtime.watch import FaceWatch

CONDITIONS: tuple[Condition, ...] = (Condition(0.0), Condition(2.0), Condition(3.0))
"""What the confidence is fitted on, and variants are tried on,"""
_BACKWARDS = tuple((Condition(amplitude, backwards=True), 0) for amplitude in (0.0, 2.0, 3.0))
MORE_TAKES: dict[Kind, tuple[tuple[Condition, int], ...]] = {
    Kind.STILL: ((Condition(3.0, fps=30.0), 0), (Condition(3.0, fps=25.0), 5)),
    Kind.QUIET: ((Condition(2.0), 2), (Condition(3.0, noise_sigma=4.0), 5)),
    Kind.EXPRESSIVE: (
        *_BACKWARDS,
        (Condition(2.0, backwards=True), 2),
        (Condition(3.0), 2),
        (Condition(0.0, noise_sigma=4.0), 0),
        (Condition(3.0, noise_sigma=4.0), 5),
        (Condition(0.0, jpeg_quality=40), 0),
        (Condition(3.0, jpeg_quality=40), 6),
        (Condition(0.0, speed=0.85), 0),
        (Condition(0.0, backwards=True, speed=1.2), 0),
    ),
}
"""and on what besides, by kind: conditions, and which draw of events each gets."""
_NO_PIXELS = np.zeros((1, 1, 3), dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One take, up to what the spotter is given."""

    take: Take
    truth: tuple[Acted, ...]
    places_px: tuple[tuple[float, float], ...]
    watched_s: float
    faces: Mapping[int, Sequence[FaceSample]]
    """By identity; without the camera's pixels."""


def record(clips: Sequence[Clip], media: Path, folder: Path) -> Iterator[Path]:
    """Record every take that is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        wanted = (*takes_of(clip, CONDITIONS), *(Take(clip, *more) for more in MORE_TAKES.get(clip.kind, ())))
        lacking = tuple(take for take in wanted if not _path_of(folder, take).exists())
        for take, staged in stagings(clip, media, lacking) if lacking else ():
            faces: dict[int, list[FaceSample]] = {}
            spotters: dict[int, FaceSpotter] = {}
            align, spec = PreprocessSpec().align, PipelineSpec()
            with FaceMeshDetector() as detector:
                watch = FaceWatch(detector, align, spec.landmark_interval_s, spec.close_interval_s, StageClock())
                for frame in staged.frames:
                    sight = watch.look(frame, closely=any(s.active for s in spotters.values()))
                    for face_id, seen in sight.faces.items():
                        faces.setdefault(face_id, []).append(replace(seen.sample, pixels=_NO_PIXELS))
                        spotters.setdefault(face_id, FaceSpotter(SpotSpec(), align)).push(seen.sample)
            recording = Recording(take, staged.truth, staged.places_px, staged.watched_s, faces)
            path = _path_of(folder, take)
            path.write_bytes(pickle.dumps(recording, protocol=5))
            yield path


def _path_of(folder: Path, take: Take) -> Path:
    return folder / f"{take.clip.name}_{take.condition.name}_{take.number}.pkl".replace(" ", "_")


def read_recordings(folder: Path) -> Iterator[Recording]:
    """One after the other: they are large.

    Raises:
        UsageError: if there are none.
    """
    paths = sorted(folder.glob("*.pkl"))
    if not paths:
        raise UsageError(f"{folder} holds no recordings; type: tsf-bench confidence --recordings {folder}")
    for path in paths:
        yield pickle.loads(path.read_bytes())
