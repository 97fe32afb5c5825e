"""What runs in a process of its own: each function imports one native library and says what it can do.

Nothing here is imported by the doctor itself; see :func:`tsfmicro.doctor.processes.ask`.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsfmicro.errors import TsfError

if TYPE_CHECKING:
    from tsfmicro.bundle import Bundle

Values = dict[str, Any]


def main(words: Sequence[str]) -> None:
    """Run the probe ``words[0]`` with the other words and print its values, or its error, as one JSON object."""
    answer_to = os.dup(1)
    os.dup2(2, 1)  # native libraries print what they like
    try:
        values = PROBES[words[0]](*words[1:])
    except TsfError as error:
        values = {"error": str(error), "exit_code": error.exit_code}
    except Exception as error:
        values = {"error": f"{type(error).__name__}: {error}"}
    os.write(answer_to, json.dumps(values).encode())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # what was asked is answered; destructors of native libraries may still crash


def opencv() -> Values:
    """Version, window toolkit and camera support of the OpenCV that is imported."""
    import cv2

    information = cv2.getBuildInformation().splitlines()

    def field(name: str) -> str:
        found = (line.split(":", 1)[1].strip() for line in information if line.strip().startswith(f"{name}:"))
        return next(found, "")

    return {
        "version": cv2.__version__,
        "folder": str(Path(cv2.__file__).parent),
        "gui": field("GUI") or "NONE",
        "v4l2": field("v4l/v4l2").startswith("YES"),
        "parts": all(hasattr(cv2, name) for name in ("VideoCapture", "calcOpticalFlowPyrLK", "warpAffine")),
    }


def window() -> Values:
    """Open a window as the overlay does, and close it."""
    import cv2
    import numpy as np

    cv2.namedWindow("tsf-doctor", cv2.WINDOW_NORMAL)
    cv2.imshow("tsf-doctor", np.zeros((32, 32, 3), dtype=np.uint8))
    cv2.waitKey(1)
    cv2.destroyAllWindows()
    return {}


def video() -> Values:
    """What the FFmpeg inside PyAV can read and write."""
    import av

    def writes(name: str) -> bool:
        try:
            av.Codec(name, "w")
        except ValueError:
            return False
        return True

    return {
        "version": av.__version__,
        "reads": sorted(name for name in ("h264", "hevc", "mjpeg", "vp9") if name in av.codecs_available),
        "writes_h264": writes("libx264") or writes("h264"),
        "rtsp": "rtsp" in av.formats_available,
    }


def landmarks() -> Values:
    """Find the face of the built-in portrait, as every run does."""
    from skimage.data import astronaut

    from tsfmicro.landmarks import FaceMeshDetector, landmarks_of_photo
    from tsfmicro.values import Frame

    pixels = astronaut()
    with FaceMeshDetector(max_faces=1) as detector:
        face = landmarks_of_photo(pixels, detector)
        if face is None:
            return {"points": 0}
        frames = [Frame(pixels=pixels, index=i, t_s=i / 30, captured_s=0.0, source="photo") for i in range(4, 14)]
        started_s = time.perf_counter()
        for frame in frames:
            detector.detect(frame)
        spent_s = time.perf_counter() - started_s
    return {"points": len(face.landmarks_px), "ms_per_frame": 1e3 * spent_s / len(frames)}


def bundle(path: str) -> Values:
    """Verify a bundle, load it as ``tsf-live`` does, and name one pair, or for FDP one window, of grey crops."""
    from contextlib import ExitStack

    import numpy as np

    from tsfmicro.bundle import read_bundle
    from tsfmicro.runners import available_backends, load
    from tsfmicro.runners.window import load_window

    verified = read_bundle(Path(path))
    manifest = verified.manifest
    side = manifest.preprocess.align.size_px
    grey = np.full((1, side, side, 3), 128, dtype=np.uint8)
    with ExitStack() as stack:
        if manifest.model.reads_windows:
            windows = stack.enter_context(load_window(verified))
            backend, asked = windows.backend, "window"
            infer: Callable[[], Any] = partial(windows.infer, np.repeat(grey[:, None], windows.frames, axis=1))
        else:
            pairs = stack.enter_context(load(verified))
            backend, asked = pairs.backend, "pair"
            infer = partial(pairs.infer, grey, grey)
        infer()
        started_s = time.perf_counter()
        said = infer()
        spent_s = time.perf_counter() - started_s
    probabilities = (said.answers if asked == "window" else said).probabilities
    return {
        "name": manifest.name,
        "classes": len(manifest.labels),
        "files": sorted(manifest.files),
        "backend": backend,
        "backends": list(available_backends()),
        "engines": _engines(verified),
        "finite": bool(np.isfinite(probabilities).all()),
        "asked": asked,
        "ms": 1e3 * spent_s,
    }


def _engines(verified: Bundle) -> list[Values]:
    """Every engine of a bundle with what its sidecar says, or why it cannot be used; none is loaded."""
    from tsfmicro.runners.engine_card import ENGINE_KINDS, engines_of, read_card
    from tsfmicro.runners.tensorrt_engine import MODULES
    from tsfmicro.runners.tensorrt_runner import usable_engine

    found = []
    for kind in ENGINE_KINDS:
        for name in engines_of(verified, kind):
            values = {"name": name, "kind": kind, "precision": "", "parity": "", "problem": ""}
            try:
                card = read_card(verified, name)
                values |= {"precision": card.precision_actual, "parity": card.parity}
                if find_spec(MODULES[kind]) is not None:
                    usable_engine(verified, kind)
            except TsfError as error:
                values["problem"] = str(error)
            found.append(values)
    return found


def onnxruntime() -> Values:
    """Version and execution providers of ONNX Runtime."""
    runtime: Any = import_module("onnxruntime")
    runtime.disable_telemetry_events()
    return {"version": runtime.__version__, "providers": list(runtime.get_available_providers())}


def torch() -> Values:
    """The build of torch and whether it reaches a GPU."""
    # By name: the live path stands on this package's layer as well, and must not need torch.
    library: Any = import_module("torch")
    companion = None
    if find_spec("torchvision") is not None:
        try:
            import_module("torchvision")
        except Exception as error:
            companion = f"{type(error).__name__}: {error}"
    return {
        "torchvision_problem": companion,
        "version": library.__version__,
        "cuda": library.version.cuda,
        "available": bool(library.cuda.is_available()),
        "architectures": list(library.cuda.get_arch_list()),
    }


def runtime(name: str) -> Values:
    """Version of an optional runtime, once it is imported."""
    from tsfmicro.runners.openvino_import import import_openvino

    library: Any = import_openvino() if name == "openvino" else import_module(name)
    return {"version": str(library.__version__)}


def cuda() -> Values:
    """What the NVIDIA driver library shows, without any CUDA package.

    Raises:
        OSError: there is no driver library.
    """
    driver = ctypes.CDLL("libcuda.so.1")
    code = driver.cuInit(0)
    if code != 0:
        return {"error": f"cuInit failed with code {code}"}
    number, count = ctypes.c_int(), ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(number))
    driver.cuDeviceGetCount(ctypes.byref(count))
    return {
        "cuda": f"{number.value // 1000}.{number.value % 1000 // 10}",
        "cards": [_cuda_card(driver, index) for index in range(count.value)],
    }


def _cuda_card(driver: Any, index: int) -> Values:
    major, minor, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(128)
    driver.cuDeviceGetName(name, 128, index)
    driver.cuDeviceGetAttribute(ctypes.byref(major), 75, index)  # COMPUTE_CAPABILITY_MAJOR
    driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, index)
    return {"name": name.value.decode(errors="replace"), "capability": f"{major.value}.{minor.value}"}


PROBES: dict[str, Callable[..., Values]] = {
    probe.__name__: probe for probe in (opencv, window, video, landmarks, bundle, onnxruntime, torch, runtime, cuda)
}
