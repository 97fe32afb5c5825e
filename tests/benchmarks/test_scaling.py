"""Scenario ``scaling``: composed clips, service times, what the model makes of them, and the command."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.running import Prompt
from tsfmicro.benchmarks import scaling
from tsfmicro.benchmarks.crowd import TILES, write_faces, write_scaled
from tsfmicro.benchmarks.queueing import simulate
from tsfmicro.benchmarks.scaling import Case, Plan, run_scaling
from tsfmicro.benchmarks.service import Service, joined, measure_service
from tsfmicro.benchmarks.sizing import in_step, like_cameras, modelled, most_sources, size
from tsfmicro.benchmarks.stages import write_demo
from tsfmicro.errors import UsageError
from tsfmicro.realtime.sources import open_source


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("clip") / "demo.mp4", 132)


def even(decode_s: float, analysis_s: float, count: int = 40, picture: str = "640x480") -> Service:
    decode, analysis, nothing = np.full(count, decode_s), np.full(count, analysis_s), np.zeros(count)
    return Service(decode, analysis, nothing, analysis, 1.0, picture)


def test_a_composed_clip_shows_so_many_faces(clip: Path, tmp_path: Path) -> None:
    two = write_faces(clip, tmp_path / "two.mp4", 2, 5)
    found = measure_service(two, 30.0, 5, 2, None)
    assert (found.picture, found.faces_per_frame) == ("1280x960", 2.0)
    with open_source(str(two)) as source:
        frames = [frame.pixels for frame in source.frames()]
    assert len(frames) == 5
    assert np.ptp(frames[0][500:].astype(int)) <= 4  # the lower tiles are grey, but for what the codec smears
    assert np.abs(frames[0][:480, :640].astype(int) - frames[0][:480, 640:]).max() > 20  # another moment


def test_every_number_of_faces_gives_as_many_frames_and_a_short_clip_is_refused(clip: Path, tmp_path: Path) -> None:
    for faces in (1, TILES):
        with open_source(str(write_faces(clip, tmp_path / f"{faces}.mp4", faces, 999))) as source:
            assert sum(1 for _ in source.frames()) == 132 - 3 * 41
    with pytest.raises(UsageError, match="too short"):
        write_faces(write_demo(tmp_path / "short.mp4", 9), tmp_path / "none.mp4", 1, 5)


def test_a_scaled_clip_has_the_size(clip: Path, tmp_path: Path) -> None:
    with open_source(str(write_scaled(clip, tmp_path / "half.mp4", 0.5, 3))) as source:
        assert [frame.pixels.shape for frame in source.frames()] == [(240, 320, 3)] * 3


def test_service_times_leave_the_warm_up_out_and_keep_their_order(clip: Path) -> None:
    first, second = (measure_service(clip, 30.0, 40, 10, None) for _ in range(2))
    both = joined([first, second])
    assert len(first.decode_s) == 30 and len(both.analysis_s) == 60
    assert (both.analysis_s[30:] == second.analysis_s).all() and not both.naming_s.any()
    assert (first.analysis_s > 0).all() and first.decode_s.sum() > 0
    # Landmarks are taken in every second frame at 30 frames/s and cost more than all that is done in the others.
    assert np.percentile(first.analysis_s, 80) > 1.5 * np.percentile(first.analysis_s, 20)


def test_in_step_is_the_session_of_the_scenario_live() -> None:
    """All sources at once, decoded before: the last of three waits for the other two.

    The next three frames are decoded from the same instant on: four threads on two cores, so that the first 1 ms of
    analysis takes 2.
    """
    served = simulate(in_step(even(0.001, 0.004), 3, 30.0, 2.0), cores=2)
    assert served.latency_s[:-3].reshape(-1, 3) == pytest.approx(np.tile([0.005, 0.009, 0.013], (59, 1)))
    figures = modelled(served, warm_up_s=1.0)
    assert (figures["captured"], figures["dropped"], figures["n"]) == (180, 0, 90)
    assert (figures["p50_ms"], figures["p99_ms"], figures["max_ms"]) == (9.0, None, 13.0)


def test_cameras_are_spread_and_decoded_when_they_are_due() -> None:
    sources = like_cameras(even(0.002, 0.005), 4, 30.0, 2.0, 0.0, seed=0)
    assert len({float(source.due_s[0]) for source in sources}) == 4
    assert all(source.lead_s == 0 for source in sources)
    (one,) = like_cameras(even(0.002, 0.005), 1, 30.0, 2.0, 0.0, seed=0)
    assert simulate([one], cores=2).latency_s == pytest.approx(np.full(60, 0.007))


def test_heavy_frames_stay_together() -> None:
    service = even(0.001, 0.004)
    service.analysis_s[10:15] = 0.02
    (one,) = like_cameras(service, 1, 30.0, 4.0, 0.0, seed=5)
    heavy = np.flatnonzero(one.analysis_s == 0.02)
    assert len(heavy) == 15 and sorted(np.diff(heavy))[-2:] == [36, 36]


def test_even_services_fill_a_core_to_the_last_source_that_fits() -> None:
    """Regular sources wait for each other's frames at most, which fit into a period as long as their work does."""
    period_s, work_s = 1 / 30, 0.011
    held = most_sources(even(0.0, work_s), 30.0, 1, 0.0)
    assert held == math.floor(period_s / work_s)
    assert most_sources(even(0.0, 0.04), 30.0, 1, 0.0) == 0


