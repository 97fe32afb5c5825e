"""Long videos of CAS(ME)^2 and SAMM through the live path, frame for frame, against their annotation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np

from tsfmicro.benchmarks.spotting.clips import Clip, Kind, Side
from tsfmicro.benchmarks.spotting.filming import Spotted, TakeResult, film
from tsfmicro.benchmarks.spotting.inject import Acted
from tsfmicro.benchmarks.spotting.scoring import confident, match_take, row_of
from tsfmicro.benchmarks.spotting.takes import Condition, Staged, Take
from tsfmicro.errors import SourceError, UsageError
from tsfmicro.intervals import Counts
from tsfmicro.labels import PROTOCOLS
from tsfmicro.synthetic.timecourse import TimeCourse, TrueEvent
from tsfmicro.training.datasets.adapter import Adapter
from tsfmicro.training.datasets.errata import apply_errata, load_errata
from tsfmicro.training.datasets.frames import choose_layout, index_frames, layouts, leaf_folders
from tsfmicro.training.datasets.load import dataset
from tsfmicro.training.datasets.rows import Row
from tsfmicro.values import Frame

LONG_VIDEOS: Mapping[str, str] = MappingProxyType({"samm-lv": "samm_lv", "cas-me2": "cas_me2"})
"""What ``--dataset`` takes, and the data set's own id."""
_SHARE = 0.55
"""Of the offline threshold: mean + share times (maximum - mean) of a video's confidences."""
_SHORTEST_FRAMES = 1e-3
"""An apex annotated on its onset is put so much after it: a course needs a rise."""


@dataclass(frozen=True, slots=True)
class LongVideo:
    """One recording and its micro-expressions."""

    name: str
    subject: str
    folder: Path
    fps: float
    rows: tuple[Row, ...]


def find_long_videos(name: str, root: Path) -> tuple[LongVideo, ...]:
    """Every recording of a data set that is there, those without any micro-expression too.

    Args:
        name: one of ``LONG_VIDEOS``.
        root: folder that the data set was unpacked into.

    Raises:
        SourceError: if the folder does not exist.
        UsageError: if the data set is not known, or its annotation or its frames are not found.
    """
    if name not in LONG_VIDEOS:
        raise UsageError(f"--dataset is {name!r}; expected {' or '.join(LONG_VIDEOS)}")
    if not root.is_dir():
        raise SourceError(f"{root} does not exist; --root takes the folder that the data set was unpacked into")
    adapter = dataset(LONG_VIDEOS[name])
    fitting = next(entry for entry in PROTOCOLS.values() if entry.dataset in adapter.protocols)
    rows = tuple(apply_errata(adapter.read(root, fitting).rows, load_errata(adapter.id))[0])
    known = frozenset((row.subject, row.clip.lower()) for row in rows)
    lookups = [adapter.keys(row, known) for row in rows]
    chosen = choose_layout(layouts(leaf_folders(root), adapter.identify), lookups, "raw", None)
    if chosen is None:
        raise UsageError(f"{root} holds the annotation of {adapter.title}, but no folder with frames of its videos")
    mine: dict[Path, list[Row]] = {}
    for row, keys in zip(rows, lookups, strict=True):
        folder = next((chosen.folders[key] for key in keys if key in chosen.folders), None)
        if folder is not None:
            mine.setdefault(folder, []).append(row)
    return tuple(_video(adapter, folder, tuple(mine.get(folder, ()))) for folder in sorted(chosen.folders.values()))


def _video(adapter: Adapter, folder: Path, rows: tuple[Row, ...]) -> LongVideo:
    subject = rows[0].subject if rows else folder.parent.name
    return LongVideo(folder.name, subject, folder, adapter.fps, rows)


def run_long_video(video: LongVideo) -> TakeResult:
    """The live path over one recording; frame numbers become media time at the data set's rate."""
    index = index_frames(video.folder)
    if not index:
        raise SourceError(f"{video.folder} holds no frames")
    first = next(iter(index))
    clip = Clip(video.name, "", video.subject, Side.TEST, Kind.QUIET, 0.0, 0.0, 0.0, 1, nuisances=False, rates=False)
    truth = tuple(Acted(_event(row, first, video.fps), 0) for row in video.rows)
    take = Take(clip, Condition(0.0))
    staged = Staged(_frames(index, first, video), truth, (), (max(index) - first + 1) / video.fps, ((0.0, 0.0),))
    result = film(take, staged)
    # The annotation's intervals hold their last frame; so must those that are compared with them.
    whole = tuple(replace(s, offset_s=s.offset_s + 1 / video.fps) for s in result.spotted)
    return replace(result, spotted=whole, frame_s=1 / video.fps)


def _event(row: Row, first: int, fps: float) -> TrueEvent:
    onset, offset = row.onset - first, row.offset + 1 - first
    apex = (onset + offset) / 2 if row.apex is None else row.apex - first
    apex = min(max(float(apex), onset + _SHORTEST_FRAMES), offset - _SHORTEST_FRAMES)
    return TrueEvent(TimeCourse(max(onset, 0) / fps, apex / fps, offset / fps), row.label, (), 0.0)


def _frames(index: Mapping[int, Path], first: int, video: LongVideo) -> Iterator[Frame]:
    for number, path in index.items():
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise SourceError(f"{path} cannot be read as a picture")
        pixels = np.ascontiguousarray(picture[..., ::-1], dtype=np.uint8)
        yield Frame(pixels, number - first, (number - first) / video.fps, 0.0, video.name)


def rows_of_videos(results: Sequence[TakeResult]) -> list[dict[str, Any]]:
    """Pooled figures: causal, as the live path decides, and offline, with a threshold from each whole video."""
    watched_s = sum(result.watched_s for result in results)
    causal = row_of(results)
    causal["false_events_per_min"] = round(60 * causal["fp"] / watched_s, 2)
    counts = sum((match_take(result, _offline(result)).counts for result in results), Counts())
    offline = {"hidden": causal["hidden"], "tp": counts.tp, "fp": counts.fp, "fn": counts.fn}
    offline |= {"f1": round(counts.f1, 4), "false_events_per_min": round(60 * counts.fp / watched_s, 2)}
    shared = {"kind": "long videos", "videos": len(results), "watched_s": round(watched_s, 1)}
    return [{**shared, "condition": name, **row} for name, row in (("causal", causal), ("offline", offline))]


def _offline(result: TakeResult) -> list[Spotted]:
    """Movements above a threshold taken from the confidences of the whole video."""
    confidences = [s.confidence for s in confident(result, 0.0) if s.confidence is not None]
    if not confidences:
        return []
    mean = float(np.mean(confidences))
    return confident(result, mean + _SHARE * (max(confidences) - mean))


def run_long_videos(videos: Sequence[LongVideo], said: Callable[[str], None]) -> list[TakeResult]:
    """One after the other."""
    results = []
    for video in videos:
        results.append(run_long_video(video))
        reported = sum(s.reported for s in results[-1].spotted)
        said(f"{video.subject}/{video.name}: {len(video.rows)} annotated, {reported} reported")
    return results
