"""Cut the crops of a data set, in several processes, from where the last run stopped."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from tsfmicro.errors import TsfError, UsageError
from tsfmicro.models.fdp.config import window_positions
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.training.crops.cache import CacheEntry, CacheIndex, CropCache, create_or_resume
from tsfmicro.training.crops.faces import Cropper, Faces, make_cropper, read_picture
from tsfmicro.training.crops.neighbours import Neighbours, neighbours_of, require_range
from tsfmicro.training.datasets.audit import Audit
from tsfmicro.training.datasets.frames import find_frame, index_frames
from tsfmicro.training.datasets.load import Dataset
from tsfmicro.values import UInt8Array

_FLUSH_EVERY = 64
_CONTACT_COLUMNS, _CONTACT_ROWS, _TILE_PX = 12, 10, 96
_DIFFERENCE_GAIN = 4
"""How much the third picture of each clip exaggerates what changed."""


@dataclass(frozen=True, slots=True)
class _Job:
    number: int
    files: tuple[Path, ...]
    near_onset: tuple[Path, ...]
    near_apex: tuple[Path, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Result:
    number: int
    crops: list[UInt8Array] | None
    failure: str
    neighbours: list[UInt8Array] = field(default_factory=list)
    unreadable: int = 0
    """Neighbours whose place the key frame takes."""


def faces_for(data: Dataset, asked: Faces | None) -> Faces:
    """What was asked for; else the data set's own crops where the frames are cropped, landmarks where they are raw.

    Raises:
        UsageError: if nothing was asked for and the parts of a composite differ.
    """
    if asked is not None:
        return asked
    kinds = {layout.kind for layout in data.layouts}
    if len(kinds) > 1:
        raise UsageError("some parts have cropped frames and some raw ones; say --faces dataset, landmarks or mtcnn")
    return Faces.DATASET if kinds == {"cropped"} else Faces.LANDMARKS


def index_of(
    audit: Audit,
    faces: Faces,
    preprocess: PreprocessSpec,
    window: int | None = None,
    *,
    key_frame_range: float = 0.0,
) -> CacheIndex:
    """Every clip of an audit that has frames, the nearest frame standing in where one is missing.

    Args:
        audit: which clips.
        faces: who finds the face.
        preprocess: how crops are cut.
        window: number of frames spread evenly from onset to offset, for a recogniser without key frames; None for
            onset and apex.
        key_frame_range: share of the way from onset to apex within which frames beside them are cut too; windows
            have none.

    Raises:
        UsageError: if no clip has any, or onset and apex could meet.
    """
    require_range(key_frame_range)
    data = audit.data
    root = data.root if data.root.is_dir() else data.root.parent
    entries: list[CacheEntry] = []
    indices: dict[Path, dict[int, Path]] = {}
    for clip in data.clips:
        if clip.folder is None:
            continue
        frames = indices.get(clip.folder)
        if frames is None:
            frames = indices[clip.folder] = index_frames(clip.folder)
        onset, apex = find_frame(frames, clip.onset), find_frame(frames, clip.apex)
        if onset is None or apex is None:
            continue
        row = clip.row
        files = [found.path.relative_to(root).as_posix() for found in (onset, apex)]
        spread = () if window is None else window_positions(clip.onset, clip.offset, window)
        between = [found.path for number in spread if (found := find_frame(frames, number)) is not None]
        near = neighbours_of(clip, onset, apex, frames, key_frame_range, root) if window is None else Neighbours()
        entries.append(
            CacheEntry(
                clip.key, row.dataset, row.subject, row.clip, row.sheet_onset, clip.label, files[0], files[1],
                tuple(path.relative_to(root).as_posix() for path in between), near,
            )
        )  # fmt: skip
    if not entries:
        raise UsageError(
            f"{root} holds no frame of any clip; audit it with tsf-train audit to see where they should be"
        )
    share = key_frame_range if any(entry.neighbours for entry in entries) else 0.0
    return CacheIndex(data.adapter.id, data.protocol.id, audit.digest, faces, preprocess, tuple(entries), share)


def prepare(
    index: CacheIndex, root: Path, folder: Path, *, workers: int = 1, on_done: Callable[[int, int], None]
) -> CropCache:
    """Cut what is not cut yet.

    Args:
        index: what to cut.
        root: folder the files of the index are relative to.
        folder: the cache; a run that was interrupted goes on where it stopped.
        workers: processes.
        on_done: called with the number of finished and of all entries.
    """
    cache = create_or_resume(folder, index)
    jobs = [_job(n, index.entries[n], root) for n in cache.pending]
    total = len(index.entries)
    finished = total - len(jobs)
    on_done(finished, total)
    contact = folder / "contact.png"
    if not jobs and contact.is_file():
        return cache  # untouched, so that several runs can share it at once
    try:
        for result in _results(jobs, index.faces, index.preprocess, workers):
            if result.crops is None:
                cache.fail(result.number, result.failure)
            else:
                cache.store(result.number, result.crops, result.neighbours, result.unreadable)
            finished += 1
            if finished % _FLUSH_EVERY == 0:
                cache.flush()
            on_done(finished, total)
    finally:
        cache.flush()
    if cache.usable:
        cv2.imwrite(str(contact), contact_sheet(cache)[..., ::-1])
    return cache


def _job(number: int, entry: CacheEntry, root: Path) -> _Job:
    names = (entry.files, entry.neighbours.onset, entry.neighbours.apex)
    return _Job(number, *(tuple(root / name for name in group) for group in names))


def _results(jobs: list[_Job], faces: Faces, spec: PreprocessSpec, workers: int) -> Iterator[_Result]:
    if workers <= 1 or len(jobs) < 2:
        cropper = make_cropper(faces, spec) if jobs else None
        for job in jobs:
            yield _crop(job, cropper)
        return
    # Spawned, not forked: the landmark component has threads, which a fork would cut in half.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (faces, spec)) as pool:
        try:
            yield from pool.map(_crop_in_worker, jobs, chunksize=4)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_worker_cropper: Cropper | None = None


def _start_worker(faces: Faces, spec: PreprocessSpec) -> None:
    global _worker_cropper
    cv2.setNumThreads(1)
    _worker_cropper = make_cropper(faces, spec)


def _crop_in_worker(job: _Job) -> _Result:
    return _crop(job, _worker_cropper)


def _crop(job: _Job, cropper: Cropper | None) -> _Result:
    assert cropper is not None
    try:
        pictures = [read_picture(path) for path in job.files]
        crops = cropper(pictures)
    except TsfError as error:
        return _Result(job.number, None, str(error))
    near: list[UInt8Array] = []
    unreadable = 0
    for key_frame, paths in zip(crops, (job.near_onset, job.near_apex), strict=False):
        for path in paths:
            try:
                near.append(cropper([pictures[0], read_picture(path)])[1])  # held on the onset like the apex
            except TsfError:
                near.append(key_frame)
                unreadable += 1
    return _Result(job.number, crops, "", near, unreadable)


def contact_sheet(cache: CropCache) -> UInt8Array:
    """(H, W, 3) uint8 RGB: onset, apex and what changed between them, of clips spread over the whole cache.

    Of windows: the first frame and the middle one.
    """
    shown = cache.usable
    fits = _CONTACT_ROWS * (_CONTACT_COLUMNS // 3)
    picked = [shown[i] for i in np.unique(np.linspace(0, len(shown) - 1, min(fits, len(shown))).astype(int))]
    tiles: list[UInt8Array] = []
    for number in picked:
        onset, apex = cache.crops[number, 0], cache.crops[number, cache.index.views // 2]
        change = apex.astype(np.int16) - onset.astype(np.int16)
        difference = np.clip(128 + _DIFFERENCE_GAIN * change, 0, 255).astype(np.uint8)
        for picture in (onset, apex, difference):
            small = cv2.resize(picture, (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_AREA)
            tiles.append(np.asarray(small, dtype=np.uint8))
    tiles += [np.zeros((_TILE_PX, _TILE_PX, 3), np.uint8)] * (-len(tiles) % _CONTACT_COLUMNS)
    rows = [np.hstack(tiles[i : i + _CONTACT_COLUMNS]) for i in range(0, len(tiles), _CONTACT_COLUMNS)]
    return np.vstack(rows)