def test_naming_comes_as_often_as_asked_and_takes_what_was_measured() -> None:
    service = even(0.001, 0.004)
    service.naming_s[7] = 0.1
    (one,) = like_cameras(service, 1, 30.0, 3000.0, named_per_minute=6.0, seed=1)
    assert one.naming_s is not None
    named = one.naming_s > 0
    assert one.naming_s[named] == pytest.approx(np.full(named.sum(), 0.1))
    assert one.analysis_s == pytest.approx(np.full(len(named), 0.004))
    assert named.sum() == pytest.approx(300, abs=4 * math.sqrt(300))  # Poisson, four standard deviations
    # The frame that is named is late: two in a hundred where one in a hundred may be.
    assert most_sources(service, 30.0, 1, 0.0) > 0 == most_sources(service, 30.0, 1, 30.0)
    (live,) = in_step(service, 1, 30.0, 2.0)
    assert live.naming_s is not None
    assert np.flatnonzero(live.naming_s).tolist() == [7, 47]
    by_rate = {row["named_per_minute"]: row["busy_cores"] for row in size(service, 30.0, [100])}
    assert by_rate[6.0] - by_rate[0.0] == pytest.approx(100 * 6 / 60 * 0.1, abs=0.11)


def test_sizing_divides_the_cameras_by_what_a_process_holds() -> None:
    rows = size(even(0.0, 0.011), 30.0, [10, 101])
    one_core = {row["cameras"]: row for row in rows if row["cores_per_process"] == 1}
    assert [one_core[n]["processes"] for n in (10, 101)] == [4, 34]
    two_cores = {row["cameras"]: row for row in rows if row["cores_per_process"] == 2}
    assert two_cores[101]["cores"] == 68  # one analysing thread gains nothing from a second core
    assert one_core[10]["busy_cores"] == pytest.approx(10 * 30 * 0.011, abs=0.05)
    assert {row["processes"] for row in size(even(0.0, 0.04), 30.0, [10])} == {None}
    assert one_core[101]["utilisation"] == pytest.approx(101 * 30 * 0.011 / 34, abs=0.001)
    assert (one_core[10]["frame_ms"], one_core[10]["faces_per_frame"], one_core[10]["picture"]) == (
        11.0,
        1.0,
        "640x480",
    )


def live_of(held: int, calls: list[tuple[int, float]]) -> Any:
    def live(clips: list[Path], fps: float, *_: object) -> dict[str, Any]:
        calls.append((len(clips), fps))
        p99_ms = 10.0 if len(clips) <= held else 50.0
        row = {"captured": 1000, "dropped": 0, "p50_ms": 5.0, "p90_ms": 6.0, "p99_ms": p99_ms}
        return {**row, "p99_ms_interval": [9.0, 11.0], "fps": fps}

    return live


