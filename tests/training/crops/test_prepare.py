"""Crops are cut once, survive interruption, and say what could not be cut."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data as pictures

from tests.running import Prompt
from tsfmicro.align import AlignSpec
from tsfmicro.errors import SourceError, UsageError
from tsfmicro.landmarks import FaceMeshDetector, landmarks_of_photo
from tsfmicro.motion import displacement
from tsfmicro.preprocess import Preprocessor, PreprocessSpec
from tsfmicro.realtime.analyzer import event_crops
from tsfmicro.realtime.follow import FaceFollower
from tsfmicro.training.crops.cache import CacheIndex, open_cache
from tsfmicro.training.crops.faces import Faces, make_cropper, read_picture
from tsfmicro.training.crops.prepare import faces_for, index_of, prepare
from tsfmicro.training.datasets.audit import audit
from tsfmicro.training.datasets.load import load
from tsfmicro.training.fixtures import casme2, others
from tsfmicro.values import CropPair, Frame, UInt8Array

TINY = PreprocessSpec(align=AlignSpec(size_px=32, iod_px=14, eye_row_px=11))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return casme2.write(tmp_path_factory.mktemp("tree"))


def indexed(root: Path) -> CacheIndex:
    return index_of(audit(load("casme2", root, "casme2_5c_tsf")), Faces.DATASET, TINY)


def nothing(done: int, total: int) -> None: ...


def test_crops_are_the_pictures_of_onset_and_apex(tree: Path, tmp_path: Path) -> None:
    index = indexed(tree)
    cache = prepare(index, tree, tmp_path / "c", on_done=nothing)
    assert cache.usable == list(range(34)) and cache.failures == {} and cache.pending == []
    entry = index.entries[5]
    assert (cache.crops[5, 0] == read_picture(tree / entry.onset_file)).all()
    assert (cache.crops[5, 1] == read_picture(tree / entry.apex_file)).all()
    assert not (cache.crops[5, 0] == cache.crops[5, 1]).all()
    sheet = cv2.imread(str(tmp_path / "c" / "contact.png"))
    assert sheet is not None and sheet.shape == (9 * 96, 12 * 96, 3)


def test_an_interrupted_run_goes_on_where_it_stopped(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = indexed(tree)
    whole = np.array(prepare(index, tree, tmp_path / "whole", on_done=nothing).crops)

    def stop(done: int, total: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(index, tree, tmp_path / "c", on_done=stop)
    assert len(open_cache(tmp_path / "c").pending) == 24
    read: list[Path] = []

    def counting(path: Path) -> UInt8Array:
        read.append(path)
        return read_picture(path)

    monkeypatch.setattr("tsfmicro.training.crops.prepare.read_picture", counting)
    cache = prepare(index, tree, tmp_path / "c", on_done=nothing)
    assert len(read) == 2 * 24
    assert (np.array(cache.crops) == whole).all()


def test_a_finished_cache_is_left_alone(tree: Path, tmp_path: Path) -> None:
    """So that several runs can read it at the same time."""
    folder = tmp_path / "c"
    prepare(indexed(tree), tree, folder, on_done=nothing)
    before = {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.iterdir()}
    assert len(prepare(indexed(tree), tree, folder, on_done=nothing).usable) == 34
    assert {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.iterdir()} == before


def test_several_processes_cut_the_same_crops(tree: Path, tmp_path: Path) -> None:
    index = indexed(tree)
    one = prepare(index, tree, tmp_path / "one", on_done=nothing)
    two = prepare(index, tree, tmp_path / "two", workers=2, on_done=nothing)
    assert (one.crops == two.crops).all() and two.pending == []


def test_unreadable_frames_are_reported_and_not_fatal(tmp_path: Path) -> None:
    root = casme2.write(tmp_path / "tree", layout="bare")
    index = indexed(root)
    (root / index.entries[3].apex_file).write_bytes(b"not a picture")
    (root / index.entries[7].onset_file).write_bytes(b"")
    cache = prepare(index, root, tmp_path / "c", on_done=nothing)
    assert set(cache.failures) == {index.entries[3].key, index.entries[7].key}
    assert len(cache.usable) == 32
    assert "is not a picture that can be decoded" in cache.failures[index.entries[3].key]
    assert open_cache(tmp_path / "c").failures == cache.failures


def test_a_cache_of_something_else_is_not_reused(tree: Path, tmp_path: Path) -> None:
    index = indexed(tree)
    prepare(index, tree, tmp_path / "c", on_done=nothing)
    other = CacheIndex(index.dataset, index.protocol_id, index.audit_digest, Faces.MTCNN, TINY, index.entries)
    with pytest.raises(UsageError, match="other clips or of another preprocessing"):
        prepare(other, tree, tmp_path / "c", on_done=nothing)
    assert other.digest != index.digest
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("x")
    with pytest.raises(UsageError, match="is not empty"):
        prepare(index, tree, tmp_path / "full", on_done=nothing)
    with pytest.raises(SourceError, match="tsf-train prepare"):
        open_cache(tmp_path / "nowhere")


def test_the_index_survives_its_file(tree: Path) -> None:
    index = indexed(tree)
    assert CacheIndex.from_json(index.to_json()) == index


def test_faces_follow_the_frames_where_nothing_is_asked(tree: Path, tmp_path: Path) -> None:
    assert faces_for(load("casme2", tree, "casme2_5c_tsf"), None) is Faces.DATASET
    raw = casme2.write(tmp_path / "raw", layout="raw-selected")
    assert faces_for(load("casme2", raw, "casme2_5c_tsf"), None) is Faces.LANDMARKS
    assert faces_for(load("casme2", raw, "casme2_5c_tsf"), Faces.MTCNN) is Faces.MTCNN
    mixed = others.write_megc2019(tmp_path / "m")
    with pytest.raises(UsageError, match="say --faces"):
        faces_for(load("megc2019", mixed, "megc2019_full"), None)


@pytest.mark.parametrize("faces", [Faces.LANDMARKS, Faces.MTCNN])
def test_a_face_is_found_and_placed(faces: Faces) -> None:
    portrait = np.ascontiguousarray(pictures.astronaut())
    cropper = make_cropper(faces, PreprocessSpec())
    first, second = cropper([portrait, portrait])
    assert first.shape == (224, 224, 3)
    if faces is Faces.MTCNN:
        assert (first == second).all()
    else:
        assert np.abs(first.astype(int) - second).mean() < 1.0
    assert first.std() > 30
    nobody = np.zeros((240, 320, 3), np.uint8)
    with pytest.raises(SourceError, match="no face found in the onset frame"):
        cropper([nobody, portrait])
    with pytest.raises(SourceError, match="no face found in the first frame"):
        cropper([nobody, portrait, portrait])


def test_training_crops_are_those_of_the_live_loop() -> None:
    """The same two pictures, through the command that prepares crops and through the code that runs live."""
    onset = np.ascontiguousarray(pictures.astronaut())
    turn = cv2.getRotationMatrix2D((220.0, 150.0), 1.5, 1.01) + np.array([[0, 0, 2.3], [0, 0, -1.6]])
    apex = np.asarray(cv2.warpAffine(onset, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)
    spec = PreprocessSpec()
    prepared = CropPair(*make_cropper(Faces.LANDMARKS, spec)([onset, apex]))
    samples = []
    for index, pixels in enumerate((onset, apex)):
        with FaceMeshDetector(max_faces=1) as detector:
            face = landmarks_of_photo(pixels, detector)
        assert face is not None
        samples.append(FaceFollower(spec.align).see(Frame(pixels, index, index / 30, 0.0, "test"), face))
    moved = displacement(samples[0].patch, samples[1].patch, spec.align)
    live = event_crops(samples[0], samples[1], moved, Preprocessor(spec))
    # The live loop keeps only a window around the face, so its sampling grid begins elsewhere: rounding, no more.
    for one, other in ((prepared.onset, live.onset), (prepared.apex, live.apex)):
        assert np.abs(one.astype(int) - other).max() <= 2
    # And the alignment is at work: unaligned, the head's motion alone would differ far more.
    unaligned = CropPair(*make_cropper(Faces.DATASET, spec)([onset, apex]))
    held = np.abs(prepared.apex.astype(int) - prepared.onset)[60:160, 60:160].mean()
    assert held < 0.5 * np.abs(unaligned.apex.astype(int) - unaligned.onset).mean()


def test_prepare_as_typed(prompt: Prompt, tree: Path, tmp_path: Path) -> None:
    words = ("tsf-train", "prepare", "--dataset", "casme2", "--root", tree, "--protocol", "casme2_5c_tsf")
    done = prompt(*words, "--out", tmp_path / "c", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["crops"], report["faces"], report["failures"]) == (34, "dataset", {})
    assert report["preprocess_digest"] == PreprocessSpec().digest
    casme2.write(tmp_path / "bare", frames=False)
    prompt(*words[:5], tmp_path / "bare", *words[6:], "--out", tmp_path / "d").assert_refused(2, "no frame of any clip")
