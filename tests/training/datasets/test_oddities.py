"""Every documented oddity, in every layout, on tiny trees with pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tsfmicro.errors import SourceError, UsageError
from tsfmicro.training.datasets.audit import Audit, audit, explain
from tsfmicro.training.datasets.errata import apply_errata, load_errata, settle_apex
from tsfmicro.training.datasets.frames import index_frames
from tsfmicro.training.datasets.load import DATASETS, load
from tsfmicro.training.datasets.rows import Clip, Row
from tsfmicro.training.fixtures import casme2, casme3, others, samm
from tsfmicro.training.fixtures.trees import TREES, write_tree
from tsfmicro.training.fixtures.workbook import write_xlsx

PROTOCOL = {
    "casme2": "casme2_5c_tsf", "samm": "samm_5c_tsf", "samm_lv": "samm_5c_tsf", "casme3a": "casme3a_7c_official",
    "casme3c": "casme3c_4c_official", "cas_me2": "cas_me2_4c", "smic_hs": "megc2019_smic", "megc2019": "megc2019_full",
    "csv": "casme2_5c_tsf",
}  # fmt: skip


def audited(dataset: str, root: Path, protocol: str | None = None, **options: object) -> Audit:
    return audit(load(dataset, root, protocol or PROTOCOL[dataset], **options))  # type: ignore[arg-type]


def clip_of(found: Audit, key: str) -> Clip:
    (clip,) = [clip for clip in found.data.clips if clip.key == key]
    return clip


def repairs_of(found: Audit) -> dict[tuple[str, str], tuple[str, str]]:
    return {(repair.key, repair.field): (repair.before, repair.after) for repair in found.data.repaired}


def test_there_is_a_tree_for_every_data_set() -> None:
    assert set(TREES) == set(DATASETS) == set(PROTOCOL)


@pytest.mark.parametrize(("dataset", "layout"), [(name, layout) for name, kinds in TREES.items() for layout in kinds])
def test_every_layout_is_found_with_every_frame(tmp_path: Path, dataset: str, layout: str) -> None:
    found = audited(dataset, write_tree(dataset, layout, tmp_path / "data" / "set"))
    assert found.data.clips
    assert found.missing == ()
    for clip in found.data.clips:
        assert clip.folder is not None
        assert {clip.onset, clip.apex, clip.offset} <= set(index_frames(clip.folder))
    # Two rows never share a folder of frames by mistake: in layouts of clips each has its own.
    if dataset in {"casme2", "samm", "smic_hs", "csv"} or layout == "clips":
        assert len({clip.folder for clip in found.data.clips}) == len(found.data.clips)


def test_casme2_rows(tmp_path: Path) -> None:
    found = audited("casme2", casme2.write(tmp_path))
    reasons = {drop.key: drop.reason for drop in found.data.dropped}
    assert "no apex annotated" in reasons["sub04/EP12_01f/261"]
    assert {clip.subject for clip in found.data.clips} >= {"sub01", "sub24"}  # text and integer subjects
    assert [note.key for note in found.data.notes] == ["sub05/EP09_05f/69"]
    for key, folder in {
        "sub03/EP01_2/46": "EP01_2", "sub09/EP09f/22": "EP09f", "sub07/EP06_02_01/50": "EP06_02_01",
        "sub07/EP06_02_02/90": "EP06_02_02", "sub10/EP11_01/12": "EP11_01", "sub10/EP11_01f/101": "EP11_01f",
    }.items():  # fmt: skip
        place = clip_of(found, key).folder
        assert place is not None and place.name == folder


def test_casme2_apex_is_filled_in_where_the_protocol_keeps_the_row(tmp_path: Path) -> None:
    found = audited("casme2", casme2.write(tmp_path), "casme2_5c_2019_all")
    assert clip_of(found, "sub04/EP12_01f/261").apex == 291
    assert repairs_of(found)["sub04/EP12_01f/261", "apex"] == ("/", "291")


def test_casme2_f_is_optional_only_where_nobody_else_has_the_name(tmp_path: Path) -> None:
    casme2.write(tmp_path, layout="bare")
    (tmp_path / "sub09" / "EP09f").rename(tmp_path / "sub09" / "EP09")
    (tmp_path / "sub24" / "EP10_03").rename(tmp_path / "sub24" / "ep10_03F")
    for picture in (tmp_path / "sub10" / "EP11_01").iterdir():
        picture.unlink()
    (tmp_path / "sub10" / "EP11_01").rmdir()
    found = audited("casme2", tmp_path)
    assert {frame.key for frame in found.missing} == {"sub10/EP11_01/12"}
    assert clip_of(found, "sub10/EP11_01/12").folder is None
    assert found.clips_without_frames == ("sub10/EP11_01/12",)


def test_a_missing_frame_is_counted_and_the_nearest_named(tmp_path: Path) -> None:
    casme2.write(tmp_path, layout="bare")
    (tmp_path / "sub03" / "EP01_2" / "reg_img60.jpg").unlink()
    (frame,) = audited("casme2", tmp_path).missing
    assert (frame.key, frame.field, frame.frame, frame.used) == ("sub03/EP01_2/46", "apex", 60, 59)


@pytest.mark.parametrize("as_text", [True, False])
def test_samm_rows(tmp_path: Path, as_text: bool) -> None:
    found = audited("samm", samm.write(tmp_path, as_text=as_text, frames=False))
    assert clip_of(found, "028/028_4_1/1071").apex == 1105
    assert clip_of(found, "032/032_3_1/4896").apex == 4930
    assert set(repairs_of(found)) == {("028/028_4_1/1071", "apex"), ("032/032_3_1/4896", "apex")}
    assert {clip.subject for clip in found.data.clips} == {"006", "013", "028", "032", "037"}


def test_samm_long_videos_merge_by_clip_and_type(tmp_path: Path) -> None:
    found = audited("samm_lv", samm.write_long(tmp_path))
    shifted = clip_of(found, "006/006_1_2/3562")
    assert (shifted.label, shifted.apex, shifted.folder and shifted.folder.name) == ("anger", 3588, "006_1")
    assert clip_of(found, "013/013_1_10/100").onset == 100  # stored as 100.4
    assert clip_of(found, "032/032_3_1/4396").apex == 4430  # -1 in the sheet
    assert repairs_of(found)["032/032_3_1/4396", "apex"] == ("-1", "4430")
    assert {drop.key for drop in found.data.dropped if drop.reason == "macro-expression"} == {
        "037/037_4_1/0", "006/006_1_7/900",
    }  # fmt: skip


def test_samm_long_videos_need_the_micro_sheet(tmp_path: Path) -> None:
    samm.write_long(tmp_path, frames=False)
    (tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx").unlink()
    with pytest.raises(UsageError, match=r"no annotation of SAMM: .*SAMM_Micro_FACS_Codes_v2"):
        audited("samm_lv", tmp_path)


CORRUPT = {
    ("spNO.149/d/112", "apex"): ("83", "160"),
    ("spNO.216/d/3647", "onset"): ("3647", "2647"),
    ("spNO.40/e/1812", "offset"): ("0", "1845"),
    ("spNO.40/e/2327", "offset"): ("0", "2403"),
    ("spNO.214/c/5", "offset"): ("3460", "34"),
    ("spNO.216/e/0", "onset"): ("0", "1"),
    ("spNO.216/e/0", "apex"): ("0", "1"),
}


@pytest.mark.parametrize("sibling", [True, False])
def test_casme3_corrupt_rows_are_mended_with_and_without_the_sibling(tmp_path: Path, sibling: bool) -> None:
    found = audited("casme3a", casme3.write(tmp_path, sibling=sibling))
    assert repairs_of(found) == CORRUPT
    sources = {repair.key: repair.reason for repair in found.data.repaired}
    assert ("out of order" in sources["spNO.40/e/1812"]) == sibling
    assert clip_of(found, "spNO.216/d/3647").onset == 2647
    assert clip_of(found, "spNO.3/j/30").label == "others"  # video J, label Others
    assert "spNO.3/a/20" in {note.key for note in found.data.notes}  # apex on the onset
    assert found.missing == ()


def test_part_c_and_cas_me2_have_middle_apexes_where_none_is_good(tmp_path: Path) -> None:
    part_c = audited("casme3c", casme3.write_part_c(tmp_path / "c"))
    assert all(clip.apex == (clip.onset + clip.offset) // 2 for clip in part_c.data.clips)
    assert part_c.data.clips[2].row.action_units == "4,7"  # written with a full-width comma
    square = audited("cas_me2", others.write_cas_me2(tmp_path / "s"))
    assert repairs_of(square) == {("s15/disgust1_1/20", "apex"): ("3", "26")}
    assert sum(drop.reason == "macro-expression" for drop in square.data.dropped) == 3
    folders = {clip.folder.name for clip in square.data.clips if clip.folder}
    assert "15_0101disgustingteeth" in folders and "17_0502funnyerrors" in folders


def test_smic_takes_the_high_speed_camera_only(tmp_path: Path) -> None:
    found = audited("smic_hs", others.write_smic(tmp_path))
    assert len(found.data.clips) == 12
    assert not any("VIS" in str(clip.folder) for clip in found.data.clips)


def test_own_clips_have_no_expectation(tmp_path: Path) -> None:
    write_tree("csv", None, tmp_path)
    found = audited("csv", tmp_path / "clips.csv")
    report = found.to_dict()
    assert report["expected"] == {} and report["matches"] and "no published counts" in report["explanation"][0]
    (tmp_path / "copy.csv").write_text((tmp_path / "clips.csv").read_text())
    with pytest.raises(UsageError, match="several tables of clips"):
        audited("csv", tmp_path)


def test_unreadable_rows_are_dropped_with_their_cell(tmp_path: Path) -> None:
    write_tree("csv", None, tmp_path)
    path = tmp_path / "clips.csv"
    broken = "p1,x,abc,4,9,happiness\np1,y,20,22,9,happiness\np1,z,5,6,9,joy\n,,5,6,9,happiness\n"
    path.write_text(path.read_text() + broken)
    reasons = {drop.key: drop.reason for drop in audited("csv", tmp_path).data.dropped}
    assert reasons == {
        "p1/x/abc": "onset 'abc' is not a frame number",
        "p1/y/20": "offset 9 before onset 20",
        "p1/z/5": "label 'joy' is no class of casme2_5c_tsf",
        "//5": "line 45 names no subject, or neither clip nor folder",
    }


ROW = Row("casme3a", "spNO.149", "d", 112, 83, 358, "fear", 112)


def test_an_erratum_leaves_a_corrected_copy_alone() -> None:
    errata = load_errata("casme3a")
    (mended,), (repair,) = apply_errata([ROW], errata)
    assert mended.apex == 160 and repair.before == "83"
    assert apply_errata([mended], errata) == ((mended,), ())
    assert apply_errata([replace(ROW, clip="e")], errata)[1] == ()


@pytest.mark.parametrize("dataset", ["casme2", "samm", "casme3a"])
def test_every_erratum_has_a_reason_and_changes_something(dataset: str) -> None:
    for line in load_errata(dataset):
        assert line.reason and line.field in {"onset", "apex", "offset"} and line.before != str(line.after)
    assert load_errata("no such set") == ()


def test_an_apex_outside_is_settled_in_the_middle() -> None:
    settled, repair = settle_apex(ROW)
    assert settled.apex == 235 and repair is not None and "outside" in repair.reason
    assert settle_apex(settled) == (settled, None)


@pytest.mark.parametrize(
    ("line", "hint"),
    [("spNO.3,j,31", "fits 0 rows"), ("spNO.40,e,", "fits 2 rows of the annotation; name its onset")],
)
def test_an_exclusion_that_fits_nothing_or_too_much_is_refused(tmp_path: Path, line: str, hint: str) -> None:
    casme3.write(tmp_path, frames=False)
    path = tmp_path / "gone.csv"
    path.write_text(f"subject,clip,onset\n{line}\n")
    with pytest.raises(UsageError, match=hint):
        audited("casme3a", tmp_path, exclude_list=path)


def test_bad_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'casme' is not known; did you mean casme2"):
        load("casme", tmp_path, "casme2_5c_tsf")
    with pytest.raises(UsageError, match=r"samm_5c_tsf is about samm, not casme2; for it there are casme2_5c_tsf"):
        load("casme2", tmp_path, "samm_5c_tsf")
    with pytest.raises(SourceError, match="does not exist"):
        load("casme2", tmp_path / "nowhere", "casme2_5c_tsf")
    for name in set(DATASETS) - {"smic_hs", "megc2019"}:
        with pytest.raises(UsageError, match=r"holds no annotation of .*: expected .*; found no table at all"):
            load(name, tmp_path, PROTOCOL[name])
    with pytest.raises(UsageError, match="holds no SMIC-HS"):
        load("smic_hs", tmp_path, "megc2019_smic")
    with pytest.raises(UsageError, match=r"combined_3class_gt\.csv"):
        load("megc2019", tmp_path, "megc2019_full")
    casme2.write(tmp_path / "c", frames=False)
    with pytest.raises(UsageError, match=r"combined_3class_gt\.csv"):
        load("casme2", tmp_path / "c", "megc2019_casme2")


def test_an_apex_in_a_copy_that_should_have_none_is_pointed_out(tmp_path: Path) -> None:
    original = casme2._ODD
    mended = tuple((*row[:3], 290, *row[4:]) if row[1] == "EP12_01f" else row for row in original)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(casme2, "_ODD", mended)
        casme2.write(tmp_path, full=True, frames=False)
    found = audited("casme2", tmp_path)
    assert len(found.data.clips) == 249
    assert "sub04/EP12_01f has an apex in this copy" in explain(found)[0]


def test_other_peoples_and_damaged_tables_do_not_hide_the_annotation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    casme2.write(tmp_path, layout="bare")
    (tmp_path / "0-damaged.xlsx").write_bytes(b"PK\x03\x04 cut off")
    (tmp_path / "landmarks.csv").write_text("frame,x,y\n1,2,3\n")
    (tmp_path / "readme.txt").write_bytes(b"\xff\xfe\x00binary")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    samm.write(tmp_path / "beside", frames=False)
    found = audited("casme2", tmp_path)
    assert len(found.data.clips) == 34 and found.missing == ()
    assert "0-damaged.xlsx cannot be read" in caplog.text
    assert len(audited("samm", tmp_path).data.clips) == 20


def test_numbers_only_naming_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write_xlsx

    def without_letters(path: Path, sheets: dict[str, list[list[object]]]) -> Path:
        sheets["naming rule1"] = [[row[0], int(str(row[1]).removeprefix("s"))] for row in sheets["naming rule1"]]
        return written(path, sheets)  # type: ignore[arg-type]

    monkeypatch.setattr(others, "write_xlsx", without_letters)
    found = audited("cas_me2", others.write_cas_me2(tmp_path))
    assert found.missing == () and found.data.subjects == ("s15", "s16", "s17")
