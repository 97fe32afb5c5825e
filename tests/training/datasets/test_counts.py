"""The counts of every protocol, asserted on invented sheets that have as many rows as the published ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tsfmicro.training.datasets.audit import Audit, audit, explain
from tsfmicro.training.datasets.load import load
from tsfmicro.training.fixtures import casme2, casme3, others, samm

FULL: dict[str, tuple[str, Callable[[Path], object]]] = {
    "casme2_5c_tsf": ("casme2", lambda root: casme2.write(root, full=True, frames=False)),
    "casme2_5c_2019_all": ("casme2", lambda root: casme2.write(root, full=True, frames=False)),
    "casme2_3c_tsf": ("casme2", lambda root: casme2.write(root, full=True, frames=False)),
    "casme2_5c_2014": ("casme2", lambda root: casme2.write(root, full=True, frames=False, year=2014)),
    "samm_5c_tsf": ("samm", lambda root: samm.write(root, full=True, frames=False)),
    "samm_3c_tsf": ("samm", lambda root: samm.write(root, full=True, frames=False)),
    "casme3a_7c_official": ("casme3a", lambda root: casme3.write(root, full=True, frames=False)),
    "casme3a_4c_official": ("casme3a", lambda root: casme3.write(root, full=True, frames=False)),
    "casme3c_4c_official": ("casme3c", lambda root: casme3.write_part_c(root, full=True, frames=False)),
}


def audited(dataset: str, root: Path, protocol: str, **options: object) -> Audit:
    return audit(load(dataset, root, protocol, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", FULL)
def test_published_counts(tmp_path: Path, protocol: str) -> None:
    dataset, write = FULL[protocol]
    write(tmp_path)
    found = audited(dataset, tmp_path, protocol)
    assert found.matches, explain(found)
    assert explain(found) == []
    report = found.to_dict()
    assert (report["samples"], report["subjects"], report["classes"]) == tuple(report["expected"].values())
    rows = report["rows"]
    assert rows == report["samples"] + len(report["dropped"])
    assert report["missing_frames"] == 3 * report["samples"]  # there are no pictures in these trees
    json.dumps(report)


@pytest.fixture(scope="module")
def composite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return others.write_megc2019(tmp_path_factory.mktemp("megc"), full=True, frames=False)


@pytest.mark.parametrize(
    ("dataset", "protocol"),
    [
        ("megc2019", "megc2019_full"),
        ("casme2", "megc2019_casme2"),
        ("samm", "megc2019_samm"),
        ("smic_hs", "megc2019_smic"),
    ],
)
def test_the_official_list_decides(composite: Path, dataset: str, protocol: str) -> None:
    found = audited(dataset, composite, protocol)
    assert found.matches, explain(found)
    assert not any(clip.key.startswith(("sub04/EP12_01f", "sub05/EP09_05f")) for clip in found.data.clips)


def test_labels_of_the_wrong_year_are_named(tmp_path: Path) -> None:
    casme2.write(tmp_path, full=True, frames=False, year=2014)
    found = audited("casme2", tmp_path, "casme2_5c_tsf")
    assert not found.matches
    sentences = explain(found)
    assert "labels of 2014" in sentences[0] and "counts those of 2019" in sentences[0]
    assert any("245 clips, 248 expected: surprise -3" in sentence for sentence in sentences)


def test_of_two_sheets_the_one_of_the_protocols_year_is_read(tmp_path: Path) -> None:
    casme2.write(tmp_path, full=True, frames=False, year=2014)
    casme2.write(tmp_path, full=True, frames=False, year=2019)
    assert audited("casme2", tmp_path, "casme2_5c_tsf").matches
    assert audited("casme2", tmp_path, "casme2_5c_2014").matches


def exclusion_list(path: Path, found: Audit) -> Path:
    """Three surprise and two others, as the paper left out; which ones is not known."""
    surprise = [clip.row for clip in found.data.clips if clip.label == "surprise"][:3]
    rest = [clip.row for clip in found.data.clips if clip.label == "others"][:2]
    lines = [f"{row.subject},{row.clip},{row.sheet_onset}" for row in (*surprise, *rest)]
    path.write_text("\n".join(["Subject,Filename,Onset", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("classes", [7, 4])
def test_the_855_need_a_list(tmp_path: Path, classes: int) -> None:
    casme3.write(tmp_path, full=True, frames=False)
    without = audited("casme3a", tmp_path, f"casme3a_{classes}c_tsf")
    assert not without.matches
    assert "--exclude-list" in explain(without)[0]
    assert "surprise +3, others +2" in explain(without)[1]
    listed = exclusion_list(tmp_path / "five.csv", without)
    found = audited("casme3a", tmp_path, f"casme3a_{classes}c_tsf", exclude_list=listed)
    assert found.matches and len(found.data.clips) == 855
    assert sum("five.csv" in drop.reason for drop in found.data.dropped) == 5
    assert found.digest != without.digest


def test_the_broken_copy_of_the_list_is_named(tmp_path: Path) -> None:
    others.write_megc2019(tmp_path, full=True, broken=True, frames=False)
    found = audited("megc2019", tmp_path, "megc2019_full")
    assert len(found.data.clips) == 441
    assert any("combined_3class_gt-2.csv is broken" in sentence for sentence in explain(found))


def test_an_empty_folder_of_smic_is_explained(tmp_path: Path) -> None:
    others.write_smic(tmp_path, full=True, empty=True)
    found = audited("smic_hs", tmp_path, "megc2019_smic")
    assert len(found.data.clips) == 163 and not found.matches
    assert explain(found)[0].startswith("folders without frames: s18/s18_sur_")


def test_a_later_sheet_is_preferred_and_said(tmp_path: Path) -> None:
    casme3.write(tmp_path, frames=False)
    folder = tmp_path / "annotation" / "partA"
    original = folder / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
    (folder / "cas(me)3_part_A_ME_label_JpgIndex_v2_20250903.xlsx").write_bytes(original.read_bytes())
    found = audited("casme3a", tmp_path, "casme3a_7c_official")
    assert "20250903" in found.data.annotations.source
    assert any("later than the sheet that the published counts come from" in line for line in explain(found))
