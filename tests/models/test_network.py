"""The late network part by part: sizes, retention against the formulas written out as loops, the fused module."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tsfmicro.errors import ContractError
from tsfmicro.models.config import ModelConfig
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.models.geometry import AxialGeometry, FullGeometry, StageGeometry
from tsfmicro.models.interface import Network
from tsfmicro.models.layers import DropPath
from tsfmicro.models.network import LateFusion, build
from tsfmicro.models.retention import AxialRetention, FullRetention, Retention, RetentionBlock
from tsfmicro.models.spatial import resize_matrix
from tsfmicro.preprocess import IMAGENET_MEAN, IMAGENET_STD
from tsfmicro.values import Float64Array

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def blocks_of(stage: torch.nn.Module) -> list[RetentionBlock]:
    return [module for module in stage.modules() if isinstance(module, RetentionBlock)]


def late(config: ModelConfig) -> LateFusion:
    network = build(config)
    assert isinstance(network, LateFusion)
    return network


def random_pair(batch: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    onset, apex = torch.randint(0, 256, (2, batch, 224, 224, 3), dtype=torch.uint8, generator=generator)
    return onset, apex


# ---- configuration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [{"size": "large"}, {"fusion": "middle"}, {"classes": 1}, {"drop_path": 1.0}, {"drop_path": math.nan}]
)
def test_config_refuses_what_does_not_exist(wrong: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        ModelConfig(**wrong)


def test_drop_path_rises_linearly() -> None:
    assert ModelConfig().drop_path_rates == pytest.approx((0.0, 0.025, 0.05, 0.075, 0.1))
    blocks = [block for stage in late(ModelConfig(size="small")).temporal.stages for block in blocks_of(stage)]
    assert [block.drop_path.rate for block in blocks] == pytest.approx([0.0, 0.025, 0.05, 0.075, 0.1])


def test_importing_the_package_and_the_config_leaves_torch_out() -> None:
    code = "import sys, tsfmicro.models, tsfmicro.models.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- size ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "parameters"), [(3, 12_787_363), (4, 12_788_388), (5, 12_789_413), (7, 12_791_463)]
)
def test_base_has_the_published_number_of_parameters(classes: int, parameters: int) -> None:
    assert count(build(ModelConfig(classes=classes))) == parameters


def test_small_has_a_quarter_of_the_width() -> None:
    assert count(build(ModelConfig(size="small"))) == 841_325


def test_every_part_has_its_published_size() -> None:
    network = late(ModelConfig())
    assert count(network.temporal.stem) == 65_952
    assert [count(merge) for merge in network.temporal.merges] == [74_112, 295_680, 1_181_184]
    blocks = [[count(block) for block in blocks_of(stage)] for stage in network.temporal.stages]
    assert blocks == [[45_952], [173_824], [675_328, 675_328], [2_661_376]]
    assert [count(block) for block in network.spatial.blocks] == [3_152_384, 3_152_384]
    assert count(network.spatial) == 2_048 + 100_352 + 2 * 3_152_384 + 1_024
    assert count(network.head) == 525_312 + 2_048 + 5_125


def test_state_dict_holds_parameters_and_batch_norm_statistics_only() -> None:
    network = build(ModelConfig(size="small"))
    extra = set(network.state_dict()) - {name for name, _ in network.named_parameters()}
    assert {name.rsplit(".", 1)[1] for name in extra} == {"running_mean", "running_var", "num_batches_tracked"}


def test_linears_start_from_a_narrow_truncated_normal() -> None:
    torch.manual_seed(0)
    network = late(ModelConfig())
    weight = network.get_parameter("temporal.stages.3.blocks.0.retention.qkv.weight")
    assert weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert network.spatial.position.std().item() == pytest.approx(0.02, rel=0.02)
    assert not network.head.classify.bias.any()


# ---- retention against the formulas --------------------------------------------------------------------------------


def softmax(scores: Float64Array) -> Float64Array:
    weights = np.exp(scores - scores.max())
    result: Float64Array = weights / weights.sum()
    return result


def naive_rotate(vector: Float64Array, position: int) -> Float64Array:
    """Rotate pairs (2m, 2m+1) of one head's vector by position * 10000^(-m / (d/2 - 1))."""
    half = len(vector) // 2
    out = np.empty_like(vector)
    for m in range(half):
        angle = position * 10000.0 ** (-m / (half - 1))
        a, b = vector[2 * m], vector[2 * m + 1]
        out[2 * m] = a * math.cos(angle) - b * math.sin(angle)
        out[2 * m + 1] = a * math.sin(angle) + b * math.cos(angle)
    return out


