"""The stages of a run, tried in processes of their own, and what is said of them."""

from __future__ import annotations

import shutil
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.examples import CHECKOUT, ROOT, WHEEL
from tsfmicro.bundle import WEIGHTS_FILE, add_files, default_bundle_path, read_bundle
from tsfmicro.doctor import commands, stages
from tsfmicro.doctor.processes import Answer, ask, run_tool
from tsfmicro.doctor.stages import judge_bundle, judge_landmarks, judge_video
from tsfmicro.values import LANDMARK_COUNT

VIDEO: dict[str, Any] = {"version": "18.1.0", "reads": ["h264", "hevc"], "writes_h264": True, "rtsp": True}
BUNDLE: dict[str, Any] = {
    "name": "tiny", "classes": 5, "files": ["model.onnx", "weights.safetensors"], "backend": "onnxruntime",
    "backends": ["onnxruntime", "torch"], "finite": True, "asked": "pair", "ms": 21.4,
}  # fmt: skip
MINE = Path("mine.tsf")


# --- processes ------------------------------------------------------------------------------------------------------


def test_a_probe_answers() -> None:
    answer = ask("runtime", "json")
    assert answer.problem is None and answer.values["version"]


def test_a_probe_without_its_library() -> None:
    assert ask("runtime", "no_such_library").problem == "ModuleNotFoundError: No module named 'no_such_library'"


