"""FDP in torch, compiled and on a card: the same answers for any number of windows, or a clear refusal."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from tests.export.test_windows import BARE, WHOLE, sealed  # noqa: E402
from tsfmicro.bundle import Bundle  # noqa: E402
from tsfmicro.errors import BackendError, BundleError, UsageError  # noqa: E402
from tsfmicro.export.windows import IMAGE_TOLERANCES  # noqa: E402
from tsfmicro.runners import BACKENDS  # noqa: E402
from tsfmicro.runners.parity import Tolerance, compare, probe_windows  # noqa: E402
from tsfmicro.runners.precision import Precision  # noqa: E402
from tsfmicro.runners.torch_forward import products_in  # noqa: E402
from tsfmicro.runners.window import load_window  # noqa: E402


@pytest.fixture(scope="module", params=[WHOLE, BARE], ids=["whole", "bare"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return sealed(tmp_path_factory.mktemp("fdp") / "fdp.tsf", request.param)


def test_the_compiled_network_answers_as_the_eager_one(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced for any number of windows. Generating and compiling C++ takes minutes and is left to torch's own tests."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    with load_window(bundle, "torch", threads=1) as eager, load_window(bundle, "torch-compiled", threads=1) as compiled:
        assert (compiled.backend, compiled.device, compiled.frames) == ("torch-compiled", "cpu", eager.frames)
        for count in (1, 2, 3):
            windows = probe_windows(count, eager.frames, seed=count)
            found, wanted = compiled.infer(windows), eager.infer(windows)
            np.testing.assert_allclose(found.answers.logits, wanted.answers.logits, atol=1e-4)
            if wanted.dynamic_images is None:
                assert found.dynamic_images is None
            else:
                assert found.dynamic_images is not None
                np.testing.assert_allclose(found.dynamic_images, wanted.dynamic_images, atol=1e-4)


def test_a_compiler_that_is_missing_is_told(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*words: Any, **options: Any) -> Any:
        def call(*crops: Any) -> None:
            raise RuntimeError("no working C++ compiler\nand a long story")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(BackendError, match=r"cannot compile here: no working C\+\+ compiler$"):
        load_window(bundle, "torch-compiled")


def test_a_card_that_is_missing_is_told_and_nothing_takes_its_place(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackendError, match="backend cuda needs an NVIDIA card"):
        load_window(bundle, "cuda")


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_of_pairs_is_known(bundle: Bundle, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it lacks here is another matter."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    try:
        load_window(bundle, backend).close()
    except (BackendError, BundleError) as error:
        assert any(word in str(error) for word in ("tsf-export", "NVIDIA card"))


def test_a_backend_that_is_misspelt(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="did you mean torch-compiled"):
        load_window(bundle, "torch-compile")


def products(a: Any) -> Any:
    """A convolution and a matrix product."""
    picture = torch.nn.functional.conv2d(a[None, None], a[None, None, :3, :3])[0, 0]
    return a @ a + picture.sum()


def test_on_a_card_windows_are_computed_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shown on the CPU, whose autocast is the same but for the device."""
    a = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32))
    allowed = []
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with torch.autocast("cpu", torch.float16), products_in(Precision.FLOAT32, "cpu"):
        allowed.append(torch.backends.cudnn.allow_tf32)
        whole = products(a)
    with products_in(Precision.FLOAT16, "cpu"):
        allowed.append(torch.backends.cudnn.allow_tf32)
        half = products(a)
    assert (whole.dtype, half.dtype, allowed) == (torch.float32, torch.float16, [False, True])
    assert torch.backends.cudnn.allow_tf32
    torch.testing.assert_close(whole, products(a))


def test_what_goes_wrong_in_it_leaves_torch_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with pytest.raises(ZeroDivisionError), products_in(Precision.FLOAT32, "cpu"):
        raise ZeroDivisionError
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.gpu
@pytest.mark.parametrize("count", [1, 3])
def test_on_a_card_it_answers_as_on_the_cpu(tmp_path: Path, count: int) -> None:
    bundle = sealed(tmp_path / "fdp.tsf", WHOLE)
    windows = probe_windows(count, WHOLE.frames, seed=count)
    with load_window(bundle, "torch") as reference, load_window(bundle, "cuda") as runner:
        assert (runner.backend, runner.device != "cpu") == ("cuda", True)
        for _ in range(2):  # the first captures, the second replays
            found = runner.infer(windows)
        wanted = reference.infer(windows)
    parity = compare(wanted.answers.logits, found.answers.logits)
    assert parity.within(Tolerance.of(Precision.FLOAT32)), parity
    assert wanted.dynamic_images is not None and found.dynamic_images is not None
    assert np.abs(wanted.dynamic_images - found.dynamic_images).max() <= IMAGE_TOLERANCES[Precision.FLOAT32]
