"""Annotation files: any sheet, any header row, any storage of numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsfmicro.errors import SourceError
from tsfmicro.training.datasets.tables import cell_text, find_table, frame_number, read_sheets, table_files
from tsfmicro.training.fixtures.workbook import Rows, write_xls, write_xlsx

COLUMNS = {"subject": ("subject",), "onset": ("onsetframe", "onset")}
ROWS: Rows = [
    ["a note"],
    [None, "Onset Frame", None, "SUBJECT "],
    [None, 46, None, "006"],
    [],
    [None, 7.6, None, " 007"],
]


@pytest.mark.parametrize("suffix", [".xlsx", ".xls", ".csv"])
def test_every_format_gives_the_same_table(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"sheet{suffix}"
    if suffix == ".xlsx":
        write_xlsx(path, {"Sheet1": [], "label": ROWS})
    elif suffix == ".xls":
        write_xls(path, ROWS)
    else:
        lines = [";".join("" if cell is None else str(cell) for cell in row) for row in ROWS]
        path.write_text("\n".join(lines), encoding="utf-8-sig")
    (sheet,) = read_sheets(path)
    table = find_table(sheet, COLUMNS, {"au": ("au",)})
    assert table is not None
    assert table.records == ({"subject": "006", "onset": "46"}, {"subject": "007", "onset": "7.6"})
    assert table.columns == {"subject", "onset"}


def test_a_workbook_with_the_wrong_suffix_is_read_for_what_it_is(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "really.xlsx", {"Sheet1": ROWS}).rename(tmp_path / "claimed.xls")
    assert len(read_sheets(path)) == 1


def test_a_missing_column_is_no_table(tmp_path: Path) -> None:
    (sheet,) = read_sheets(write_xlsx(tmp_path / "a.xlsx", {"s": ROWS}))
    assert find_table(sheet, {**COLUMNS, "apex": ("apex",)}, {}) is None


def test_old_workbooks_say_nothing_on_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    read_sheets(write_xls(tmp_path / "a.xls", ROWS))
    assert capfd.readouterr() == ("", "")


def test_a_damaged_workbook_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(SourceError, match=r"a\.xlsx cannot be read as a table.*save it again"):
        read_sheets(tmp_path / "a.xlsx")


@pytest.mark.parametrize(
    ("text", "number"),
    [("46", 46), ("566.4", 566), ("566.5", 567), ("/", None), ("-1", None), ("", None), ("nan", None), ("0", 0)],
)
def test_frame_numbers(text: str, number: int | None) -> None:
    assert frame_number(text) == number


def test_cells_lose_decimal_points_and_full_width_commas() -> None:
    assert [cell_text(value) for value in (5.0, 5.5, 7, None, " 4，7 ", "01")] == ["5", "5.5", "7", "", "4,7", "01"]


def test_lock_files_and_folders_of_frames_are_not_searched(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "deep" / "a.xlsx", {"s": ROWS})
    (tmp_path / "~$a.xlsx").write_bytes(b"lock")
    (tmp_path / ".DS_Store").write_bytes(b"")
    assert [path.name for path in table_files(tmp_path)] == ["a.xlsx"]
    with pytest.raises(SourceError, match="is no folder"):
        table_files(tmp_path / "nowhere")
