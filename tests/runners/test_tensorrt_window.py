"""Engines of FDP on a card of numpy: windows in, answers and dynamic images out, and nothing that was not checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

for needed in ("torch", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

from tests.export.test_windows import BARE, WHOLE, sealed  # noqa: E402
from tests.runners.fake_card import (  # noqa: E402
    FakeCuda,
    FakeTensorRt,
    fake_images,
    fake_logits,
    fake_window_logits,
)
from tests.runners.test_tensorrt_runner import KIND, NAME, PLAN, PROOF, a_card, cuda, trt  # noqa: E402
from tsfmicro.bundle import Bundle, add_files  # noqa: E402
from tsfmicro.errors import ContractError, ParityError  # noqa: E402
from tsfmicro.models.fdp.config import FdpConfig  # noqa: E402
from tsfmicro.runners import choose  # noqa: E402
from tsfmicro.runners.engine_card import ProvenOn, sidecar_file  # noqa: E402
from tsfmicro.runners.tensorrt_window import TensorRtWindowRunner  # noqa: E402
from tsfmicro.runners.window import load_window  # noqa: E402
from tsfmicro.values import Float32Array, UInt8Array  # noqa: E402

__all__ = ["cuda", "trt"]


def with_engine(path: Path, config: FdpConfig = WHOLE, proven_on: ProvenOn | None = None) -> Bundle:
    bundle = sealed(path, config)
    card = a_card(bundle, proven_on=proven_on).to_json().encode()
    return add_files(bundle, {NAME: PLAN, sidecar_file(NAME): card, "model.fp16.onnx": b"graph"})


def of_windows(trt: FakeTensorRt, config: FdpConfig) -> None:
    image = () if config.dynamic_image == "none" else ("dynamic_image",)
    trt.inputs, trt.outputs = ("frames",), ("probabilities", "logits", *image)
    trt.compute = fake_window_logits


def windows_of(config: FdpConfig, count: int) -> UInt8Array:
    return np.random.default_rng(count).integers(0, 256, (count, config.frames, 224, 224, 3), dtype=np.uint8)


def never(windows: UInt8Array) -> Float32Array:
    raise AssertionError("this engine was proved on such a card before")


@pytest.mark.parametrize("config", [WHOLE, BARE], ids=["whole", "bare"])
@pytest.mark.parametrize("count", [1, 9])
def test_a_proven_engine_answers_windows(
    tmp_path: Path, cuda: FakeCuda, trt: FakeTensorRt, config: FdpConfig, count: int
) -> None:
    of_windows(trt, config)
    bundle = with_engine(tmp_path / "fdp.tsf", config, PROOF)
    assert choose(bundle).backend == KIND
    windows = windows_of(config, count)
    with load_window(bundle) as runner:
        assert (runner.backend, runner.device, runner.frames) == (KIND, "Fake RTX", config.frames)
        found = runner.infer(windows)
        np.testing.assert_allclose(found.answers.logits, fake_window_logits(windows), rtol=1e-5)
        if config.dynamic_image == "none":
            assert found.dynamic_images is None
        else:
            assert found.dynamic_images is not None
            np.testing.assert_allclose(found.dynamic_images, fake_images(windows), rtol=1e-5)
        with pytest.raises(ContractError, match="frames"):
            runner.infer(windows[:, 1:])
    assert cuda.nothing_left()
    with pytest.raises(ContractError, match="closed"):
        runner.infer(windows)


def test_an_engine_not_proven_here_is_proved_when_loaded(tmp_path: Path, cuda: FakeCuda, trt: FakeTensorRt) -> None:
    of_windows(trt, WHOLE)
    asked = []

    def reference(windows: UInt8Array) -> Float32Array:
        asked.append(windows.shape)
        return fake_window_logits(windows)

    TensorRtWindowRunner(with_engine(tmp_path / "fdp.tsf"), KIND, reference).close()
    assert asked == [(8, WHOLE.frames, 224, 224, 3)]


def test_an_engine_that_computes_something_else_is_not_used(tmp_path: Path, cuda: FakeCuda, trt: FakeTensorRt) -> None:
    of_windows(trt, WHOLE)
    trt.compute = lambda frames: fake_logits(frames[:, 0], frames[:, -1]) * 1.02 + 0.1
    with pytest.raises(ParityError, match="does not compute what the network computes"):
        TensorRtWindowRunner(with_engine(tmp_path / "fdp.tsf"), KIND, fake_window_logits)
    assert cuda.nothing_left()


def test_a_proven_engine_is_not_proved_again(tmp_path: Path, cuda: FakeCuda, trt: FakeTensorRt) -> None:
    of_windows(trt, WHOLE)
    TensorRtWindowRunner(with_engine(tmp_path / "fdp.tsf", proven_on=PROOF), KIND, never).close()
    assert cuda.nothing_left()
