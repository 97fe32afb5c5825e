"""OpenVINO runs the graph of the bundle, in bfloat16 where the processor has it."""

from __future__ import annotations

import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
if find_spec("openvino") is None:
    pytest.skip("type: pip install 'tsfmicro[openvino]'", allow_module_level=True)

from tests.test_runners import a_bundle, a_graph, crops
from tsfmicro.bundle import Bundle, add_file
from tsfmicro.errors import BackendError, BundleError, ContractError
from tsfmicro.runners import load
from tsfmicro.runners.openvino_import import import_openvino
from tsfmicro.runners.openvino_runner import OpenVinoRunner


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return add_file(a_bundle(tmp_path / "tiny.tsf"), "model.onnx", a_graph().SerializeToString())


@pytest.mark.parametrize("count", [1, 3, 20])
def test_it_computes_the_graph(bundle: Bundle, count: int) -> None:
    onset, apex = crops(count), crops(count, seed=2)
    with OpenVinoRunner(bundle, 1, "float32") as runner, load(bundle, "onnxruntime") as reference:
        assert (runner.backend, runner.device, runner.precision) == ("openvino", "cpu", "float32")
        found, wanted = runner.infer(onset, apex), reference.infer(onset, apex)
    np.testing.assert_allclose(found.logits, wanted.logits, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-4)


def test_the_best_precision_of_the_processor_is_used_and_told(bundle: Bundle) -> None:
    with load(bundle, "openvino", threads=1) as runner:
        assert isinstance(runner, OpenVinoRunner)
        has = "BF16" in runner._graph._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        assert runner.precision == ("bfloat16" if has else "float32")
        output = runner.infer(crops(2), crops(2, seed=2))
    assert output.probabilities.dtype == np.float32


def test_nobody_is_told_that_it_was_imported() -> None:
    """OpenVINO's own import starts its telemetry; ours leaves neither the module nor its thread."""
    code = (
        "import sys, threading\nfrom tsfmicro.runners.openvino_import import import_openvino\n"
        "import_openvino().Core()\nimport_openvino()\n"
        "print('openvino_telemetry' in sys.modules, threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["False", "1"]), done.stderr


def test_a_precision_the_processor_lacks_is_refused(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = import_openvino()

    monkeypatch.setattr(openvino, "Core", type("Old", (openvino.Core,), {"get_property": lambda *words: ["FP32"]}))
    with OpenVinoRunner(bundle, 1) as runner:
        assert runner.precision == "float32"
    with pytest.raises(BackendError, match="does not compute in bfloat16"):
        OpenVinoRunner(bundle, 1, "bfloat16")


def test_several_threads_at_once(bundle: Bundle) -> None:
    problems = []
    with OpenVinoRunner(bundle, 1, "float32") as runner:
        wanted = [runner.infer(crops(1, seed=i), crops(1, seed=i + 9)).logits for i in range(4)]

        def work(index: int) -> None:
            for _ in range(20):
                found = runner.infer(crops(1, seed=index), crops(1, seed=index + 9)).logits
                if not np.array_equal(found, wanted[index]):
                    problems.append(index)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert problems == []


def test_results_do_not_change_with_the_next_call(bundle: Bundle) -> None:
    with OpenVinoRunner(bundle, 1, "float32") as runner:
        first = runner.infer(crops(1), crops(1, seed=2))
        before = first.logits.copy()
        runner.infer(crops(1, seed=3), crops(1, seed=4))
        np.testing.assert_array_equal(first.logits, before)


def test_closed_and_wrong_crops(bundle: Bundle) -> None:
    runner = load(bundle, "openvino")
    with pytest.raises(ContractError, match="crops"):
        runner.infer(crops(1, side=31), crops(1, side=31))
    runner.close()
    runner.close()
    with pytest.raises(ContractError, match="closed"):
        runner.infer(crops(1), crops(1))


def test_bytes_that_are_no_graph(tmp_path: Path) -> None:
    bundle = add_file(a_bundle(tmp_path / "junk.tsf"), "model.onnx", b"not a graph")
    with pytest.raises(BundleError, match="no graph that OpenVINO can load") as caught:
        load(bundle, "openvino")
    assert caught.value.exit_code == 5
