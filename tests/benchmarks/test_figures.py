"""The README quotes what was measured, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsfmicro.benchmarks.figures import BEGIN, END, figures, with_figures
from tsfmicro.bundle import default_bundle_path, read_bundle
from tsfmicro.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def test_the_readme_says_what_the_results_say() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = figures(RESULTS, read_bundle(default_bundle_path()).manifest)
    assert with_figures(readme, block) == readme, "type: tsf-bench readme"


def test_only_what_stands_between_the_marks_changes() -> None:
    assert with_figures(f"a\n{BEGIN}\nold\n{END}\nb\n", "new") == f"a\n{BEGIN}\nnew\n{END}\nb\n"
    with pytest.raises(UsageError, match="lacks the marks"):
        with_figures("no marks", "new")


def test_a_missing_result_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run tsf-bench event --json"):
        figures(tmp_path, read_bundle(default_bundle_path()).manifest)


def test_a_foreign_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text('{"schema": "somebody.else/1"}', encoding="utf-8")
    with pytest.raises(UsageError, match=r"expected 'tsf\.bench/1'"):
        figures(tmp_path, read_bundle(default_bundle_path()).manifest)
