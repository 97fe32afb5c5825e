"""FDP's graph: exported and compared with its network on windows that look like a moving face."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from tsfmicro.bundle import ONNX_FILE, Bundle
from tsfmicro.errors import ParityError
from tsfmicro.export.onnx_graph import export_onnx
from tsfmicro.runners.parity import Parity, compare, probe_pairs
from tsfmicro.runners.torch_window import load_fused_window
from tsfmicro.values import UInt8Array

_PROBE_WINDOWS, _PROBE_SEED = 8, 7
_IMAGE_TOLERANCE = 1e-3
"""Largest difference of a grey level of the dynamic image, in 0..1: a quarter of what a screen can show."""


def probe_windows(count: int, frames: int, seed: int) -> UInt8Array:
    """Windows whose frames go from the onset of a probe pair to its apex and back.

    Returns:
        (count, frames, 224, 224, 3) uint8 RGB.

    Raises:
        ContractError: when ``count`` is not positive.
    """
    onset, apex = (pictures.astype(np.float32) for pictures in probe_pairs(count, seed))
    course = np.sin(np.linspace(0.0, np.pi, frames)).astype(np.float32)
    windows = np.stack([onset + share * (apex - onset) for share in course], axis=1)
    found: UInt8Array = np.clip(np.rint(windows), 0, 255).astype(np.uint8)
    return found


def export_window_bundle(bundle: Bundle, tolerance: float) -> tuple[bytes, Parity]:
    """Export the bundle's FDP and prove the graph.

    Args:
        bundle: verified.
        tolerance: largest difference of any probability.

    Raises:
        BundleError: if the manifest does not describe an FDP of this version.
        ParityError: if graph and network disagree, in probabilities or in dynamic images.
    """
    fused = load_fused_window(bundle)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ONNX_FILE
        export_onnx(fused, path)
        graph = path.read_bytes()
    windows = probe_windows(_PROBE_WINDOWS, fused.network.config.frames, _PROBE_SEED)
    with torch.inference_mode():
        _, logits, *images = (answer.numpy() for answer in fused(torch.from_numpy(windows)))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    _, found, *drawn = session.run(None, {"frames": windows})
    parity = compare(logits, np.asarray(found, dtype=np.float32))
    apart = max((float(np.abs(a - b).max()) for a, b in zip(images, drawn, strict=True)), default=0.0)
    if not (parity.passed(tolerance) and apart <= _IMAGE_TOLERANCE):
        raise ParityError(
            f"the exported graph differs from the network: largest difference {parity.max_abs:.2e} of a probability, "
            f"{apart:.2e} of a dynamic image; expected at most {tolerance:.0e} and {_IMAGE_TOLERANCE:.0e}. "
            "Nothing was written"
        )
    return graph, parity
