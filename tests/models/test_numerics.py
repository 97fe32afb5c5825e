"""Numbers: against a plain float64 implementation, in half precision, and through torch.compile."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from tsfmicro.benchmarks.naive import NaiveTSFmicro
from tsfmicro.bundle import Bundle, default_bundle_path, read_bundle
from tsfmicro.export.parity import probe_pairs
from tsfmicro.models import retention, spatial
from tsfmicro.models.config import ModelConfig, family
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.models.geometry import AxialGeometry, FullGeometry, Precomputed, StageGeometry
from tsfmicro.models.interface import Network
from tsfmicro.models.layers import attention
from tsfmicro.models.network import build

SMALL = [config for config in family() if config.size == "small"]
TRUTH = torch.tensor([0, 3])


pytestmark = pytest.mark.usefixtures("one_torch_thread")


def pictures(batch: int = 2) -> tuple[Tensor, Tensor]:
    difference, onset = torch.randn(2, batch, 3, 224, 224, generator=torch.Generator().manual_seed(4))
    return 0.1 * difference, onset


def gradients(network: nn.Module, difference: Tensor, onset: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    loss = nn.functional.cross_entropy(network(difference, onset).float(), TRUTH)
    torch.autograd.backward(loss)
    return {name: p.grad.double() for name, p in network.named_parameters() if p.grad is not None}


def cosine(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Of two gradients of the whole network."""
    ours, theirs = (torch.cat([grads[name].flatten() for name in sorted(grads)]) for grads in (a, b))
    return float(ours @ theirs / (ours.norm() * theirs.norm()))


# ---- float64 -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair_of_networks() -> tuple[Network, NaiveTSFmicro]:
    """Ours in float32 and the naive one in float64, with the same weights, large enough for attention to be uneven."""
    torch.manual_seed(11)
    ours = build(ModelConfig(size="small", drop_path=0.0))
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            if parameter.ndim == 2 and "head" not in name:
                parameter.mul_(4.0)
    naive = NaiveTSFmicro(divisor=4, classes=5)
    naive.load_state_dict(ours.state_dict())
    return ours, naive.double()


@pytest.mark.parametrize("training", [False, True])
def test_the_network_follows_the_formulas(pair_of_networks: tuple[Network, NaiveTSFmicro], training: bool) -> None:
    ours, naive = (network.train(training) for network in pair_of_networks)
    difference, onset = pictures()
    with torch.no_grad():
        logits, expected = ours(difference, onset), naive(difference.double(), onset.double())
    assert expected.std() > 0.01
    torch.testing.assert_close(logits.double(), expected, rtol=1e-4, atol=1e-5)


def test_gradients_follow_the_formulas(pair_of_networks: tuple[Network, NaiveTSFmicro]) -> None:
    ours, naive = (network.train() for network in pair_of_networks)
    difference, onset = pictures()
    found = gradients(ours, difference, onset)
    expected = gradients(naive, difference.double(), onset.double())
    assert found.keys() == expected.keys()
    largest = max(g.norm().item() for g in expected.values())
    still = {name for name, g in expected.items() if g.norm() < 1e-9 * largest}  # zero in exact arithmetic
    assert all(name.endswith("bias") for name in still)
    assert max(found[name].norm().item() for name in still) < 1e-4 * largest
    for name in expected.keys() - still:
        off = (found[name] - expected[name]).norm() / expected[name].norm()
        assert off < 1e-3, f"{name}: {off:.1e}"


# ---- half precision ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return read_bundle(default_bundle_path())


def trained(bundle: Bundle) -> FusedRecognizer:
    manifest = bundle.manifest
    network = build(dataclasses.replace(manifest.model.config(), drop_path=0.0))
    network.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in bundle.weights().items()})
    spec = manifest.preprocess
    return FusedRecognizer(network, spec.mean, spec.std, manifest.calibration.temperature).eval()


def near_zero(kind: str) -> tuple[Tensor, Tensor]:
    """Crops whose difference is what a micro-expression, a still camera or a repeated frame leaves of it."""
    onset, apex = probe_pairs(3, seed=5)
    if kind == "noise":
        steps = np.random.default_rng(0).integers(-1, 2, onset.shape)
        apex = np.clip(onset.astype(np.int16) + steps, 0, 255).astype(np.uint8)
    elif kind == "equal":
        apex = onset
    return torch.from_numpy(onset), torch.from_numpy(apex)


