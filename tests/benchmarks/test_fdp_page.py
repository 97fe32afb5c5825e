"""The page of the recognisers says what the committed results say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tsfmicro.benchmarks.fdp_page import fdp_figures
from tsfmicro.benchmarks.figures import with_figures
from tsfmicro.errors import UsageError

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def result(name: str) -> Any:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def test_the_page_is_what_the_command_writes() -> None:
    text = (ROOT / "docs" / "fdp.md").read_text(encoding="utf-8")
    assert with_figures(text, fdp_figures(RESULTS)) == text


def test_every_network_and_every_run_has_its_row() -> None:
    block = fdp_figures(RESULTS)
    for row in result("recognisers.json")["rows"]:
        (line,) = [line for line in block.splitlines() if line.startswith(f"| {row['network']} |")]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1] == f"{row['parameters']:,}" and float(cells[2]) == row["gmacs"]
        assert float(cells[6].split()[0]) == pytest.approx(row["uf1"], abs=5e-4)
    for row in result("naming.json")["rows"]:
        if "recogniser" in row:
            assert f"| {row['clip']} | {row['recogniser']} | {row['micro_expressions']} | {row['answered']} |" in block


def test_the_networks_were_compared_on_the_same_clips_and_trained_alike() -> None:
    rows = result("recognisers.json")["rows"]
    shared = (
        "clips",
        "people",
        "seeds",
        "epochs",
        "batch",
        "learning_rate",
        "weight_decay",
        "audit_digest",
        "pretraining",
    )
    assert all(row[name] == rows[0][name] for row in rows for name in shared)
    networks = {row["network"] for row in rows}
    assert {
        "fdp small", "tsfmicro small late", "mmnet small late", "fdp small rank_scorer=none",
        "fdp small dynamic_image=none", "fdp small global_blocks=none",
    } <= networks  # fmt: skip


def test_a_missing_result_says_which_command_writes_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run tsf-bench recognisers"):
        fdp_figures(tmp_path)
