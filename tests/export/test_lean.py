"""The form that is exported computes what the network computes, in float64, where a wrong order cannot hide."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from tests.export.traced import VARIANTS, lively, name_of  # noqa: E402
from tsfmicro.export.lean import LeanBlock, LeanSelfAttention, halves_order, lean, with_middle_tap  # noqa: E402
from tsfmicro.models.config import ModelConfig  # noqa: E402
from tsfmicro.models.fused import FusedRecognizer  # noqa: E402
from tsfmicro.models.layers import depthwise  # noqa: E402
from tsfmicro.values import Float64Array  # noqa: E402


def answers(fused: FusedRecognizer) -> Float64Array:
    """Logits in float64, before ``FusedRecognizer`` rounds them."""
    # Coarse squares: the temporal branch alone says little of pairs that hardly differ.
    squares = np.random.default_rng(4).integers(0, 256, (2, 2, 7, 7, 3), dtype=np.uint8)
    onset, apex = torch.from_numpy(squares.repeat(32, axis=2).repeat(32, axis=3))
    double = copy.deepcopy(fused).double()
    with torch.inference_mode():
        found: Float64Array = double.network(*double.prepare(onset, apex)).numpy()
    return found


@pytest.mark.parametrize("config", VARIANTS, ids=name_of)
def test_it_computes_the_same(config: ModelConfig) -> None:
    fused = lively(config)
    slim = lean(fused)
    wanted, found = answers(fused), answers(slim)
    # Not 1e-15: the rotary tables and the scale are float32 in both, and are multiplied in another order.
    tolerance = 1e-6 * float(np.abs(wanted).max())
    assert np.ptp(wanted, axis=0).max() > 1e3 * tolerance
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)
    changed = {type(module) for module in slim.network.modules()}
    if config.model == "tsfmicro" and config.fusion != "spatial":
        assert LeanBlock in changed
    if config.fusion not in ("early", "temporal"):
        assert LeanSelfAttention in changed


def test_the_network_is_left_alone() -> None:
    fused = lively(ModelConfig(size="small"))
    before = {name: tensor.clone() for name, tensor in fused.state_dict().items()}
    names = [name for name, _ in fused.named_modules()]
    lean(fused)
    assert [name for name, _ in fused.named_modules()] == names
    assert all(torch.equal(tensor, before[name]) for name, tensor in fused.state_dict().items())


def test_even_channels_of_every_head_come_first() -> None:
    assert halves_order(8, 2).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


@pytest.mark.parametrize("kernel", [3, 5])
def test_the_middle_tap_adds_the_input(kernel: int) -> None:
    torch.manual_seed(0)
    convolution, x = depthwise(6, kernel).double(), torch.randn(1, 6, 9, 7, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(with_middle_tap(convolution)(x), x + convolution(x))