def library(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that this process, and so its children, would import."""
    (folder / "strange_library.py").write_text(text)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return "strange_library"


def test_a_probe_that_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = library(
        tmp_path, "import os, sys; print('qt: no display', file=sys.stderr, flush=True); os.abort()", monkeypatch
    )
    assert ask("runtime", name).problem == "the process was ended by SIGABRT: qt: no display"


def test_a_probe_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = library(tmp_path, "import time; time.sleep(600)", monkeypatch)
    assert ask("runtime", name, timeout_s=0.5).problem == "no answer within 0.5 s"


def test_a_probe_that_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = library(tmp_path, "raise SystemExit(3)", monkeypatch)
    assert "ended with code 3: nothing was said" in str(ask("runtime", name).problem)


def test_a_probe_whose_library_talks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = library(tmp_path, "import os; os.write(1, b'{chatter'); print('more'); __version__ = '7'", monkeypatch)
    assert ask("runtime", name) == Answer({"version": "7"})


def test_tools() -> None:
    done = run_tool(sys.executable, "-c", "import sys; print(1); print(2, file=sys.stderr); sys.exit(3)")
    assert done is not None and done.code == 3 and set(done.output.split()) == {"1", "2"}
    assert run_tool("no-such-program-anywhere") is None
    assert run_tool(sys.executable, "-c", "import time; time.sleep(600)", timeout_s=0.3) is None


# --- real stages ----------------------------------------------------------------------------------------------------


def test_the_video_of_this_machine() -> None:
    (found,) = judge_video(ask("video"), WHEEL)
    assert found.status == "ok", found


def test_the_opencv_of_this_machine() -> None:
    answer = ask("opencv")
    assert answer.problem is None and answer.values["parts"] and answer.values["version"].startswith("4.")


def test_the_landmarks_of_this_machine() -> None:
    answer = ask("landmarks")
    assert answer.values["points"] == LANDMARK_COUNT == stages.LANDMARKS
    assert answer.values["ms_per_frame"] > 0


def test_the_onnxruntime_of_this_machine() -> None:
    assert "CPUExecutionProvider" in ask("onnxruntime").values["providers"]


def test_the_bundle_that_ships() -> None:
    assert default_bundle_path() == commands.SHIPPED
    (found,) = judge_bundle(commands.SHIPPED, True, ask("bundle", str(commands.SHIPPED)), WHEEL)
    assert found.status == "ok", found
    assert "5 classes" in found.detail and "onnxruntime" in found.detail


def test_a_bundle_of_a_recogniser_of_windows(tmp_path: Path) -> None:
    for needed in ("torch", "onnx", "onnxscript"):
        pytest.importorskip(needed)
    from tests.export.test_windows import BARE, sealed
    from tsfmicro.export.onnx_graph import OPSET, in_precision, trace
    from tsfmicro.runners.precision import Precision
    from tsfmicro.runners.torch_window import load_fused_window

    bare = sealed(tmp_path / "fdp.tsf", BARE)
    graph = in_precision(trace(load_fused_window(bare), OPSET), Precision.FLOAT32)
    whole = add_files(bare, {"model.onnx": graph})
    (found,) = judge_bundle(whole.path, False, ask("bundle", str(whole.path)), WHEEL)
    assert found.status == "ok", found
    assert "ms a window on onnxruntime" in found.detail


def test_a_bundle_with_one_changed_byte(tmp_path: Path) -> None:
    copy = tmp_path / "copy.tsf"
    shutil.copytree(default_bundle_path(), copy)
    data = bytearray((copy / WEIGHTS_FILE).read_bytes())
    data[-1] ^= 1
    (copy / WEIGHTS_FILE).write_bytes(data)
    (found,) = judge_bundle(copy, False, ask("bundle", str(copy)), WHEEL)
    assert (found.check, found.status) == ("bundle", "fail")
    assert "changed or damaged" in found.detail and found.fix and str(copy) in found.fix


# --- judging --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "status", "hint"),
    [
        (Answer(VIDEO), "ok", "rtsp; writes h264"),
        (Answer({}, "ImportError: libavcodec"), "fail", "libavcodec"),
        (Answer(VIDEO | {"reads": []}), "fail", "none of the usual formats"),
        (Answer(VIDEO | {"writes_h264": False}), "warn", "--video fails"),
        (Answer(VIDEO | {"rtsp": False}), "warn", "no rtsp"),
    ],
)
def test_video(answer: Answer, status: str, hint: str) -> None:
    (found,) = judge_video(answer, WHEEL)
    assert found.status == status and hint in found.detail


@pytest.mark.parametrize(
    ("answer", "status", "hint"),
    [
        (Answer({"points": 468, "ms_per_frame": 3.04}), "ok", "3.0 ms a frame"),
        (Answer({"points": 468, "ms_per_frame": 40.0}), "warn", "too slow"),
        (Answer({"points": 0}), "fail", "0 points"),
        (Answer({}, "ImportError: numpy.core.multiarray failed to import"), "fail", "multiarray"),
        (Answer({}, "ModuleNotFoundError: No module named 'skimage'"), "fail", "not tried"),
        (Answer({}, "the process was ended by SIGILL: nothing was said"), "fail", "AVX"),
    ],
)
def test_landmarks(answer: Answer, status: str, hint: str) -> None:
    (found,) = judge_landmarks(answer, WHEEL)
    assert found.status == status and hint in found.detail


def test_a_bundle_in_order() -> None:
    (found,) = judge_bundle(MINE, False, Answer(BUNDLE), WHEEL)
    assert found.status == "ok" and "tiny (mine.tsf): 2 files" in found.detail and "21 ms a pair" in found.detail
    assert "no backend here" not in found.detail


@pytest.mark.parametrize(("backend", "told"), [("torch", True), ("tensorrt-rtx", False)])
def test_engines_that_nothing_here_runs_are_named(backend: str, told: bool) -> None:
    values = BUNDLE | {"files": ["model.plan", "weights.safetensors"], "backends": ["onnxruntime", backend]}
    (found,) = judge_bundle(MINE, False, Answer(values), WHEEL)
    assert found.status == "ok" and ("no backend here runs model.plan" in found.detail) is told


def test_an_engine_is_judged_by_its_sidecar() -> None:
    sound = {
        "name": "model.tensorrt.fp16.engine",
        "kind": "tensorrt",
        "precision": "float16",
        "parity": "passed",
        "problem": "",
    }
    stale = sound | {"problem": "mine.tsf/model.tensorrt.fp16.engine is stale: it was built from other weights"}
    whole, first, second = judge_bundle(MINE, False, Answer(BUNDLE | {"engines": [sound, stale]}), WHEEL)
    assert whole.status == "ok"
    assert (first.check, first.status) == ("engine", "ok") and "float16, parity passed" in first.detail
    assert (second.status, second.fix) == ("warn", "tsf-export mine.tsf --fp16 --target tensorrt")
    assert "stale" in second.detail


def test_the_engines_of_a_bundle_are_looked_at_without_loading_them(tmp_path: Path) -> None:
    copy = tmp_path / "copy.tsf"
    shutil.copytree(default_bundle_path(), copy)
    add_files(read_bundle(copy), {"model.tensorrt.fp16.engine": b"no engine"})
    whole, engine = judge_bundle(copy, False, ask("bundle", str(copy)), WHEEL)
    assert whole.status == "ok"
    assert engine.status == "warn" and "nothing vouches for it" in engine.detail


@pytest.mark.parametrize("exit_code", [None, 6])
def test_a_bundle_that_cannot_be_run_is_not_blamed(exit_code: int | None) -> None:
    (found,) = judge_bundle(
        MINE, False, Answer({}, "ModuleNotFoundError: No module named 'onnxruntime'", exit_code), WHEEL
    )
    assert (found.check, found.status) == ("recogniser", "fail")
    assert found.fix == "/env/bin/python -m pip install tsfmicro"


def test_a_graph_of_nan() -> None:
    (found,) = judge_bundle(MINE, False, Answer(BUNDLE | {"finite": False}), WHEEL)
    assert found.status == "fail" and found.fix == "tsf-export mine.tsf"


def test_the_shipped_bundle_is_mended_as_it_was_installed(tmp_path: Path) -> None:
    broken = Answer({}, "changed", 5)
    (found,) = judge_bundle(MINE, True, broken, WHEEL)
    assert (found.check, found.status) == ("bundle", "fail")
    assert found.fix and found.fix.endswith("/env/bin/python -m pip install --force-reinstall --no-deps WHEEL")
    (tmp_path / ".git").mkdir()
    (found,) = judge_bundle(MINE, True, broken, replace(CHECKOUT, checkout=tmp_path))
    assert found.fix and found.fix.startswith(f"git -C {tmp_path} checkout -- tsfmicro/bundles")


def test_ranges_in_commands_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = {*project["dependencies"], *(line for lines in project["optional-dependencies"].values() for line in lines)}
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tsfmicro" / "doctor").glob("*.py"))
    for package in ("av>=", "mediapipe==", "numpy>=", "onnxruntime>=", "torch>=", "torchvision>="):
        wanted = [line for line in known if line.startswith(package)]
        assert f"{package}{wanted[0].removeprefix(package)}" in source
        assert source.count(package) == source.count(wanted[0]), f"{package} has another range in tsfmicro/doctor"
