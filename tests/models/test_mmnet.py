"""MMNet against its formulas."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.nn.functional import batch_norm, conv2d, linear, max_pool2d  # noqa: E402

from tsfmicro.models.config import ModelConfig  # noqa: E402
from tsfmicro.models.mmnet import MotionAttention  # noqa: E402
from tsfmicro.models.network import build  # noqa: E402


def network() -> Any:
    made: Any = build(ModelConfig(model="mmnet", size="small")).double()
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            if name.endswith("running_mean"):
                tensor.normal_(0.0, 0.2)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
    return made.eval()


def test_every_part_has_its_size() -> None:
    with torch.device("meta"):
        made: Any = build(ModelConfig(model="mmnet"))
    stem = 3 * 180 * 9 + 180 + 2 * 180 + 180 * 128 * 9 + 128 + 2 * 128
    assert sum(p.numel() for p in made.motion.stem.parameters()) == stem

    def block(width: int, next_width: int, stride: int) -> int:
        residual = width * next_width * 9 + next_width**2 + 2 * (next_width + 2 * next_width)
        shortcut = 0 if stride == 1 else width * next_width + next_width + 2 * next_width
        return residual + shortcut + (2 + 1 + 2)

    expected = [block(128, 128, 1), block(128, 128, 2), block(128, 256, 2), block(256, 512, 2)]
    assert [sum(p.numel() for p in b.parameters()) for b in made.motion.blocks] == expected
    assert sum(p.numel() for p in made.spatial.parameters()) == 6_408_192
    assert sum(p.numel() for p in made.head.parameters()) == 196 * 512 * 5 + 5


def test_it_follows_the_formulas() -> None:
    """The whole network once more, from its state dict and functional calls."""
    made = network()
    state = made.state_dict()

    def layer(name: str, index: int, x: Any, **how: Any) -> Any:
        """Convolution ``name.index`` and the batch norm after it."""
        at, norm = f"{name}.{index}", f"{name}.{index + 1}"
        x = conv2d(x, state[f"{at}.weight"], state[f"{at}.bias"], **how)
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        return batch_norm(x, mean, variance, state[f"{norm}.weight"], state[f"{norm}.bias"], eps=1e-5)

    torch.manual_seed(2)
    difference, onset = torch.randn(2, 2, 3, 224, 224, dtype=torch.float64)
    x = layer("motion.stem", 0, difference, stride=2, padding=1).clamp(min=0)
    x = layer("motion.stem", 3, x, padding=1).clamp(min=0)
    before = None
    for number, stride in enumerate((1, 2, 2, 2)):
        at = f"motion.blocks.{number}"
        y = layer(f"{at}.convolve", 0, x, stride=stride, padding=1).clamp(min=0)
        y = layer(f"{at}.convolve", 3, y)
        y = (y + (x if stride == 1 else layer(f"{at}.shortcut", 0, x, stride=stride))).clamp(min=0)
        pooled = torch.stack([y.mean(dim=1), y.max(dim=1).values], dim=1)
        attention = 1 / (1 + torch.exp(-layer(f"{at}.attention.weigh", 0, pooled)))
        if before is not None:
            attention = attention * max_pool2d(before, 3, 2, 1)
        x, before = y * attention, attention
    assert x.shape == (2, 128, 14, 14)
    fused = x.permute(0, 2, 3, 1) + made.spatial(onset)
    expected = linear(fused.flatten(1), state["head.classify.weight"], state["head.classify.bias"])
    with torch.no_grad():
        torch.testing.assert_close(made(difference, onset), expected)


def test_it_starts_from_kaimings_weights() -> None:
    torch.manual_seed(0)
    made: Any = build(ModelConfig(model="mmnet"))
    wide = made.motion.blocks[3].convolve[0].weight  # (512, 256, 3, 3)
    assert wide.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    assert made.spatial.blocks[0].attention.qkv.weight.std().item() == pytest.approx(0.02, rel=0.02)
    # Over a hundred thousand inputs, so that 0.02 would begin with logits in the tens.
    assert made.head.classify.weight.std().item() == pytest.approx((3 * 196 * 512) ** -0.5, rel=0.02)


def test_attention_continues_from_block_to_block() -> None:
    attend = MotionAttention().eval()
    x = torch.randn(1, 8, 6, 6)
    with torch.no_grad():
        alone = attend(x, None)
        assert torch.equal(attend(x, torch.zeros(1, 1, 12, 12)), torch.zeros(1, 1, 6, 6))
        assert torch.equal(attend(x, torch.ones(1, 1, 12, 12)), alone)
    assert alone.min() > 0 and alone.max() < 1