def test_the_sweeps_and_sessions_of_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sizes = {"a": "640x480", "half": "320x240", "double": "1280x960", "triple": "1920x1440"}
    plain, faces = Case("plain", Path("a"), 30.0), [Case("faces", Path("double"), 30.0, n) for n in (1, 2, 3, 4)]
    scaled = [Case("frame size", Path(name), 30.0) for name in ("half", "double", "triple")]
    monkeypatch.setattr(scaling, "cases", lambda *_: [plain, *faces, *scaled, Case("frame rate", Path("a"), 60.0)])
    asked: list[tuple[str, float, int, int]] = []

    def measured(clip: Path, fps: float, count: int, warm_up: int, _: object) -> Service:
        asked.append((clip.name, fps, count, warm_up))
        width, height = map(int, sizes[clip.name].split("x"))
        return even(0.002 * width * height / 1e6, 0.012, 400, sizes[clip.name])

    monkeypatch.setattr(scaling, "measure_service", measured)
    calls: list[tuple[int, float]] = []
    plan = Plan(service_s=5.0, rounds=2, live_s=40.0, cameras=(10,))
    rows = list(run_scaling(Path("a"), tmp_path, plan, None, 2.0, live_of(2, calls)))
    assert asked[0] == ("a", 30.0, 150, 30) and asked[-1] == ("a", 60.0, 300, 60) and len(asked) == 18
    service = [row for row in rows if row["what"] == "service"]
    assert len(service) == 9 and service[0]["samples"]["analysis_mean_ms"] == [12.0, 12.0]
    assert service[0]["busy_cores"] == pytest.approx(30 * (0.012 + 0.002 * 0.3072), abs=1e-3)
    by_faces, by_size = (row for row in rows if row["what"] == "growth")
    assert by_faces["analysis_ms_per_face"] == 0.0
    assert by_size["decode_ms_per_megapixel"] == pytest.approx(2.0)
    # One, two and three sources, of which three do not hold; then faces and rates, a session each.
    assert calls == [(1, 30.0), (2, 30.0), (3, 30.0), *[(1, 30.0)] * 4, (1, 60.0)]
    compared = [row for row in rows if row["what"] == "live"]
    assert [row["holds"] for row in compared[:3]] == [True, True, False]
    assert compared[0]["modelled_p99_ms"] == pytest.approx(12.0) and compared[0]["modelled_holds"]
    assert {row["cameras"] for row in rows if row["what"] == "sizing"} == {10}
    json.dumps(rows, allow_nan=False)


def test_the_command_keeps_its_plan(prompt: Prompt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plans: list[Plan] = []

    def stub(clip: Path, folder: Path, plan: Plan, recogniser: object, cores: float) -> list[dict[str, Any]]:
        assert clip.is_file() and folder.is_dir() and recogniser is None and cores > 0
        plans.append(plan)
        return [{"what": "sizing", "cameras": 7, "cores": 2}]

    monkeypatch.setattr("tsfmicro.benchmarks.scaling_commands.run_scaling", stub)
    (tmp_path / "clip.mp4").write_bytes(b"film")
    words = ("--fps", 25, "--rate", 50, "--cameras", 7, "--spot-only", "--slo", "cores<=1")
    done = prompt("tsf-bench", "scaling", tmp_path / "clip.mp4", *words, "--json", tmp_path / "r.json")
    assert done.code == 8
    assert (plans[0].fps, plans[0].rates, plans[0].cameras) == (25.0, (50.0,), (7,))
    record = json.loads((tmp_path / "r.json").read_text())
    assert (record["settings"]["clip"], record["settings"]["cameras"]) == ("clip.mp4", [7])
    assert len(record["provenance"]["inputs"]["clips_sha256"]["clip.mp4"]) == 64


def test_bad_input_is_one_sentence(prompt: Prompt) -> None:
    prompt("tsf-bench", "scaling", "nowhere.mp4").assert_refused(3, "nowhere.mp4 is no file")
    prompt("tsf-bench", "scaling", "--live", 5, "--warm-up", 5).assert_refused(2, "nothing would be counted")
