"""The whole of FDP against its formulas, its sizes and its ablations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn.functional import (  # noqa: E402
    avg_pool2d,
    batch_norm,
    conv2d,
    conv_transpose2d,
    layer_norm,
    linear,
    max_pool2d,
)

from tsfmicro.errors import ContractError  # noqa: E402
from tsfmicro.models.fdp.config import FdpConfig, LossWeights, harmonic_coefficients  # noqa: E402
from tsfmicro.models.fdp.frames import GlobalBlock, LocalBlock, WindowDropPath  # noqa: E402
from tsfmicro.models.fdp.fused import LUMA, FusedWindow  # noqa: E402
from tsfmicro.models.fdp.loss import joint_loss  # noqa: E402
from tsfmicro.models.fdp.network import FdpOutput, build_fdp  # noqa: E402
from tsfmicro.models.fdp.ranking import dynamic_images, order_loss  # noqa: E402
from tsfmicro.models.interface import Recognizer  # noqa: E402
from tsfmicro.models.recogniser import build_any, recogniser  # noqa: E402
from tsfmicro.preprocess import IMAGENET_MEAN, IMAGENET_STD  # noqa: E402

HEADS = (3, 6, 12, 24)
ABLATIONS = [
    FdpConfig(size="small"),
    FdpConfig(size="small", global_blocks="none"),
    FdpConfig(size="small", rank_scorer="none"),
    FdpConfig(size="small", dynamic_image="none"),
    FdpConfig(size="small", frames=5),
]


def network(config: FdpConfig) -> Any:
    """With batch norms and ranks that are not what they begin as, in float64 and evaluation mode."""
    torch.manual_seed(4)
    made: Any = build_fdp(config).double()
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            if name.endswith("running_mean"):
                tensor.normal_(0.0, 0.2)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif name == "order.pooling.influence":
                tensor.fill_(0.4)
            elif "norm" in name and name.endswith("weight"):
                tensor.uniform_(0.5, 1.5)
    return made.eval()


class Formulas:
    """The network once more, from its state dict and functional calls, one window and one frame at a time."""

    def __init__(self, made: Any) -> None:
        self.config: FdpConfig = made.config
        self.state = made.state_dict()

    def norm(self, name: str, x: Any) -> Any:
        mean, variance, weight, bias = (
            self.state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return batch_norm(x, mean, variance, weight, bias, eps=1e-5)

    def conv(self, name: str, x: Any, **how: Any) -> Any:
        return conv2d(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"), **how)

    def linear(self, name: str, x: Any) -> Any:
        return linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def feed_forward(self, name: str, x: Any) -> Any:
        return self.conv(f"{name}.3", self.conv(f"{name}.1", self.norm(f"{name}.0", x)).relu())

    def local(self, name: str, x: Any, heads: int) -> Any:
        each = x.chunk(heads, dim=1)
        kernels = self.state[f"{name}.mix.0.weight"].chunk(heads, dim=0)
        joined = torch.cat([conv2d(part, k, padding=1) for part, k in zip(each, kernels, strict=True)], dim=1)
        x = x + self.conv(f"{name}.mix.3", self.norm(f"{name}.mix.1", joined).relu())
        return x + self.feed_forward(f"{name}.ffn", x)

    def attend(self, name: str, x: Any, heads: int) -> Any:
        width, side = x.shape[1], x.shape[2]
        tokens = self.conv(f"{name}.project", x)[0].reshape(width, -1).T
        at = f"{name}.attention_norm"
        tokens = layer_norm(tokens, (width,), self.state[f"{at}.weight"], self.state[f"{at}.bias"], eps=1e-6)
        query, key, value = self.linear(f"{name}.attention.qkv", tokens).chunk(3, dim=1)
        out = torch.empty_like(value)
        each = width // heads
        for head in range(heads):
            part = slice(head * each, (head + 1) * each)
            weights = (query[:, part] @ key[:, part].T / each**0.5).softmax(dim=1)
            out[:, part] = weights @ value[:, part]
        return self.linear(f"{name}.attention.out", out).T.reshape(1, width, side, side)

    def frame(self, x: Any) -> Any:
        for layer, stride in zip((0, 3, 6, 9), (2, 1, 1, 2), strict=True):
            x = self.conv(f"frames.stem.{layer}", x, stride=stride, padding=1)
            x = self.norm(f"frames.stem.{layer + 1}", x).relu()
        first = None
        for stage, heads in enumerate(HEADS):
            at = 0
            if stage > 0:
                x, at = avg_pool2d(x, 2), 1
            x = self.norm(f"frames.embeddings.{stage}.{at + 1}", self.conv(f"frames.embeddings.{stage}.{at}", x))
            depth = self.config.local_depths[stage]
            for block in range(depth):
                x = self.local(f"frames.stages.{stage}.{block}", x, heads)
            last = f"frames.stages.{stage}.{depth}"
            if self.config.global_blocks == "last":
                x = x + self.attend(last, x, heads)
                x = x + self.feed_forward(f"{last}.ffn", x)
            else:
                x = self.local(last, x, heads)
            first = x if stage == 0 else first
        spread = self.conv("frames.project", self.norm("frames.norm", x))[0]
        width = self.config.dynamic_width
        whole = torch.empty(width, 16, 16, dtype=x.dtype)
        for row in range(16):
            for column in range(16):
                channel = torch.arange(width) * 64 + (row % 8) * 8 + column % 8
                whole[:, row, column] = spread[channel, row // 8, column // 8]
        return whole + self.conv("frames.detail", first)[0]

    def window(self, frames: Any) -> tuple[Any, Any, Any]:
        features = torch.stack([self.frame(frame[None, None]) for frame in frames])
        rank, scores = torch.ones(len(frames), dtype=features.dtype), None
        if self.config.rank_scorer == "pairwise":
            flat = features.flatten(1)
            smoothed = torch.stack([flat[: t + 1].mean(dim=0) for t in range(len(flat))])
            centred = smoothed - smoothed.mean(dim=0)
            centred = centred / (centred.square().mean() + 1e-8).sqrt()
            hidden = self.linear("order.scorer.hidden", centred).relu()
            scores = hidden @ self.state["order.scorer.score.weight"][0]
            rank = 1 + self.state["order.pooling.influence"] * torch.tanh(scores - scores.mean())
        weights = self.state["order.pooling.weights"] * rank
        pooled = ((features - features.mean(dim=0)) * weights[:, None, None, None]).sum(dim=0)
        dynamic = self.norm("order.pooling.norm", pooled[None])
        hidden = self.linear("head.hidden", max_pool2d(dynamic, 2).flatten(1)).relu()
        return self.linear("head.classify", hidden)[0], scores, self.image(dynamic)

    def image(self, x: Any) -> Any:
        if self.config.dynamic_image == "none":
            return None
        seen = []
        for layer, stride in enumerate((1, 2, 2)):
            at = f"image.encoder.{layer}"
            x = self.norm(f"{at}.1", self.conv(f"{at}.0", x, stride=stride, padding=1)).relu()
            seen.append(x)
        for layer in range(4):
            at = f"image.decoder.{layer}"
            x = conv_transpose2d(x, self.state[f"{at}.0.weight"], stride=2, padding=1)
            x = self.norm(f"{at}.1", x).relu()
            if layer < 2:
                x = x + seen[1 - layer]
        return self.conv("image.draw", x, padding=1).sigmoid()[0, 0]


@pytest.mark.parametrize("config", ABLATIONS, ids=lambda c: "-".join(map(str, c.options.values())) or "whole")
def test_it_follows_the_formulas(config: FdpConfig) -> None:
    made = network(config)
    windows = torch.randn(2, config.frames, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        found = made(windows)
        for index, window in enumerate(windows):
            logits, scores, image = Formulas(made).window(window)
            torch.testing.assert_close(found.logits[index], logits, atol=1e-6, rtol=1e-6)  # 1/t is kept in float32
            if scores is None:
                assert found.scores is None
            else:
                torch.testing.assert_close(found.scores[index], scores, atol=1e-6, rtol=1e-6)
            if image is None:
                assert found.dynamic_image is None
            else:
                torch.testing.assert_close(found.dynamic_image[index], image, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("config", [FdpConfig(), FdpConfig(size="small")], ids=lambda c: c.size)
def test_both_kinds_of_block_are_built(config: FdpConfig) -> None:
    """The released program defines global blocks and never builds one."""
    with torch.device("meta"):
        stages: Any = build_fdp(config).frames.stages
    for stage, depth in zip(stages, config.local_depths, strict=True):
        assert [type(block) for block in stage] == [LocalBlock] * depth + [GlobalBlock]
    plain = FdpConfig(size=config.size, global_blocks="none")
    with torch.device("meta"):
        without: Any = build_fdp(plain).frames.stages
    assert [[type(block) for block in stage] for stage in without] == [[LocalBlock] * len(stage) for stage in stages]


def test_stochastic_depth_invents_no_movement() -> None:
    """A still window stays still in training, whichever branches are dropped; windows are dropped apart."""
    torch.manual_seed(0)
    made: Any = build_fdp(FdpConfig(size="small", drop_path=0.9)).train()
    still = torch.randn(6, 1, 64, 64).expand(6, 8, 64, 64)
    with torch.no_grad():
        features = made.frames(still.flatten(0, 1).unsqueeze(1)).reshape(6, 8, -1)
    torch.testing.assert_close(features, features[:, :1].expand_as(features), atol=1e-5, rtol=1e-5)
    drop = WindowDropPath(0.4, 3).train()
    kept = drop(torch.ones(3000, 2)).reshape(1000, 3, 2)
    assert set(kept.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.6))}
    assert (kept == kept[:, :1, :1]).all() and float(kept.mean()) == pytest.approx(1.0, abs=0.1)
    assert torch.equal(drop.eval()(torch.ones(6, 2)), torch.ones(6, 2))


def test_published_depths() -> None:
    assert [depth + 1 for depth in FdpConfig().local_depths] == [3, 4, 10, 3]
    assert FdpConfig().stage_widths == (96, 192, 384, 768)


def test_every_weight_is_learned_from() -> None:
    """A gradient reaches everything, the influence of the scores included."""
    made = build_fdp(FdpConfig(size="small", drop_path=0.0))
    fused = FusedWindow(made, IMAGENET_MEAN, IMAGENET_STD)
    crops = torch.randint(0, 256, (3, 8, 224, 224, 3), dtype=torch.uint8)
    loss, logits = fused.loss(crops, torch.tensor([0, 1, 2]))
    torch.autograd.backward(loss)
    lacking = [
        name
        for name, p in made.named_parameters()
        if p.grad is None or not bool(p.grad.isfinite().all()) or float(p.grad.abs().max()) == 0
    ]
    assert lacking == []
    assert logits.shape == (3, 5)


def test_the_same_seed_gives_the_same_network() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(9)
        states.append(build_any(FdpConfig(size="small")).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_pooling_weights_begin_at_the_closed_form() -> None:
    weights = build_fdp(FdpConfig(size="small")).state_dict()["order.pooling.weights"]
    np.testing.assert_allclose(weights.numpy(), harmonic_coefficients(8), rtol=1e-6)


def test_crops_become_small_grey_frames() -> None:
    fused: Any = FusedWindow(build_fdp(FdpConfig(size="small")), IMAGENET_MEAN, IMAGENET_STD)
    crops = torch.randint(0, 256, (2, 8, 224, 224, 3), dtype=torch.uint8)
    found = fused.prepare(crops).double()
    normalised = (crops.double() / 255 - torch.tensor(IMAGENET_MEAN).double()) / torch.tensor(IMAGENET_STD).double()
    grey = sum(share * normalised[..., channel] for channel, share in enumerate(LUMA))
    expected = torch.nn.functional.interpolate(grey, (64, 64), mode="bilinear", antialias=True)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_the_fused_module_answers_with_temperature() -> None:
    made = build_fdp(FdpConfig(size="small")).eval()
    fused = FusedWindow(made, IMAGENET_MEAN, IMAGENET_STD, temperature=2.5).eval()
    crops = torch.randint(0, 256, (2, 8, 224, 224, 3), dtype=torch.uint8)
    with torch.no_grad():
        probabilities, logits, image = fused(crops)
        plain = fused.logits(crops)
        shapes = [tuple(answer.shape) for answer in FusedWindow(
            build_fdp(FdpConfig(size="small", dynamic_image="none")).eval(), IMAGENET_MEAN, IMAGENET_STD
        )(crops)]  # fmt: skip
    torch.testing.assert_close(logits, plain / 2.5)
    torch.testing.assert_close(probabilities, (plain / 2.5).softmax(dim=1))
    assert image.shape == (2, 64, 64) and 0 <= float(image.min()) <= float(image.max()) <= 1
    assert shapes == [(2, 5), (2, 5)]
    with pytest.raises(ContractError, match="temperature is 0"):
        FusedWindow(made, IMAGENET_MEAN, IMAGENET_STD, temperature=0.0)


def output(seed: int) -> tuple[FdpOutput, Any, Any]:
    generator = torch.Generator().manual_seed(seed)
    windows = torch.rand(3, 8, 64, 64, dtype=torch.float64, generator=generator)
    logits = torch.randn(3, 5, dtype=torch.float64, generator=generator)
    scores = torch.randn(3, 8, dtype=torch.float64, generator=generator)
    image = torch.rand(3, 64, 64, dtype=torch.float64, generator=generator)
    return FdpOutput(logits, scores, image), windows, torch.tensor([0, 3, 4])


def test_the_joint_loss_is_the_weighted_sum() -> None:
    said, windows, truth = output(1)
    probabilities = said.logits.softmax(dim=1)
    recognition = -np.mean([np.log(float(probabilities[i, t])) for i, t in enumerate(truth)])
    assert said.scores is not None and said.dynamic_image is not None
    order = float(order_loss(said.scores))
    construction = float(((said.dynamic_image - dynamic_images(windows)) ** 2).mean())
    for weights in (LossWeights(), LossWeights(2.0, 0.5, 7.0), LossWeights(0.0, 1.0, 0.0)):
        expected = weights.recognition * recognition + weights.order * order + weights.dynamic_image * construction
        assert float(joint_loss(said, windows, truth, weights)) == pytest.approx(expected, rel=1e-5)
    alone = FdpOutput(said.logits, None, None)
    assert float(joint_loss(alone, windows, truth, LossWeights())) == pytest.approx(recognition, rel=1e-5)


@pytest.mark.parametrize("name", ["recognition", "order", "dynamic_image"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_impossible_weights_are_refused(name: str, value: float) -> None:
    with pytest.raises(ContractError, match=f"LossWeights.{name}"):
        LossWeights(**{name: value})


@pytest.mark.parametrize("views", ["pairs", "window"])
def test_any_network_learns_through_one_interface(views: str) -> None:
    from tsfmicro.models.config import ModelConfig

    config = FdpConfig(size="small") if views == "window" else ModelConfig(size="small", fusion="spatial")
    made = recogniser(build_any(config), IMAGENET_MEAN, IMAGENET_STD)
    assert isinstance(made, Recognizer)
    crops = torch.randint(0, 256, (2, 8 if views == "window" else 2, 224, 224, 3), dtype=torch.uint8)
    loss, logits = made.loss(crops, torch.tensor([1, 2]))
    assert logits.shape == (2, 5) and loss.requires_grad
    if views == "pairs":
        expected = torch.nn.functional.cross_entropy(made.logits(crops), torch.tensor([1, 2]))
        assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
