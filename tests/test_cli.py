"""The commands as a user and a script meet them: exit codes, one sentence, and clean standard output."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import av
import jsonschema
import numpy as np
import pytest

from tests.running import CLIP_FRAMES, PROTOCOL, Prompt, write_clip
from tsfmicro import cli
from tsfmicro.bundle import (
    ONNX_FILE,
    WEIGHTS_FILE,
    Calibration,
    Manifest,
    ModelCard,
    Provenance,
    add_file,
    default_bundle_path,
    read_bundle,
    write_bundle,
)
from tsfmicro.errors import SourceLostError
from tsfmicro.labels import protocol
from tsfmicro.preprocess import PreprocessSpec
from tsfmicro.realtime import commands
from tsfmicro.realtime.event_json import load_schema
from tsfmicro.realtime.sources import CameraSource, CameraSpec, demo
from tsfmicro.realtime.sources.camera import CameraMode
from tsfmicro.realtime.sources.demo import DemoSource
from tsfmicro.values import Frame


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small true bundle: any pair of crops is called by the mean colour of their difference."""
    onnx = pytest.importorskip("onnx")
    path = tmp_path_factory.mktemp("bundle") / "tiny.tsf"
    matrix = np.random.default_rng(3).normal(size=(3, 5)).astype(np.float32)
    manifest = Manifest(
        name="tiny",
        model=ModelCard(name="tsfmicro", size="small", fusion="late", classes=5),
        protocol_id=PROTOCOL,
        labels=protocol(PROTOCOL).classes,
        preprocess=PreprocessSpec(),
        provenance=Provenance("nothing", "pytest", 0, 0, "none", (), {}),
        calibration=Calibration(1.0, 0.0, None),
        licence="Apache-2.0",
        intended_use="tests",
    )
    helper, value = onnx.helper, onnx.helper.make_tensor_value_info
    side = PreprocessSpec().align.size_px
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["onset"], ["first"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Cast", ["apex"], ["second"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Sub", ["second", "first"], ["difference"]),
            helper.make_node("ReduceMean", ["difference", "axes"], ["mean"], keepdims=0),
            helper.make_node("MatMul", ["mean", "matrix"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "tiny",
        [value(name, onnx.TensorProto.UINT8, ["batch", side, side, 3]) for name in ("onset", "apex")],
        [value(name, onnx.TensorProto.FLOAT, ["batch", 5]) for name in ("probabilities", "logits")],
        [
            onnx.numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
            onnx.numpy_helper.from_array(matrix, "matrix"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    add_file(write_bundle(path, manifest, {"matrix": matrix}), ONNX_FILE, model.SerializeToString())
    return path


# --- 0: it works ----------------------------------------------------------------------------------------------------


def test_events_to_standard_output_and_nothing_else(prompt: Prompt, clip: Path) -> None:
    done = prompt.live(clip, "--spot-only", "--events", "-")
    assert done.code == 0
    validator = jsonschema.Draft202012Validator(load_schema())
    for record in done.records:
        validator.validate(record)
    assert [record["type"] for record in done.records] == ["session.start", "stats", "session.end"]
    assert done.records[-1] | {"wall_s": 0} == done.records[-1] | {
        "frames": CLIP_FRAMES, "dropped": 0, "faces": 0, "events": 0, "wall_s": 0, "reason": "end_of_source"
    }  # fmt: skip
    assert f"{CLIP_FRAMES} frames" in done.err and "Traceback" not in done.err


def test_events_go_to_standard_output_by_default_where_it_is_no_terminal(prompt: Prompt, clip: Path) -> None:
    done = prompt.live(clip, "--spot-only")
    assert [record["type"] for record in done.records] == ["session.start", "stats", "session.end"]


def test_events_to_a_file_leave_standard_output_alone(prompt: Prompt, clip: Path, tmp_path: Path) -> None:
    events = tmp_path / "new" / "out.jsonl"
    done = prompt.live(clip, "--spot-only", "--events", events)
    assert (done.code, done.out) == (0, "")
    assert events.read_text(encoding="utf-8").count("\n") == 3
    assert f"wrote {events}" in done.err


def test_stats_have_the_stages(prompt: Prompt, clip: Path, tmp_path: Path) -> None:
    stats = tmp_path / "new" / "stats.json"
    assert prompt.live(clip, "--spot-only", "--stats", stats).code == 0
    report = json.loads(stats.read_text(encoding="utf-8"))
    assert {"decode", "landmarks", "output"} <= set(report["stages"])
    for name, stage in report["stages"].items():
        assert set(stage) == {"count", "p50_ms", "p95_ms", "p99_ms"}, name
        assert 0 < stage["p50_ms"] <= stage["p95_ms"] <= stage["p99_ms"]
    assert report["stages"]["output"]["count"] == CLIP_FRAMES


@pytest.mark.parametrize(
    ("words", "frames", "reason"),
    [(("--max-frames", 7), 7, "max_frames"), (("--duration", 0.5), 15, "duration")],
)
def test_limits(prompt: Prompt, clip: Path, words: tuple[object, ...], frames: int, reason: str) -> None:
    end = prompt.live(clip, "--spot-only", *words).records[-1]
    assert (end["frames"], end["reason"]) == (frames, reason)


def test_several_sources_are_one_run(prompt: Prompt, clip: Path) -> None:
    records = prompt.live(clip, clip, "--spot-only", "--max-frames", 3).records
    assert [record["seq"] for record in records] == list(range(len(records)))
    assert records[0]["sources"] == [str(clip), f"{clip} #2"]
    assert records[-1]["frames"] == 6


@pytest.mark.parametrize(("name", "options"), [("cut.mkv", {}), ("cut.mp4", {"movflags": "faststart"})])
def test_a_video_cut_in_half_gives_what_decodes(
    prompt: Prompt, tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    path = write_clip(tmp_path / name, options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    done = prompt.live(path, "--spot-only")
    assert done.code == 0
    assert 5 <= done.records[-1]["frames"] < CLIP_FRAMES
    assert "Traceback" not in done.err


def test_recognition_with_a_bundle_and_all_outputs(
    prompt: Prompt, monkeypatch: pytest.MonkeyPatch, bundle: Path, tmp_path: Path
) -> None:
    for name, value in {
        "_WIDTH_PX": 420,
        "_HEIGHT_PX": 320,
        "_IOD_PX": 90.0,
    }.items():  # a smaller clip is a quicker one
        monkeypatch.setattr(demo, name, value)
    video, timeline = tmp_path / "out.mp4", tmp_path / "out.png"
    done = prompt.live("demo:", "--model", bundle, "--duration", 2.7, "--video", video, "--timeline", timeline)
    assert done.code == 0, done.err
    start = done.records[0]
    assert (start["model"]["name"], start["model"]["backend"]) == ("tiny", "onnxruntime")
    assert start["model"]["digest"] == read_bundle(bundle).digest
    (found,) = [record for record in done.records if record["type"] == "me.end"]
    assert found["label"] in protocol(PROTOCOL).classes and found["abstain"] is None
    assert found["calibrated"] is True
    assert tuple(found["probabilities"]) == protocol(PROTOCOL).classes
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    with av.open(str(video)) as written:
        assert sum(1 for _ in written.decode(video=0)) == 162 == done.records[-1]["frames"]
    assert timeline.read_bytes().startswith(b"\x89PNG")
    assert "recogniser: tiny on onnxruntime" in done.err
    assert "found 1 of 10 (10%)" in done.err


def test_the_demonstration_bundle_leans_to_the_first_hidden_event(prompt: Prompt) -> None:
    if not default_bundle_path().is_dir():
        pytest.skip("tsfmicro/bundles/demonstration.tsf is not in this checkout yet")
    done = prompt.live("demo:", "--duration", 2.7)
    assert done.code == 0, done.err
    (found,) = [record for record in done.records if record["type"] == "me.end"]
    assert found["calibrated"] is True
    assert max(found["probabilities"], key=found["probabilities"].get) == DemoSource().truth[0].emotion


@pytest.mark.parametrize("name", ["tsf-live", "tsf-train", "tsf-export", "tsf-bench"])
def test_help_shows_usage(prompt: Prompt, name: str) -> None:
    done = prompt(name, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Usage: {name}" in done.out


@pytest.mark.parametrize(
    ("words", "example"),
    [
        (("tsf-live",), "tsf-live demo:"),
        (("tsf-export",), "tsf-export mine.tsf"),
        (("tsf-train", "models"), "tsf-train models --json"),
        (("tsf-train", "demonstration"), "tsf-train demonstration --out"),
        (("tsf-bench", "event"), "tsf-bench event --clips"),
        (("tsf-bench", "stages"), "tsf-bench stages demo:"),
    ],
)
def test_help_shows_an_example(prompt: Prompt, words: tuple[str, ...], example: str) -> None:
    shown = prompt(*words, "--help").out
    assert "Example" in shown and example in shown


@pytest.mark.parametrize("name", ["tsf-train", "tsf-bench"])
def test_help_of_a_group_shows_an_example(prompt: Prompt, name: str) -> None:
    assert "Example" in prompt(name, "--help").out


def test_models_as_json(prompt: Prompt) -> None:
    done = prompt("tsf-train", "models", "--json")
    assert done.code == 0
    rows = json.loads(done.out)
    assert all(set(row) >= {"model", "size", "fusion", "classes", "parameters", "gmacs"} for row in rows)
    assert len(rows) == 16 and not any("latency_ms" in row for row in rows)
    sizes = {row["size"]: row for row in rows if (row["model"], row["fusion"]) == ("tsfmicro", "late")}
    assert (sizes["base"]["classes"], sizes["base"]["parameters"]) == (5, 12_789_413)
    assert 0 < sizes["small"]["parameters"] < sizes["base"]["parameters"] / 10


# --- 2: usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "hints"),
    [
        ((), ("--camera", "demo:")),
        (("ftp://user:secret@host/stream",), ("ftp://host/stream", "rtsp")),
        (("{clip}", "--camera-size", "640x480"), ("--camera 0",)),
        (("--camera", 0, "--camera-size", "640*480"), ("640*480", "1280x720")),
        (("--camera", 0, "--camera-format", "MJPEG"), ("MJPEG", "four letters")),
        (("--camera", 0, "--camera-fps", "-3"), ("-3", "positive")),
        (("{clip}", "--retry-for", "-3"), ("--retry-for", "0 or more")),
        (("{clip}", "--rtsp-transport", "ipx"), ("ipx", "tcp or udp")),
        (("{clip}", "{clip}", "--video", "{tmp}/out.mp4"), ("--video", "one source")),
        (("{clip}", "{clip}", "--timeline", "{tmp}/out.png"), ("--timeline", "one source")),
        (("{clip}", "--video", "{tmp}/out.avi"), ("out.avi", ".mp4")),
        (("{clip}", "--events", "{tmp}"), ("folder", "events.jsonl")),
        (("0",), ("--camera 0",)),
        (("",), ("empty",)),
    ],
)
def test_usage(prompt: Prompt, clip: Path, tmp_path: Path, words: tuple[object, ...], hints: tuple[str, ...]) -> None:
    filled = [str(word).format(clip=clip, tmp=tmp_path) for word in words]
    done = prompt.live(*filled, "--spot-only")
    done.assert_refused(2, *hints)
    assert "secret" not in done.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full to write to")
def test_a_full_disk(prompt: Prompt, clip: Path) -> None:
    prompt.live(clip, "--spot-only", "--events", "/dev/full").assert_refused(2, "/dev/full", "No space left")


def test_an_unknown_backend(prompt: Prompt, clip: Path, bundle: Path) -> None:
    prompt.live(clip, "--model", bundle, "--backend", "onnxruntim").assert_refused(2, "onnxruntim", "did you mean")


@pytest.mark.parametrize("words", [("--nonsense",), ("--max-frames", 0), ("--duration", "-1"), ("--camera", "x")])
def test_what_the_command_line_refuses_itself(prompt: Prompt, words: tuple[object, ...]) -> None:
    done = prompt.live("demo:", *words)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err and str(words[0]) in done.err


# --- 3: the source cannot be opened ---------------------------------------------------------------------------------


def test_a_missing_file_with_a_near_miss(prompt: Prompt, clip: Path) -> None:
    prompt.live(clip.with_name("clpi.mp4"), "--spot-only").assert_refused(3, "clpi.mp4", "did you mean", str(clip))


def test_a_missing_folder(prompt: Prompt, tmp_path: Path) -> None:
    prompt.live(tmp_path / "no" / "clip.mp4", "--spot-only").assert_refused(3, str(tmp_path / "no"), "check the path")


def test_an_empty_directory(prompt: Prompt, tmp_path: Path) -> None:
    prompt.live(tmp_path, "--spot-only").assert_refused(3, str(tmp_path), "no images", ".png")


@pytest.mark.parametrize("text", ["", "hello, this is not a film\n" * 50])
def test_a_text_named_as_a_video(prompt: Prompt, tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text(text, encoding="utf-8")
    prompt.live(path, "--spot-only").assert_refused(3, "notes.mp4", "expected MP4")


@pytest.mark.parametrize(("name", "options"), [("cut.mkv", {}), ("cut.mp4", {"movflags": "faststart"}), ("a.mp4", {})])
def test_a_video_cut_off_before_its_first_picture(
    prompt: Prompt, tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    path = write_clip(tmp_path / name, options)
    path.write_bytes(path.read_bytes()[:400])
    prompt.live(path, "--spot-only").assert_refused(3, name)


def test_no_such_camera(prompt: Prompt) -> None:
    if Path("/dev/video99").exists():
        pytest.skip("this machine has a /dev/video99")
    prompt.live("--camera", 99, "--spot-only").assert_refused(3, "camera:99", "cannot be opened")


# --- 4: the source was lost -----------------------------------------------------------------------------------------


def test_a_camera_that_is_unplugged(prompt: Prompt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def opened(self: CameraSource, device: int | str, spec: CameraSpec) -> None:
        self.name, self.misstamped = f"camera:{device}", 0
        self.mode = CameraMode(96, 64, 30.0, "YUYV")

    def frames(self: CameraSource) -> Iterator[Frame]:
        for index in range(5):
            yield Frame(np.zeros((64, 96, 3), np.uint8), index, index / 30, 0.0, self.name)
        raise SourceLostError(f"{self.name} stopped delivering after 5 frames; check the cable and start again.")

    monkeypatch.setattr(CameraSource, "__init__", opened)
    monkeypatch.setattr(CameraSource, "frames", frames)
    monkeypatch.setattr(CameraSource, "close", lambda self: None)
    events, stats = tmp_path / "out.jsonl", tmp_path / "stats.json"
    done = prompt.live("--camera", 0, "--spot-only", "--events", events, "--stats", stats, "--retry-for", 0)
    assert (done.code, done.out) == (4, "")
    assert done.err.splitlines()[-1].startswith("error: camera:0 was lost") and "after 5 frames" in done.err
    records = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    assert [record["type"] for record in records] == ["session.start", "source.lost", "stats", "session.end"]
    end = records[-1]
    assert (end["reason"], end["frames"], end["ledger"]["times_lost"]) == ("source_lost", 5, 1)
    assert json.loads(stats.read_text(encoding="utf-8"))["stages"]["output"]["count"] == 5


# --- 5: the bundle --------------------------------------------------------------------------------------------------


def test_a_missing_bundle(prompt: Prompt, clip: Path, bundle: Path) -> None:
    absent = bundle.with_name("tinny.tsf")
    prompt.live(clip, "--model", absent).assert_refused(5, str(absent), str(bundle), "tsf-train demonstration")


@pytest.mark.parametrize("name", [WEIGHTS_FILE, ONNX_FILE])
def test_one_changed_byte(prompt: Prompt, clip: Path, bundle: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy.tsf"
    shutil.copytree(bundle, copy)
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    prompt.live(clip, "--model", copy).assert_refused(5, str(copy / name), "changed or damaged")


def test_one_changed_byte_of_the_demonstration_bundle(prompt: Prompt, clip: Path, tmp_path: Path) -> None:
    if not default_bundle_path().is_dir():
        pytest.skip("tsfmicro/bundles/demonstration.tsf is not in this checkout yet")
    copy = tmp_path / "copy.tsf"
    shutil.copytree(default_bundle_path(), copy)
    data = bytearray((copy / WEIGHTS_FILE).read_bytes())
    data[-1] ^= 1
    (copy / WEIGHTS_FILE).write_bytes(data)
    prompt.live(clip, "--model", copy).assert_refused(5, WEIGHTS_FILE)


def test_spotting_alone_needs_no_bundle(prompt: Prompt, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "default_bundle_path", lambda: Path("/nowhere/demonstration.tsf"))
    prompt.live(clip).assert_refused(5, "/nowhere/demonstration.tsf")
    done = prompt.live(clip, "--spot-only")
    assert done.code == 0
    assert done.records[0]["model"] is None


# --- 6: the backend -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx", "torch-tensorrt", "cuda"])
def test_a_backend_that_is_not_here_is_refused(
    prompt: Prompt, clip: Path, bundle: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "cuda":
        monkeypatch.setattr(pytest.importorskip("torch").cuda, "is_available", lambda: False)
    prompt.live(clip, "--model", bundle, "--backend", backend).assert_refused(6, f"backend {backend}", "onnxruntime")


@pytest.mark.parametrize(
    ("name", "package", "hint"),
    [("tsf-train", "torch", "tsfmicro[train]"), ("tsf-export", "onnxscript", "tsfmicro[export]")],
)
def test_a_command_whose_extra_is_not_installed(
    prompt: Prompt, monkeypatch: pytest.MonkeyPatch, name: str, package: str, hint: str
) -> None:
    def absent(module: str) -> NoReturn:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr(cli, "import_module", absent)
    prompt(name).assert_refused(6, package, f"pip install '{hint}'")


def test_a_missing_module_of_our_own_is_not_blamed_on_an_extra(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str) -> NoReturn:
        raise ModuleNotFoundError("No module named 'tsfmicro.gone'", name="tsfmicro.gone")

    monkeypatch.setattr(cli, "import_module", absent)
    prompt("tsf-train").assert_refused(1, "tsfmicro.gone")
