"""Real footage through the whole path: a valid end for every clip, and as many faces as there are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tsfmicro import cli
from tsfmicro.landmarks import FaceMeshDetector
from tsfmicro.realtime.event_json import load_schema
from tsfmicro.realtime.events import FaceLost, FaceNew
from tsfmicro.realtime.pipeline import EventRecogniser, analyse
from tsfmicro.realtime.sources import FileSource
from tsfmicro.realtime.track import PATIENCE_S

CLIPS = (
    "derived_leave_return_vfr.mp4",
    "intel_asl_yes.mkv",
    "intel_prev_classroom.gif",
    "intel_prev_face-demographics-walking-and-pause.gif",
    "intel_prev_head-pose-face-detection-female-and-male.gif",
    "intel_prev_head-pose-face-detection-male.gif",
    "lp_d18.mp4",
    "lp_d19.mp4",
    "lp_d20.mp4",
    "lp_d3.mp4",
    "lp_d9.mp4",
    "lp_s18.mp4",
    "pyfeat_WolfgangLanger_Pexels.mp4",
    "pyfeat_face_noface.mov",
    "pyfeat_multi_face.jpg",
    "pyfeat_no_face.mp4",
    "pyfeat_single_face.jpg",
    "pyfeat_single_face.mp4",
    "tc_nasa_13013.mp4",
)
MOST_FRAMES = 60
FRAMES = {
    "intel_prev_classroom.gif": 45,
    "intel_prev_face-demographics-walking-and-pause.gif": 41,
    "intel_prev_head-pose-face-detection-female-and-male.gif": 56,
    "pyfeat_multi_face.jpg": 1,
    "pyfeat_single_face.jpg": 1,
}
"""Of the clips that end before the limit (the manifest beside them)."""
NO_FACE = ("intel_prev_classroom.gif", "pyfeat_no_face.mp4", "tc_nasa_13013.mp4")
ONE_FACE = ("intel_asl_yes.mkv", "lp_d19.mp4", "lp_s18.mp4", "pyfeat_single_face.jpg", "pyfeat_single_face.mp4")
SEVERAL_FACES = ("intel_prev_head-pose-face-detection-female-and-male.gif", "pyfeat_multi_face.jpg")


@dataclass(frozen=True)
class Ran:
    code: int | str | None
    records: list[dict[str, Any]]

    def count(self, kind: str) -> int:
        return sum(record["type"] == kind for record in self.records)


def spot(clip: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    words = [str(clip), "--spot-only", "--no-display", "--max-frames", str(MOST_FRAMES), "--events", str(out)]
    monkeypatch.setattr("sys.argv", ["tsf-live", *words])
    with pytest.raises(SystemExit) as ended:
        cli.live()
    return Ran(ended.value.code, [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()])


def test_every_clip_of_the_folder_is_tried(shared_media: Path) -> None:
    assert {path.name for path in shared_media.iterdir() if path.suffix != ".md"} <= set(CLIPS)


@pytest.mark.parametrize("name", CLIPS)
def test_real_footage_runs_to_a_valid_end(
    shared_media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    clip = shared_media / name
    if not clip.is_file():
        pytest.skip(f"{name} is not in ../shared/media")
    ran = spot(clip, tmp_path / "out.jsonl", monkeypatch)
    assert ran.code == 0
    validator = jsonschema.Draft202012Validator(load_schema())
    for record in ran.records:
        validator.validate(record)
    assert [record["seq"] for record in ran.records] == list(range(len(ran.records)))
    assert (ran.records[0]["type"], ran.records[-1]["type"]) == ("session.start", "session.end")
    end = ran.records[-1]
    assert end["frames"] == FRAMES.get(name, MOST_FRAMES)
    assert end["reason"] == ("end_of_source" if name in FRAMES else "max_frames")
    assert end["faces"] == ran.count("face.new") == ran.count("face.lost")
    if name in NO_FACE:
        assert end["faces"] == 0
    if name in ONE_FACE:
        assert end["faces"] == 1
    if name in SEVERAL_FACES:
        assert end["faces"] >= 2


def test_a_face_that_leaves_and_returns_is_two_identities(shared_media: Path) -> None:
    with FileSource(shared_media / "derived_leave_return_vfr.mp4") as source, FaceMeshDetector() as detector:
        recogniser = EventRecogniser(source.name, detector)
        events = [event for step in analyse(source.frames(), recogniser) for event in step.events]
        events += recogniser.finish()
    seen = [(type(event), event.face_id) for event in events if isinstance(event, FaceNew | FaceLost)]
    assert seen == [(FaceNew, 1), (FaceLost, 1), (FaceNew, 2), (FaceLost, 2)]
    first, gone, back, _ = (event.at for event in events if isinstance(event, FaceNew | FaceLost))
    assert first.frame == 0
    assert back.t_s - gone.t_s > PATIENCE_S  # out of view for longer than a face is waited for
    assert recogniser.tally.frames == 338