@pytest.mark.parametrize("kind", ["moved", "noise", "equal"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-3), (torch.bfloat16, 1e-2)])
def test_half_precision_recognises_the_same(bundle: Bundle, kind: str, dtype: torch.dtype, tolerance: float) -> None:
    """Trained weights; measured 4e-4 and 4e-3. An eighth of the mantissa is lost on the way, not more."""
    onset, apex = near_zero(kind)
    with torch.inference_mode():
        expected, _ = trained(bundle)(onset, apex)
        found, logits = trained(bundle).to(dtype)(onset, apex)
    assert found.dtype == logits.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def test_gradients_survive_bfloat16(bundle: Bundle) -> None:
    fused = trained(bundle)
    fused.train()
    difference, onset = fused.prepare(*(crop[:2] for crop in near_zero("noise")))
    exact = gradients(fused.network, difference, onset)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = gradients(fused.network, difference, onset)
    assert all(bool(g.isfinite().all()) for g in rounded.values())
    assert cosine(exact, rounded) > 0.99


@pytest.mark.parametrize("kind", ["moved", "noise"])
def test_scores_decay_and_softmax_in_float32_would_bring_gradients_no_nearer(
    bundle: Bundle, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What bfloat16 loses on differences near zero (.04 and .09 of the gradient) is lost elsewhere."""

    def in_float32(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            wide = None if bias is None else bias.float()
            return scaled_dot_product_attention(query.float(), key.float(), value.float(), attn_mask=wide)

    fused = trained(bundle)
    fused.train()
    difference, onset = fused.prepare(*(crop[:2] for crop in near_zero(kind)))
    exact = gradients(fused.network, difference, onset)

    def lost() -> float:
        with torch.autocast("cpu", torch.bfloat16):
            rounded = gradients(fused.network, difference, onset)
        return math.sqrt(sum(float((rounded[name] - exact[name]).square().sum()) for name in exact))

    ours = lost()
    for module in (retention, spatial):
        monkeypatch.setattr(module, "attention", in_float32)
    assert ours < 1.1 * lost()


@pytest.mark.parametrize("biased", [False, True])
def test_attention_under_autocast_on_a_cpu_is_as_near_as_the_fused_kernel(biased: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (x.bfloat16().requires_grad_() for x in torch.randn(3, 2, 2, 50, 16, generator=generator))
    bias = torch.randn(1, 2, 50, 50, generator=generator).bfloat16() if biased else None
    back = torch.randn(2, 2, 50, 16, generator=generator)

    def outcome(autocast: bool, widened: bool) -> list[Tensor]:
        q.grad = k.grad = v.grad = None
        query, key, value = (x.double() if widened else x for x in (q, k, v))
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            found = attention(query, key, value, bias.double() if widened and bias is not None else bias)
        if autocast:
            assert "ScaledDotProduct" not in str(found.grad_fn) and found.dtype == torch.bfloat16
        torch.autograd.backward((found.double() * back).sum())
        return [found.detach().double(), *(x.grad.double() for x in (q, k, v) if x.grad is not None)]

    exact, fused, written_out = outcome(False, True), outcome(False, False), outcome(True, False)
    assert len(exact) == 4
    for wanted, kernel, ours in zip(exact, fused, written_out, strict=True):
        assert (ours - wanted).norm() < max(2 * float((kernel - wanted).norm()), 0.01 * float(wanted.norm()))


@pytest.mark.parametrize("keep", [Precomputed, lambda formula: formula], ids=["precomputed", "formula"])
@pytest.mark.parametrize("geometry", [AxialGeometry, FullGeometry])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_positions_and_decay_keep_their_precision(
    keep: Callable[[StageGeometry], nn.Module], geometry: type[StageGeometry], dtype: torch.dtype
) -> None:
    exact, halved = geometry(28, 28, 2, 16, 2.0, 6.0)(), keep(geometry(28, 28, 2, 16, 2.0, 6.0)).to(dtype)()
    assert torch.equal(halved.phases.cos, exact.phases.cos) and torch.equal(halved.phases.sin, exact.phases.sin)
    for ours, theirs in zip(halved.biases, exact.biases, strict=True):
        assert torch.equal(ours, theirs)


def test_tables_are_computed_when_the_network_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(ModelConfig(size="small"))
    assert not {name for name in network.state_dict() if "geometry" in name}
    for formula in (AxialGeometry, FullGeometry):
        monkeypatch.setattr(formula, "forward", lambda self: pytest.fail("computed in a pass"))
    with torch.no_grad():
        network.eval()(*pictures())


# ---- torch.compile -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("config", SMALL, ids=lambda config: f"{config.model}-{config.fusion}")
def test_compiles_without_a_graph_break(config: ModelConfig, training: bool) -> None:
    torch.compiler.reset()
    network = build(dataclasses.replace(config, drop_path=0.0)).train(training)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    inputs = pictures()
    with torch.no_grad():
        torch.testing.assert_close(compiled(*inputs), network(*inputs))


def test_the_fused_recogniser_compiles_without_a_graph_break(bundle: Bundle) -> None:
    torch.compiler.reset()
    fused = trained(bundle)
    onset, apex = near_zero("moved")
    with torch.no_grad():
        explained = torch._dynamo.explain(fused)(onset, apex)
    assert (explained.graph_count, explained.graph_break_count) == (1, 0)