def naive_retention(layer: Retention, x: Float64Array, first: float, span: float, form: str) -> Float64Array:
    """Retention of one (H, W, C) map in float64 loops."""
    height, width, channels = x.shape
    heads = layer.heads
    d = channels // heads
    state = {name: value.double().numpy() for name, value in layer.state_dict().items()}
    projected = x @ state["qkv.weight"].T + state["qkv.bias"]
    query, key, value = (projected[..., i * channels : (i + 1) * channels] for i in range(3))
    attended = np.zeros_like(x)
    for h in range(heads):
        log_gamma = math.log(1.0 - 2.0 ** -(first + span * h / heads))
        part = slice(h * d, (h + 1) * d)
        q, k = np.zeros((height, width, d)), np.zeros((height, width, d))
        for i in range(height):
            for j in range(width):
                q[i, j] = naive_rotate(query[i, j, part], i * width + j)
                k[i, j] = naive_rotate(key[i, j, part], i * width + j) / math.sqrt(d)
        v = value[..., part]
        if form == "full":
            for i in range(height):
                for j in range(width):
                    cells = [(a, b) for a in range(height) for b in range(width)]
                    scores = [q[i, j] @ k[a, b] + log_gamma * (abs(i - a) + abs(j - b)) for a, b in cells]
                    weights = softmax(np.array(scores))
                    attended[i, j, part] = sum(w * v[a, b] for w, (a, b) in zip(weights, cells, strict=True))
        else:
            rows = np.zeros((height, width, d))
            for i in range(height):
                for j in range(width):
                    scores = [q[i, j] @ k[i, b] + log_gamma * abs(j - b) for b in range(width)]
                    rows[i, j] = softmax(np.array(scores)) @ v[i]
            for i in range(height):
                for j in range(width):
                    scores = [q[i, j] @ k[a, j] + log_gamma * abs(i - a) for a in range(height)]
                    attended[i, j, part] = softmax(np.array(scores)) @ rows[:, j]
    padded = np.pad(value, ((2, 2), (2, 2), (0, 0)))
    kernel = state["local.weight"][:, 0]  # (C, 5, 5)
    for i in range(height):
        for j in range(width):
            local = np.einsum("abc,cab->c", padded[i : i + 5, j : j + 5], kernel) + state["local.bias"]
            attended[i, j] += local
    out: Float64Array = attended @ state["out.weight"].T + state["out.bias"]
    return out


@pytest.mark.parametrize(
    ("geometry_type", "retention_type", "form", "span"),
    [(AxialGeometry, AxialRetention, "axial", 4.0), (FullGeometry, FullRetention, "full", 6.0)],
)
@pytest.mark.parametrize(("height", "width", "heads"), [(4, 6, 2), (5, 3, 4)])
def test_retention_follows_the_formulas(
    geometry_type: type[StageGeometry],
    retention_type: type[Retention],
    form: str,
    span: float,
    height: int,
    width: int,
    heads: int,
) -> None:
    torch.manual_seed(3)
    channels = heads * 8
    layer = retention_type(channels, heads)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.6)
    x = torch.randn(2, height, width, channels)
    geometry = geometry_type(height, width, heads, channels // heads, 2.0, span)
    with torch.no_grad():
        ours = layer(x, geometry()).double().numpy()
    for sample in range(2):
        expected = naive_retention(layer, x[sample].double().numpy(), 2.0, span, form)
        np.testing.assert_allclose(ours[sample], expected, rtol=1e-4, atol=1e-4)


def test_decay_falls_with_manhattan_distance_at_the_published_rate() -> None:
    geometry = FullGeometry(3, 4, 2, 8, 2.0, 6.0)
    (bias,) = geometry().biases
    assert bias.shape == (1, 2, 12, 12)
    assert bias[0, 0, 0, 11].item() == pytest.approx(5 * math.log(0.75), rel=1e-6)
    assert bias[0, 1, 0, 11].item() == pytest.approx(5 * math.log(1 - 2**-5), rel=1e-6)
    assert not bias.diagonal(dim1=2, dim2=3).any()


def test_angles_stay_exact_far_from_the_origin() -> None:
    phases = AxialGeometry(112, 112, 2, 8, 2.0, 4.0).phases()
    angles = np.outer(np.arange(112 * 112), np.repeat(10000.0 ** (-np.arange(4) / 3), 2))
    signs = np.tile([-1.0, 1.0], 4)
    for head in range(2):
        channels = slice(8 * head, 8 * head + 8)
        np.testing.assert_allclose(phases.cos.flatten(0, 1)[:, channels].numpy(), np.cos(angles), atol=3e-7)
        np.testing.assert_allclose(phases.sin.flatten(0, 1)[:, channels].numpy(), signs * np.sin(angles), atol=3e-7)


# ---- network -------------------------------------------------------------------------------------------------------


def test_drop_path_keeps_the_mean_and_rests_in_evaluation() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.25)
    dropped = drop(torch.ones(4000, 1, 1, 1))
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.03)
    assert torch.equal(drop.eval()(torch.ones(3, 2)), torch.ones(3, 2))


