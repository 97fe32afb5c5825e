"""Windows of frames in the crop cache: the right frames, beside a cache of pairs that stays what it was."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from tsfmicro.align import AlignSpec
from tsfmicro.models.fdp.config import window_positions
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.training.crops.cache import CacheIndex, open_cache
from tsfmicro.training.crops.faces import Faces, read_picture
from tsfmicro.training.crops.prepare import index_of, prepare
from tsfmicro.training.datasets.audit import Audit, audit
from tsfmicro.training.datasets.load import load
from tsfmicro.training.fixtures import casme2, others
from tsfmicro.training.loso.samples import load_samples

TINY = PreprocessSpec(align=AlignSpec(size_px=32, iod_px=14, eye_row_px=11))


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return audit(load("casme2", casme2.write(tmp_path_factory.mktemp("tree")), "casme2_5c_tsf"))


def nothing(done: int, total: int) -> None: ...


@pytest.mark.parametrize("frames", [3, 8])
def test_a_window_spans_onset_to_offset(audited: Audit, tmp_path: Path, frames: int) -> None:
    index = index_of(audited, Faces.DATASET, TINY, window=frames)
    assert (index.views, index.is_of_windows) == (frames, True)
    root = audited.data.root
    cache = prepare(index, root, tmp_path / "c", on_done=nothing)
    assert cache.crops.shape == (34, frames, 32, 32, 3) and cache.failures == {}
    for entry, clip, crops in zip(index.entries, audited.data.clips, cache.crops, strict=True):
        assert clip.folder is not None
        wanted = window_positions(clip.onset, clip.offset, frames)
        assert entry.files == tuple(f"{clip.folder.relative_to(root)}/reg_img{number}.jpg" for number in wanted)
        for file, crop in zip(entry.files, crops, strict=True):
            assert (crop == read_picture(root / file)).all()
    # What moves, moves up to the apex and back: the middle of a window differs most from its ends.
    crops = np.asarray(cache.crops).astype(int)
    middle = np.abs(crops[:, frames // 2] - crops[:, 0]).mean()
    assert middle > 2 * np.abs(crops[:, -1] - crops[:, 0]).mean()
    assert cv2.imread(str(tmp_path / "c" / "contact.png")) is not None
    samples = load_samples(open_cache(tmp_path / "c", writable=False))
    assert tuple(samples.crops.shape[1:]) == (frames, 32, 32, 3)


def test_a_window_needs_no_apex(tmp_path: Path) -> None:
    """The clips of SMIC have none; the frames of a window are the same wherever an apex is put."""
    root = others.write_smic(tmp_path / "smic")
    index = index_of(audit(load("smic_hs", root, "megc2019_smic")), Faces.DATASET, TINY, window=5)
    assert all(len(set(entry.window_files)) > 1 for entry in index.entries)


def test_the_index_of_windows_survives_its_file(audited: Audit) -> None:
    windows = index_of(audited, Faces.DATASET, TINY, window=4)
    assert CacheIndex.from_json(windows.to_json()) == windows
    pairs = index_of(audited, Faces.DATASET, TINY)
    assert len({pairs.digest, windows.digest, index_of(audited, Faces.DATASET, TINY, window=5).digest}) == 3


def test_a_cache_of_pairs_is_the_file_it_was(audited: Audit) -> None:
    pairs = index_of(audited, Faces.DATASET, TINY)
    clip = json.loads(pairs.to_json())["clips"][0]
    assert set(clip) == {
        "key", "dataset", "subject", "clip", "sheet_onset", "label", "onset_file", "apex_file",
    }  # fmt: skip
    assert (pairs.views, pairs.is_of_windows) == (2, False)
