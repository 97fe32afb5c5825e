"""Long videos of data sets: found, played frame for frame, and scored as their challenges do."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tests.running import Prompt
from tsfmicro.benchmarks.spotting import longvideos
from tsfmicro.benchmarks.spotting.filming import Spotted, TakeResult
from tsfmicro.benchmarks.spotting.longvideos import find_long_videos, rows_of_videos, run_long_video
from tsfmicro.benchmarks.spotting.takes import Staged, Take
from tsfmicro.errors import SourceError, UsageError
from tsfmicro.training.fixtures import others, samm
from tsfmicro.values import Frame


@pytest.fixture(scope="module")
def samm_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samm.write_long(tmp_path_factory.mktemp("samm"))


def play(monkeypatch: pytest.MonkeyPatch, *found: Spotted) -> list[Frame]:
    """What the live path was given; it answers with what it is told."""
    given: list[Frame] = []

    def filmed(take: Take, staged: Staged) -> TakeResult:
        given.extend(staged.frames)
        return TakeResult(take, staged.truth, found, (), staged.watched_s, 0.005)

    monkeypatch.setattr(longvideos, "film", filmed)
    return given


def spotted(onset_s: float, apex_s: float, offset_s: float, confidence: float = 0.9) -> Spotted:
    return Spotted(onset_s, apex_s, offset_s, offset_s, apex_s, confidence, (), 0, "chin", 2.0)


def test_videos_are_found_with_their_rows(samm_root: Path) -> None:
    videos = {video.name: video for video in find_long_videos("samm-lv", samm_root)}
    assert {"006_1", "013_1", "028_4", "032_3", "037_4"} <= set(videos)
    assert videos["006_1"].fps == 200.0
    (row,) = videos["006_1"].rows
    assert (row.onset, row.apex, row.offset) == (3562, 3588, 3632)
    assert sum(len(video.rows) for video in videos.values()) == len(samm.coded(full=False))


def test_macro_expressions_are_not_sought(samm_root: Path) -> None:
    (video,) = [v for v in find_long_videos("samm-lv", samm_root) if v.name == "037_4"]
    assert [row.onset for row in video.rows] == [300]


def test_cas_me2_is_found_by_its_codes(tmp_path: Path) -> None:
    videos = find_long_videos("cas-me2", others.write_cas_me2(tmp_path))
    assert {video.name for video in videos} >= {"15_0101disgustingteeth", "15_0401girlcrashing"}
    assert {video.fps for video in videos} == {30.0}
    assert sum(len(video.rows) for video in videos) == 12


def test_frame_numbers_become_media_time(samm_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = play(monkeypatch)
    (video,) = [v for v in find_long_videos("samm-lv", samm_root) if v.name == "006_1"]
    result = run_long_video(video)
    first = min(int(path.stem.rpartition("_")[2]) for path in video.folder.iterdir())
    assert [frame.index for frame in given] == sorted({frame.index for frame in given})
    assert all(frame.t_s == pytest.approx(frame.index / 200.0) for frame in given)
    course = result.truth[0].event.course
    assert course.onset_s == pytest.approx((3562 - first) / 200)
    assert course.apex_s == pytest.approx((3588 - first) / 200)
    assert course.offset_s == pytest.approx((3633 - first) / 200)  # the last frame belongs to it


def test_intervals_are_compared_in_frames_with_both_ends(samm_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (video,) = [v for v in find_long_videos("samm-lv", samm_root) if v.name == "006_1"]
    play(monkeypatch)
    course = run_long_video(video).truth[0].event.course
    length = round((course.offset_s - course.onset_s) * 200)
    for frames, hits in ((length, 1), (math.ceil(length / 2), 1), (math.ceil(length / 2) - 1, 0)):
        last_s = course.onset_s + (frames - 1) / 200
        play(monkeypatch, spotted(course.onset_s, course.onset_s + 0.01, last_s))
        causal, _ = rows_of_videos([run_long_video(video)])
        assert causal["tp"] == hits, frames


def test_causal_and_offline_scores_stand_side_by_side(samm_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (video,) = [v for v in find_long_videos("samm-lv", samm_root) if v.name == "006_1"]
    play(monkeypatch)
    course = run_long_video(video).truth[0].event.course
    right = spotted(course.onset_s, course.apex_s, course.offset_s - 0.005, 0.95)
    play(monkeypatch, right, spotted(0.01, 0.02, 0.03, 0.6))
    causal, offline = rows_of_videos([run_long_video(video)])
    assert (causal["condition"], causal["tp"], causal["fp"]) == ("causal", 1, 1)
    assert (offline["condition"], offline["tp"], offline["fp"]) == ("offline", 1, 0)  # 0.6 < 0.775 + 0.55 * 0.175
    assert causal["apex_error_median_frames"] == pytest.approx(0.0, abs=1e-6)
    assert causal["apex_midpoint_median_ms"] is not None


def test_what_cannot_be_found_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="samm-lv or cas-me2"):
        find_long_videos("casme2", tmp_path)
    with pytest.raises(SourceError, match="does not exist"):
        find_long_videos("samm-lv", tmp_path / "none")
    samm.write_long(tmp_path, frames=False)
    with pytest.raises(UsageError, match="no folder with frames"):
        find_long_videos("samm-lv", tmp_path)


def test_the_command_plays_the_live_path(tmp_path: Path, samm_root: Path, prompt: Prompt) -> None:
    """Invented faces that the face component does not find: nothing is spotted, every event is missed."""
    out = tmp_path / "out.json"
    done = prompt("tsf-bench", "spotting", "--dataset", "samm-lv", "--root", samm_root, "--json", out)
    assert done.code == 0, done.err
    record = json.loads(out.read_text(encoding="utf-8"))
    assert record["settings"]["dataset"] == "samm-lv"
    causal = record["rows"][0]
    assert causal["hidden"] == causal["tp"] + causal["fn"] == len(samm.coded(full=False))
    assert f"0/{causal['hidden']}" in done.out  # of the table
    prompt("tsf-bench", "spotting", "--dataset", "samm-lv").assert_refused(2, "--root")
    prompt("tsf-bench", "spotting", "--dataset", "smic", "--root", samm_root).assert_refused(2, "samm-lv or cas-me2")
    prompt("tsf-bench", "spotting", "--media", tmp_path / "none").assert_refused(2, "--media DIR")
    prompt("tsf-bench", "spotting", "--side", "left").assert_refused(2, "train")
    prompt("tsf-bench", "spotting", "--method", "magic").assert_refused(2, "yardsticks")
    prompt("tsf-bench", "spotting", "--only", "nobody").assert_refused(2, "still_s18")