@pytest.mark.parametrize(("source", "target"), [(224, 14), (224, 16), (50, 7), (33, 10)])
def test_resize_is_antialiased_bilinear(source: int, target: int) -> None:
    image = torch.rand(2, 3, source, source, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    matrix = resize_matrix(source, target)
    expected = torch.nn.functional.interpolate(
        image, size=(target, target), mode="bilinear", antialias=True, align_corners=False
    )
    torch.testing.assert_close(matrix @ image @ matrix.T, expected, rtol=1e-6, atol=1e-6)


# ---- fused ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return build(ModelConfig(size="small")).eval()


def test_fused_is_normalise_network_softmax(network: Network) -> None:
    onset, apex = random_pair(2)
    fused = FusedRecognizer(network, IMAGENET_MEAN, IMAGENET_STD).eval()
    with torch.no_grad():
        probabilities, logits = fused(onset, apex)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    first, second = (((crop.permute(0, 3, 1, 2) / 255) - mean) / std for crop in (onset, apex))
    with torch.no_grad():
        expected = network(second - first, first)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(probabilities, expected.softmax(1), rtol=1e-4, atol=1e-5)
    assert probabilities.dtype == logits.dtype == torch.float32


def test_prepare_takes_the_difference_exactly(network: Network) -> None:
    onset, apex = random_pair(1)
    fused = FusedRecognizer(network, IMAGENET_MEAN, IMAGENET_STD)
    difference, first = fused.prepare(onset, apex)
    assert difference.shape == first.shape == (1, 3, 224, 224)
    assert not fused.prepare(onset, onset)[0].any()
    assert torch.equal(fused.prepare(apex, onset)[0], -difference)


def test_equal_pictures_give_finite_results(network: Network) -> None:
    onset, _ = random_pair(1)
    fused = FusedRecognizer(network, IMAGENET_MEAN, IMAGENET_STD).eval()
    black = torch.zeros_like(onset)
    with torch.no_grad():
        for picture in (onset, black):
            probabilities, logits = fused(picture, picture)
            assert probabilities.isfinite().all() and logits.isfinite().all()
            assert probabilities.sum().item() == pytest.approx(1.0, abs=1e-6)


def test_temperature_divides_the_logits(network: Network) -> None:
    onset, apex = random_pair(1)
    with torch.no_grad():
        _, plain = FusedRecognizer(network, IMAGENET_MEAN, IMAGENET_STD)(onset, apex)
        probabilities, logits = FusedRecognizer(network, IMAGENET_MEAN, IMAGENET_STD, temperature=2.5)(onset, apex)
    torch.testing.assert_close(logits, plain / 2.5)
    torch.testing.assert_close(probabilities, logits.softmax(1))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_fused_refuses_an_impossible_temperature(network: Network, temperature: float) -> None:
    with pytest.raises(ContractError):
        FusedRecognizer(network, IMAGENET_MEAN, IMAGENET_STD, temperature=temperature)


def test_fused_refuses_an_impossible_std(network: Network) -> None:
    with pytest.raises(ContractError):
        FusedRecognizer(network, IMAGENET_MEAN, (0.2, 0.0, 0.2))
