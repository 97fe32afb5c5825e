"""On a real card. Skipped without one, failed without one where ``TSFMICRO_REQUIRE_GPU=1`` promises it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.export.test_commands import make_bundle, run
from tests.export.test_windows import WHOLE, sealed
from tsfmicro.benchmarks import gpu_check
from tsfmicro.bundle import Bundle, add_files, read_bundle
from tsfmicro.errors import BackendError
from tsfmicro.export.products import PASSED, export_bundle
from tsfmicro.runners import choose, load
from tsfmicro.runners.cuda import Cuda
from tsfmicro.runners.engine_card import engines_of, read_card
from tsfmicro.runners.parity import Tolerance, compare, probe_pairs, probe_windows
from tsfmicro.runners.precision import Precision
from tsfmicro.runners.window import load_window

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    bare = make_bundle(tmp_path_factory.mktemp("gpu") / "tiny.tsf")
    exported = export_bundle(bare, (Precision.FLOAT32,))
    return add_files(bare, {product.name: product.data for product in exported.products})


def test_bytes_go_to_the_card_and_back_also_in_a_graph() -> None:
    cuda = Cuda()
    stream, address = cuda.stream(), cuda.allocate(1024)
    source, target = cuda.pinned(1024), cuda.pinned(1024)
    source[...] = np.arange(1024) % 251
    cuda.upload(address, source, stream)
    cuda.download(target, address, stream)
    cuda.wait(stream)
    np.testing.assert_array_equal(target, source)
    cuda.begin_capture(stream)
    cuda.upload(address, source, stream)
    cuda.download(target, address, stream)
    graph = cuda.end_capture(stream)
    for value in (3, 5):
        source[...] = value
        cuda.launch(graph, stream)
        cuda.wait(stream)
        assert set(target.tolist()) == {value}
    cuda.free_graph(graph)
    cuda.free(address)
    cuda.free_pinned(source)
    cuda.free_pinned(target)
    cuda.free_stream(stream)
    cuda.close()


@pytest.mark.parametrize("count", [1, 3, 10])
def test_torch_on_the_card_agrees(bundle: Bundle, count: int) -> None:
    onset, apex = probe_pairs(count, seed=count)
    with load(bundle, "torch") as reference, load(bundle, "cuda") as runner:
        assert runner.device != "cpu"
        for _ in range(2):  # the first captures, the second replays
            found = runner.infer(onset, apex)
        parity = compare(reference.infer(onset, apex).logits, found.logits)
    assert parity.within(Tolerance.of(Precision.FLOAT16)), parity


@pytest.mark.parametrize("kind", ["tensorrt", "tensorrt-rtx", "torch-tensorrt"])
def test_an_engine_is_proved_and_run(
    kind: str, tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(kind.replace("-", "_"))
    path = make_bundle(tmp_path / "tiny.tsf").path
    assert run(monkeypatch, path, "--fp16", "--target", kind) == 0
    sealed = read_bundle(path)
    card = read_card(sealed, engines_of(sealed, kind)[0])
    if card.parity != PASSED:
        with pytest.raises(BackendError):
            load(sealed, kind)
        pytest.skip(f"this card cannot run it: {card.parity}")
    onset, apex = probe_pairs(10, seed=3)
    assert choose(sealed).backend == kind
    with load(sealed, "onnxruntime") as reference, load(sealed, kind) as runner:
        for count in (1, 10, 1):
            wanted, found = (r.infer(onset[:count], apex[:count]).logits for r in (reference, runner))
            parity = compare(wanted, found)
            assert parity.within(Tolerance.of(Precision.FLOAT16)), parity


@pytest.mark.parametrize("kind", ["tensorrt", "tensorrt-rtx", "torch-tensorrt"])
def test_an_engine_of_windows_is_proved_and_run(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(kind.replace("-", "_"))
    path = sealed(tmp_path / "fdp.tsf", WHOLE).path
    assert run(monkeypatch, path, "--fp16", "--target", kind) == 0
    bundle = read_bundle(path)
    card = read_card(bundle, engines_of(bundle, kind)[0])
    if card.parity != PASSED:
        pytest.skip(f"this card cannot run it: {card.parity}")
    windows = probe_windows(10, WHOLE.frames, seed=3)
    assert choose(bundle).backend == kind
    with load_window(bundle, "onnxruntime") as reference, load_window(bundle, kind) as runner:
        for count in (1, 10, 1):
            wanted, found = (r.infer(windows[:count]).answers.logits for r in (reference, runner))
            parity = compare(wanted, found)
            assert parity.within(Tolerance.of(Precision.FLOAT16)), parity


def test_the_whole_check_runs(tmp_path: Path) -> None:
    path = tmp_path / "check.json"
    assert gpu_check.main(["--size", "small", "--batches", "1", "--rounds", "3", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    by_name = {row["what"]: row for row in rows}
    for name in ("machine", "ceilings", "torch eager float16", "torch float16, CUDA graph", "runner cuda"):
        assert by_name[name]["status"] == "ok", by_name[name]
    assert by_name["torch float16, CUDA graph"]["distance"]["within_tolerance"]
