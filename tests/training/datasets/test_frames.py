"""Folders by their path, frames by the last number of their name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsfmicro.errors import UsageError
from tsfmicro.training.datasets.casme2 import identify as casme2_folder
from tsfmicro.training.datasets.casme3 import identify_part_a
from tsfmicro.training.datasets.frames import (
    Identified,
    Identify,
    choose_layout,
    find_frame,
    index_frames,
    layouts,
    leaf_folders,
)
from tsfmicro.training.datasets.samm import identify_clip
from tsfmicro.training.datasets.smic import identify as smic_folder


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "names",
    [
        ["reg_img9.jpg", "reg_img10.jpg", "reg_img100.jpg"],
        ["img009.JPG", "img010.jpeg", "img100.png"],
        ["006_00009.jpg", "006_00010.jpg", "006_00100.jpg"],
        ["Frame_000000009.bmp", "Frame_000000010.bmp", "Frame_000000100.bmp"],
        ["9.jpg", "10.jpg", "100.jpg"],
    ],
)
def test_numbers_come_from_the_end_of_the_name(tmp_path: Path, names: list[str]) -> None:
    for name in [*names, "Thumbs.db", ".DS_Store", "cover.jpg", "notes5.txt"]:
        touch(tmp_path / name)
    index = index_frames(tmp_path)
    assert list(index) == [9, 10, 100]
    assert [path.name for path in index.values()] == names


@given(numbers=st.sets(st.integers(1, 50), min_size=1), wanted=st.integers(1, 50))
def test_the_nearest_frame_stands_in_and_says_so(numbers: set[int], wanted: int) -> None:
    found = find_frame({n: Path(f"{n}.jpg") for n in numbers}, wanted)
    assert found is not None
    assert found.exact == (wanted in numbers)
    assert abs(found.number - wanted) == min(abs(n - wanted) for n in numbers)
    assert found.path == Path(f"{found.number}.jpg")


def test_no_frame_at_all() -> None:
    assert find_frame({}, 3) is None


@pytest.mark.parametrize(
    ("identify", "path", "known"),
    [
        (casme2_folder, "Cropped/Cropped/sub01/EP02_01f", (("sub01", "ep02_01f"), 2)),
        (casme2_folder, "CASME2_RAW/CASME2-RAW/Sub7/EP06_02_01", (("sub07", "ep06_02_01"), 2)),
        (casme2_folder, "Cropped/sub01", None),
        (identify_clip, "SAMM/006/006_1_2", ((6, 1, 2), 2)),
        (identify_clip, "SAMM/013_1_10", ((13, 1, 10), 1)),
        (identify_clip, "SAMM_longvideos/006_1", None),
        (identify_part_a, "part_A/data/part_A_split/part_A/spNo.1/a/color", ((1, "a"), 3)),
        (identify_part_a, "part_A/spNO.1/a/depth", None),
        (identify_part_a, "Part_A_ME_clip/frame/spNO.171_e_2403", ((171, "e", 2403), 1)),
        (identify_part_a, "Part_A_ME_clip/depth/spNO.171_e_2403", None),
        (identify_part_a, "spNO.1/J", ((1, "j"), 2)),
        (smic_folder, "SMIC_all_cropped/HS/s1/micro/negative/s1_ne_01", ((1, "ne", 1), 4)),
        (smic_folder, "HS_long/SMIC-HS-E/s01/s01_sur_03", ((1, "sur", 3), 2)),
        (smic_folder, "SMIC_all_cropped/VIS/s1/micro/negative/s1_ne_01", None),
    ],
)  # fmt: skip
def test_folders_say_whose_they_are(identify: Identify, path: str, known: Identified | None) -> None:
    assert identify(tuple(path.split("/"))) == known


def test_layouts_are_grouped_and_the_wanted_kind_is_taken(tmp_path: Path) -> None:
    for clip in range(10):
        touch(tmp_path / "Cropped" / "sub01" / f"EP01_{clip:02d}" / "reg_img1.jpg")
        touch(tmp_path / "x" / "CASME2-RAW" / "sub01" / f"EP01_{clip:02d}" / "img1.jpg")
    found = layouts(leaf_folders(tmp_path), casme2_folder)
    assert [(layout.name, layout.kind) for layout in found] == [("Cropped", "cropped"), ("x/CASME2-RAW", "raw")]
    lookups = [(("sub01", f"ep01_{clip:02d}"),) for clip in range(10)]
    for kind, name in (("cropped", "Cropped"), ("raw", "x/CASME2-RAW")):
        chosen = choose_layout(found, lookups, kind, None)
        assert chosen is not None and chosen.name == name
    by_name = choose_layout(found, lookups, "cropped", "casme2-raw")
    assert by_name is not None and by_name.kind == "raw"
    with pytest.raises(UsageError, match=r"there are: Cropped, x/CASME2-RAW"):
        choose_layout(found, lookups, "cropped", "no such")


def test_a_layout_with_few_clips_does_not_win_by_kind(tmp_path: Path) -> None:
    touch(tmp_path / "Cropped" / "sub01" / "EP01_00" / "reg_img1.jpg")
    for clip in range(4):
        touch(tmp_path / "raw" / "sub01" / f"EP01_{clip:02d}" / "img1.jpg")
    lookups = [(("sub01", f"ep01_{clip:02d}"),) for clip in range(4)]
    chosen = choose_layout(layouts(leaf_folders(tmp_path), casme2_folder), lookups, "cropped", None)
    assert chosen is not None and chosen.name == "raw"


def test_a_long_video_is_one_folder(tmp_path: Path) -> None:
    for number in range(200):
        touch(tmp_path / "spNO.1" / "a" / "color" / f"{number}.jpg")
    touch(tmp_path / "spNO.1" / "a" / "depth" / "1.png")
    (tmp_path / "empty").mkdir()
    leaves = leaf_folders(tmp_path)
    assert [("/".join(leaf.parts), bool(leaf.first_picture)) for leaf in leaves] == [
        ("empty", False), ("spNO.1/a/color", True), ("spNO.1/a/depth", True),
    ]  # fmt: skip
