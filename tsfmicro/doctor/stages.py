"""The stages of a run, each tried once on something small: video, landmarks, bundle and recogniser."""

from __future__ import annotations

from pathlib import Path

from tsfmicro.doctor.findings import BUNDLE_CHECK, Finding, one_line
from tsfmicro.doctor.installation import Installation
from tsfmicro.doctor.processes import Answer
from tsfmicro.errors import BundleError

LANDMARKS = 468
"""Points of a face: ``tsfmicro.values.LANDMARK_COUNT``."""
ENGINE_CHECK = "engine"
_FRAME_MS = 1e3 / 30
_NOT_INSTALLED = "ModuleNotFoundError"
_ENGINE_SUFFIXES = (".engine", ".plan", ".trt")


def judge_video(answer: Answer, here: Installation) -> list[Finding]:
    """Reading files and network streams, writing the annotated video."""
    again = here.reinstall("av>=17,<19")
    if answer.problem is not None:
        return [Finding("video", "fail", f"PyAV cannot be imported: {answer.problem}", again)]
    reads = answer.values["reads"]
    text = f"PyAV {answer.values['version']}: reads {', '.join(reads) or 'none of the usual formats'}"
    if "h264" not in reads:
        return [Finding("video", "fail", f"{text}; h264 is what most videos are", again)]
    missing = []
    if not answer.values["writes_h264"]:
        missing.append("it cannot write h264, so --video fails")
    if not answer.values["rtsp"]:
        missing.append("it has no rtsp, so network cameras cannot be read")
    if missing:
        return [Finding("video", "warn", f"{text}; {'; '.join(missing)}", again)]
    return [Finding("video", "ok", f"{text}, rtsp; writes h264")]


def judge_landmarks(answer: Answer, here: Installation) -> list[Finding]:
    """The face of the built-in portrait, and what a frame costs."""
    again = here.reinstall("mediapipe==0.10.21", "numpy>=1.26,<2")
    if answer.problem is not None and "SIGILL" in answer.problem:
        text = f"mediapipe needs a processor with AVX: {answer.problem}"
        return [Finding("landmarks", "fail", text, "use another machine; in a virtual one, let the processor through")]
    if answer.problem is not None and answer.problem.startswith(_NOT_INSTALLED):
        return [Finding("landmarks", "fail", f"not tried: {answer.problem}", here.install_project())]
    if answer.problem is not None:
        return [Finding("landmarks", "fail", f"no landmarks of the built-in portrait: {answer.problem}", again)]
    points = answer.values["points"]
    if points != LANDMARKS:
        text = f"{points} points on the face of the built-in portrait; expected {LANDMARKS}"
        return [Finding("landmarks", "fail", text, again)]
    cost_ms = answer.values["ms_per_frame"]
    text = f"{points} points on the built-in portrait, {cost_ms:.1f} ms a frame"
    if cost_ms > _FRAME_MS:
        text += "; too slow for a camera of 30 frames/s"
        return [Finding("landmarks", "warn", text, "see what else runs: top -o %CPU")]
    return [Finding("landmarks", "ok", text)]


def judge_bundle(path: Path, is_shipped: bool, answer: Answer, here: Installation) -> list[Finding]:
    """Every hash of a bundle, and one pair of crops through it."""
    called = "the one that ships" if is_shipped else str(path)
    if answer.problem is not None and answer.exit_code != BundleError.exit_code:  # no fault of the bundle
        text = f"{called} cannot be run: {answer.problem}"
        return [Finding("recogniser", "fail", text, here.install_project())]
    if answer.problem is not None:
        return [Finding(BUNDLE_CHECK, "fail", f"{called}: {answer.problem}", _bundle_fix(path, is_shipped, here))]
    values = answer.values
    if not values["finite"]:
        text = f"{called}: the graph gives no finite probabilities on {values['backend']}"
        return [Finding(BUNDLE_CHECK, "fail", text, f"tsf-export {path}")]
    text = f"{values['name']} ({called}): {len(values['files'])} files as in the manifest, {values['classes']} classes"
    text += f", {values['ms']:.0f} ms a {values['asked']} on {values['backend']}"
    engines = [name for name in values["files"] if name.endswith(_ENGINE_SUFFIXES)]
    if engines and not any(name.startswith(("tensorrt", "torch-tensorrt")) for name in values["backends"]):
        text += f"; no backend here runs {', '.join(engines)}"
    whole = Finding(BUNDLE_CHECK, "ok", f"{text}; backends: {', '.join(values['backends'])}")
    return [whole, *(_judge_engine(path, engine) for engine in values.get("engines", []))]


def _judge_engine(path: Path, engine: dict[str, str]) -> Finding:
    """What an engine's sidecar says; nothing fails, since ``auto`` does without a stale engine and says so."""
    if engine["problem"]:
        half = " --fp16" if ".fp16." in engine["name"] else ""
        fix = f"tsf-export {path}{half} --target {engine['kind']}"
        return Finding(ENGINE_CHECK, "warn", one_line(engine["problem"]), fix)
    return Finding(ENGINE_CHECK, "ok", f"{engine['name']}: {engine['precision']}, parity {engine['parity']}")


def _bundle_fix(path: Path, is_shipped: bool, here: Installation) -> str:
    if not is_shipped:
        return f"copy it again from where it was made, or make one: tsf-train demonstration --out {path}"
    if here.checkout is not None and (here.checkout / ".git").exists():
        return (
            f"git -C {here.checkout} checkout -- tsfmicro/bundles && git -C {here.checkout} clean -fd tsfmicro/bundles"
        )
    return f"install its wheel again: {here.reinstall('WHEEL')}"
