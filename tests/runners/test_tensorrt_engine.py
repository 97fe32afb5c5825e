"""What an engine does with the card: seen on one made of numpy, so that machines without a card see it as well."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from tests.runners.fake_card import CLASSES, FakeCuda, FakeTensorRt, fake_logits, softmax
from tsfmicro.errors import BackendError
from tsfmicro.runners import tensorrt_engine
from tsfmicro.runners.tensorrt_engine import Engine, pair_layout
from tsfmicro.values import UInt8Array

SIDE = 8


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


@pytest.fixture
def trt(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    fake = FakeTensorRt(cuda)
    monkeypatch.setattr(tensorrt_engine, "runtime_module", lambda kind: fake)
    return fake


def an_engine(cuda: FakeCuda, kind: str = "tensorrt") -> Engine:
    return Engine(b"plan", kind, pair_layout(SIDE, CLASSES), 8, cuda)  # type: ignore[arg-type]


def crops(count: int, seed: int) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize("count", [1, 3, 8, 20])
def test_any_number_of_pairs_is_answered(cuda: FakeCuda, trt: FakeTensorRt, kind: str, count: int) -> None:
    engine = an_engine(cuda, kind)
    for seed in (1, 2, 3):  # the first call sets up, the others replay
        onset, apex = crops(count, seed), crops(count, seed + 10)
        probabilities, logits = engine.run(onset, apex)
        np.testing.assert_allclose(logits, fake_logits(onset, apex), rtol=1e-6)
        np.testing.assert_allclose(probabilities, softmax(fake_logits(onset, apex)), rtol=1e-5)
    engine.close()
    assert cuda.nothing_left()


def test_results_do_not_change_with_the_next_call(cuda: FakeCuda, trt: FakeTensorRt) -> None:
    engine = an_engine(cuda)
    first = engine.run(crops(1, 1), crops(1, 2))[1]
    before = first.copy()
    engine.run(crops(1, 3), crops(1, 4))
    np.testing.assert_array_equal(first, before)


def test_after_the_first_call_a_pair_is_one_launch(cuda: FakeCuda, trt: FakeTensorRt) -> None:
    engine = an_engine(cuda)
    engine.run(crops(1, 1), crops(1, 2))
    (context,) = trt.contexts
    runs, launches, buffers = context.runs, cuda.launches, set(cuda.memory)
    for seed in range(5):
        engine.run(crops(1, seed), crops(1, seed + 10))
    assert (context.runs, cuda.launches, set(cuda.memory)) == (runs, launches + 5, buffers)


def test_rtx_captures_by_itself(cuda: FakeCuda, trt: FakeTensorRt) -> None:
    engine = an_engine(cuda, "tensorrt-rtx")
    engine.run(crops(1, 1), crops(1, 2))
    assert trt.contexts[0].config.cuda_graph_strategy == "whole"
    assert (cuda.launches, cuda.graphs) == (0, {})


def test_every_size_and_every_thread_has_its_own_context(cuda: FakeCuda, trt: FakeTensorRt) -> None:
    engine = an_engine(cuda)
    problems = []

    def work() -> None:
        try:
            for count in (1, 2, 1, 2):
                onset, apex = crops(count, count), crops(count, count + 5)
                np.testing.assert_allclose(engine.run(onset, apex)[1], fake_logits(onset, apex), rtol=1e-6)
        except BaseException as error:
            problems.append(error)

    entered = cuda.entered
    for _ in range(3):  # one after the other: this card knows one capture at a time
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert problems == []
    assert len(trt.contexts) == 6
    assert cuda.entered == entered + 3
    assert len({address for context in trt.contexts for address in context.addresses.values()}) == 6 * 4
    engine.close()
    assert cuda.nothing_left()


def test_torch_tensorrt_numbers_its_outputs(cuda: FakeCuda, trt: FakeTensorRt) -> None:
    trt.outputs = ("output0", "output1")
    engine = an_engine(cuda, "torch-tensorrt")
    onset, apex = crops(3, 1), crops(3, 2)
    probabilities, logits = engine.run(onset, apex)
    np.testing.assert_allclose(logits, fake_logits(onset, apex), rtol=1e-6)
    np.testing.assert_allclose(probabilities, softmax(fake_logits(onset, apex)), rtol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (("frames",), ("probabilities", "logits")),
        (("onset", "apex"), ("probabilities", "logits", "dynamic_image")),
        (("onset", "apex"), ("output0", "output2")),
        (("onset",), ("probabilities", "logits")),
    ],
)
def test_an_engine_of_something_else(
    cuda: FakeCuda, trt: FakeTensorRt, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> None:
    trt.inputs, trt.outputs = inputs, outputs
    with pytest.raises(BackendError, match=f"the engine has {', '.join((*inputs, *outputs))}; expected onset, apex, "):
        an_engine(cuda)


def test_an_engine_the_runtime_refuses(cuda: FakeCuda, trt: FakeTensorRt) -> None:
    trt.refuses = True
    with pytest.raises(BackendError, match="refuses the engine on this Fake RTX"):
        an_engine(cuda)


def test_a_failure_while_running_is_told(cuda: FakeCuda, trt: FakeTensorRt) -> None:
    engine = an_engine(cuda)
    trt.fails = True
    with pytest.raises(BackendError, match="failed on a batch of 1"):
        engine.run(crops(1, 1), crops(1, 2))


def test_more_than_the_engine_takes(cuda: FakeCuda, trt: FakeTensorRt) -> None:
    trt.max_batch = 4
    with pytest.raises(BackendError, match="takes no batch of 8"):
        an_engine(cuda).run(crops(8, 1), crops(8, 2))


def test_closed_is_closed(cuda: FakeCuda, trt: FakeTensorRt) -> None:
    engine = an_engine(cuda)
    engine.close()
    engine.close()
    with pytest.raises(BackendError, match="closed"):
        engine.run(crops(1, 1), crops(1, 2))


@pytest.mark.parametrize("kind", ["tensorrt", "tensorrt-rtx", "torch-tensorrt"])
def test_a_runtime_that_is_not_installed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(tensorrt_engine, "import_module", absent)
    with pytest.raises(BackendError, match=r"pip install 'tsfmicro\[") as caught:
        tensorrt_engine.runtime_module(kind)
    assert caught.value.exit_code == 6
