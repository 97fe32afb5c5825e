"""Frames beside the key frames are cut with them, stay inside their clip, and cost no clip when they are missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.running import Prompt
from tsfmicro.align import AlignSpec
from tsfmicro.errors import UsageError
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.training.crops.cache import CacheIndex, CropCache, open_cache
from tsfmicro.training.crops.faces import Faces, read_picture
from tsfmicro.training.crops.neighbours import MOST, RANGE, Neighbours, distances
from tsfmicro.training.crops.prepare import index_of, prepare
from tsfmicro.training.datasets.audit import audit
from tsfmicro.training.datasets.load import load
from tsfmicro.training.fixtures import casme2
from tsfmicro.training.fixtures.pictures import Movement, write_frames

TINY = PreprocessSpec(align=AlignSpec(size_px=32, iod_px=14, eye_row_px=11))
SHARE = 0.2
LABELS = ("happiness", "disgust", "repression", "surprise", "others")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return casme2.write(tmp_path / "tree")


def indexed(root: Path, share: float = SHARE) -> CacheIndex:
    return index_of(audit(load("casme2", root, "casme2_5c_tsf")), Faces.DATASET, TINY, key_frame_range=share)


def nothing(done: int, total: int) -> None: ...


def near_pictures(cache: CropCache, number: int) -> list[bool]:
    """Whether each neighbour in the cache is the picture it is said to be."""
    entry, start = cache.index.entries[number], cache.index.neighbour_starts[number]
    files = (*entry.neighbours.onset, *entry.neighbours.apex)
    root = cache.folder.parent / "tree"
    return [(cache.neighbours[start + i] == read_picture(root / file)).all() for i, file in enumerate(files)]


@pytest.mark.parametrize(("span", "expected"), [(0, ()), (26, ()), (27, (1,)), (54, (1, 2)), (80, (1, 2, 3))])
def test_the_documented_range(span: int, expected: tuple[int, ...]) -> None:
    """MMNet: 0.15 of the way from onset to apex, divided by 4."""
    assert distances(100, 100 + span, RANGE) == expected


@pytest.mark.parametrize("share", [0.01, RANGE, 0.1, 0.3, 0.49])
def test_onset_and_apex_never_meet(share: float) -> None:
    for span in range(400):
        steps = distances(0, span, share)
        assert len(steps) <= MOST and list(steps) == sorted(set(steps))
        assert not steps or (steps[0] == 1 and steps[-1] < span - steps[-1] and steps[-1] <= share * span + 1e-6)


@pytest.mark.parametrize("share", [-0.1, 0.5, 1.0])
def test_a_range_in_which_they_could_is_refused(tree: Path, share: float) -> None:
    with pytest.raises(UsageError, match="share of the way from onset to apex"):
        indexed(tree, share)


def test_neighbours_are_the_frames_after_the_onset_and_before_the_apex(tree: Path) -> None:
    index = indexed(tree)
    cache = prepare(index, tree, tree.parent / "c", on_done=nothing)
    number = next(i for i, entry in enumerate(index.entries) if (entry.subject, entry.clip) == ("sub10", "EP11_01"))
    folder = "Cropped/Cropped/sub10/EP11_01"  # onset 12, apex 24
    assert index.entries[number].neighbours == Neighbours(
        (f"{folder}/reg_img13.jpg", f"{folder}/reg_img14.jpg"), (f"{folder}/reg_img23.jpg", f"{folder}/reg_img22.jpg")
    )
    assert all(all(near_pictures(cache, n)) for n in range(len(index.entries)))
    assert len(cache.neighbours) == index.neighbour_starts[-1] > len(index.entries)
    without = prepare(indexed(tree, 0.0), tree, tree.parent / "d", on_done=nothing)
    assert (without.crops == cache.crops).all() and len(without.neighbours) == 0


def test_nothing_asked_leaves_the_cache_as_it_was(tree: Path) -> None:
    """So crops that were cut before are found again."""
    plain, asked = indexed(tree, 0.0), indexed(tree, 0.01)  # no clip is long enough
    assert asked == plain and "neighbours" not in plain.to_json() and "key_frame_range" not in plain.to_json()
    assert indexed(tree).digest != plain.digest
    assert CacheIndex.from_json(indexed(tree).to_json()) == indexed(tree)


def test_a_folder_of_several_clips_gives_each_its_own_frames(tmp_path: Path) -> None:
    """As the videos of CAS(ME)^3 do: frames of the clip before and after lie beside it."""
    root = tmp_path / "data"
    lines = ["subject,clip,onset,apex,offset,emotion,folder"]
    for person in ("p1", "p2"):
        for place, label in enumerate(LABELS):
            onset = 1 + 10 * place
            lines.append(f"{person},{label},{onset},{onset + 9},{onset + 9},{label},{person}/video")
            write_frames(root / person / "video", "%d.png", Movement(person, label, onset, onset + 9, onset + 9))
    (root / "clips.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    audited = audit(load("csv", root, "casme2_5c_tsf"))
    index = index_of(audited, Faces.DATASET, TINY, key_frame_range=0.49)
    for entry in index.entries:
        first = entry.sheet_onset
        numbers = [int(Path(file).stem) for file in (*entry.neighbours.onset, *entry.neighbours.apex)]
        assert numbers == [first + 1, first + 2, first + 3, first + 4, first + 8, first + 7, first + 6, first + 5]


def test_frames_that_are_missing_are_counted_and_cost_nothing(tree: Path) -> None:
    entry = next(entry for entry in indexed(tree).entries if entry.neighbours.onset)
    (tree / entry.neighbours.onset[0]).unlink()
    (tree / entry.onset_file).unlink()  # then the frame after the missing one stands in for the onset
    index = indexed(tree)
    after = next(other for other in index.entries if other.key == entry.key)
    assert after.onset_file == entry.neighbours.onset[1]
    assert after.neighbours.onset == () and after.neighbours.missing == 2
    assert after.neighbours.apex == entry.neighbours.apex
    cache = prepare(index, tree, tree.parent / "c", on_done=nothing)
    assert cache.failures == {} and all(all(near_pictures(cache, n)) for n in range(len(index.entries)))


def test_for_one_that_cannot_be_read_the_key_frame_stands_in(tree: Path) -> None:
    index = indexed(tree)
    number = next(i for i, entry in enumerate(index.entries) if entry.neighbours.apex)
    (tree / index.entries[number].neighbours.apex[0]).write_bytes(b"not a picture")
    cache = prepare(index, tree, tree.parent / "c", on_done=nothing)
    assert cache.failures == {} and cache.unreadable_neighbours == {index.entries[number].key: 1}
    place = index.neighbour_starts[number] + len(index.entries[number].neighbours.onset)
    assert (cache.neighbours[place] == cache.crops[number, 1]).all()
    assert open_cache(cache.folder).unreadable_neighbours == cache.unreadable_neighbours
    (tree / index.entries[number].apex_file).write_bytes(b"not a picture either")
    assert set(prepare(index, tree, tree.parent / "d", on_done=nothing).failures) == {index.entries[number].key}


def test_prepare_as_typed(prompt: Prompt, tree: Path, tmp_path: Path) -> None:
    words = ("tsf-train", "prepare", "--dataset", "casme2", "--root", tree, "--protocol", "casme2_5c_tsf", "--json")
    usual = prompt(*words, "--out", tmp_path / "usual")
    assert usual.code == 0, usual.err
    # One clip of the tree is long enough: onset 40, apex 71.
    assert json.loads(usual.out)["neighbours"] == {"cut": 2, "missing": 0, "unreadable": 0}
    (tree / "Cropped/Cropped/sub05/EP16_04f/reg_img41.jpg").unlink()
    (tree / "Cropped/Cropped/sub05/EP16_04f/reg_img70.jpg").write_bytes(b"")
    damaged = prompt(*words, "--out", tmp_path / "damaged")
    assert json.loads(damaged.out)["neighbours"] == {"cut": 0, "missing": 1, "unreadable": 1}
    assert json.loads(damaged.out)["failures"] == {}
    assert "1 frames are missing and 1 cannot be cut" in damaged.err
    off = prompt(*words, "--key-frame-range", 0, "--out", tmp_path / "off")
    assert json.loads(off.out)["neighbours"] == {"cut": 0, "missing": 0, "unreadable": 0}
