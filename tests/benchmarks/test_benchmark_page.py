"""``docs/benchmarks.md`` and its pictures say what the committed results say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.running import Prompt
from tsfmicro.benchmarks.benchmark_page import benchmark_figures
from tsfmicro.benchmarks.figures import with_figures
from tsfmicro.benchmarks.plots import DIGEST_KEY, PLOTS
from tsfmicro.benchmarks.provenance import SCHEMA_ID, digest_of, write_record, write_result
from tsfmicro.benchmarks.spread import histogram, percentiles

ROOT = Path(__file__).resolve().parents[2]
RESULTS, PICTURES = ROOT / "benchmarks" / "results", ROOT / "docs" / "plots"


def live_row(fps: float, seed: int) -> dict[str, Any]:
    values = np.random.default_rng(seed).lognormal(2.0, 0.4, 1350).tolist()
    row = {"sources": 1, "fps": fps, "captured": 1350, "dropped": 3, "late": 7, **percentiles(values, "ms")}
    return {**row, "histogram_ms": {"upper_edge_count": histogram(values)}}


def scaling_rows() -> list[dict[str, Any]]:
    service = [("plain", 1, "640x480"), *(("faces", n, "1280x960") for n in (1, 2, 3, 4)), ("frame size", 1, "320x240")]
    rows: list[dict[str, Any]] = [
        {
            "what": "service",
            "axis": axis,
            "faces_shown": faces,
            "picture": picture,
            "fps": 30.0,
            "decode_mean_ms": 1.25,
            "analysis_mean_ms": 5.5 * faces,
        }
        for axis, faces, picture in service
    ]
    growth = {"analysis_ms_per_face": 5.5, "analysis_interval": [5.0, 6.0]}
    rows.append(
        {"what": "growth", "axis": "faces", **growth, "decode_ms_per_face": 0.0, "decode_interval": [-0.1, 0.1]}
    )
    for sources in (1, 2, 3):
        told: dict[str, Any] = dict.fromkeys(("p50_ms", "modelled_p50_ms"), 5.0 * sources)
        told |= dict.fromkeys(("p99_ms", "modelled_p99_ms"), 8.0 * sources if sources < 3 else None)
        rows.append({"what": "live", "axis": "sources", "sources": sources, "fps": 30.0, **told, "holds": sources < 3})
    sized = [(1, 3, 34), (2, 0, None)]
    rows += [
        {
            "what": "sizing",
            "cameras": 100,
            "fps": 30.0,
            "named_per_minute": 0.0,
            "cores_per_process": c,
            "sources_per_process": held,
            "processes": need,
            "cores": need,
        }
        for c, held, need in sized
    ]
    return rows


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    write_result(folder / "live.json", "live", [live_row(30.0, 1), live_row(200.0, 2)], {"clips": ["demo:"]})
    write_result(folder / "live_two.json", "live", [live_row(60.0, 3)], {"clips": ["a|b.mp4"]})
    write_result(folder / "scaling.json", "scaling", scaling_rows(), {"bundle": "ab" * 32})
    (folder / "other.json").write_text('{"bundle": {}}', encoding="utf-8")
    return folder


def test_the_page_says_what_the_results_say() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert with_figures(page, benchmark_figures(RESULTS, PICTURES)) == page, "type: tsf-bench benchmark-page"


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.scenario)
def test_every_picture_is_of_the_result_that_is_committed(plot: Any) -> None:
    result, picture = RESULTS / f"{plot.scenario}.json", PICTURES / f"{plot.scenario}.png"
    assert result.is_file() == picture.is_file(), "type: tsf-bench plots"
    if not result.is_file():
        pytest.skip(f"{plot.scenario} is not measured yet")
    with Image.open(picture) as image:
        assert image.info[DIGEST_KEY] == digest_of(result), "type: tsf-bench plots"


def test_tables_tell_intervals_leave_blanks_and_name_what_is_missing(results: Path, tmp_path: Path) -> None:
    page = benchmark_figures(results, tmp_path / "plots")
    row = live_row(30.0, 1)
    low, high = row["p99_ms_interval"]
    (line,) = [line for line in page.splitlines() if line.startswith("| 30 | 1 | 1350 | 3 | 7 |")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[8] == f"{row['p99_ms']:.4g} ({low:.4g} to {high:.4g})" and cells[9] == ""  # no p99.9 of 1350 frames
    assert page.count("### live\n") == 1 and "| 60 | 1 |" in page and r"clips a\|b.mp4" in page
    assert "`tsf-bench alternate . . --out benchmarks/results/compare/same" in page
    assert "Not measured yet: `tsf-bench soak --json benchmarks/results/soak.json`." in page
    assert "analysis 5.5 ms a face (5 to 6)" in page and "bundle abababababab." in page
    assert "| 100 | 30 | 0 | 2 | 0 |  |  |  |" in page and "](plots/" not in page


def test_comparisons_are_made_from_the_results_of_turns(tmp_path: Path) -> None:
    def record(percent: float) -> dict[str, Any]:
        samples = {"ms": [10.0 * (1 + percent / 100) + turn / 100 for turn in range(8)]}
        made = {"commit": "abc", "slowed_percent": percent, "load_average_1min": 0.5}
        rows = [{"what": "path", "samples": samples}]
        settings = {"turns": 8}
        return {"schema": SCHEMA_ID, "scenario": "stages", "settings": settings, "provenance": made, "rows": rows}

    for name, percent in (("same", 0.0), ("slowed", 20.0)):
        write_record(tmp_path / "compare" / name / "before.json", record(0.0))
        write_record(tmp_path / "compare" / name / "after.json", record(percent))
    section = benchmark_figures(tmp_path, tmp_path).split("### compare\n")[1]
    same, slowed = section.split("20 % planted")
    assert "8 turns, nothing planted" in same and "no difference found" in same and "higher" not in same
    assert "| path | ms | 10.04 | 12.04 | 1.199 |" in slowed and "higher" in slowed


def test_streams_tell_how_many_hold(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"sources": 1, "fps": 30.0, "p50_ms": 5.0, "holds": True, "repeats": 5},
        {"sources": 2, "fps": 30.0, "p50_ms": 9.0, "holds": False, "repeats": 1},
        {"what": "largest number that holds", "fps": 30.0, "sources_held": 1},
    ]
    write_result(tmp_path / "streams.json", "streams", rows, {})
    page = benchmark_figures(tmp_path, tmp_path)
    assert "Sources that hold at 30 frames/s: 1." in page and page.count("| 30 |") == 2


def test_pictures_are_drawn_of_what_is_there(prompt: Prompt, results: Path, tmp_path: Path) -> None:
    out = tmp_path / "plots"
    done = prompt("tsf-bench", "plots", "--results", results, "--out", out)
    assert done.code == 0, done.err
    assert sorted(path.name for path in out.iterdir()) == ["live.png", "scaling.png"]
    assert "no picture of stages" in done.err
    for path in out.iterdir():
        with Image.open(path) as image:
            assert image.info[DIGEST_KEY] == digest_of(results / f"{path.stem}.json")
            grey = np.asarray(image.convert("L"))
        assert min(grey.shape) > 300 and 0.02 < (grey < 200).mean() < 0.6
    assert "![scaling](plots/scaling.png)" in benchmark_figures(results, out)


def test_without_any_result_it_says_what_to_type(prompt: Prompt, tmp_path: Path) -> None:
    words = ("--results", tmp_path, "--out", tmp_path / "plots")
    prompt("tsf-bench", "plots", *words).assert_refused(2, "live.json", "tsf-bench SCENARIO --json")
    assert not (tmp_path / "plots").exists()


def test_the_command_fills_the_document(prompt: Prompt, results: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- figures -->\nstale figures\n<!-- /figures -->\nb\n", encoding="utf-8")
    assert prompt("tsf-bench", "benchmark-page", page, "--results", results).code == 0
    text = page.read_text(encoding="utf-8")
    assert "### scaling" in text and "stale" not in text and text.endswith("<!-- /figures -->\nb\n")
