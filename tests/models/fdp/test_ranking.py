"""Order loss, dynamic images, scores and pooling against their formulas, frame by frame in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tsfmicro.models.fdp.config import FdpConfig, harmonic_coefficients  # noqa: E402
from tsfmicro.models.fdp.ranking import (  # noqa: E402
    PlainPooling,
    RankScorer,
    ScoredPooling,
    dynamic_images,
    order_loss,
)

SMALL = FdpConfig(size="small")


def features(seed: int, batch: int = 2, frames: int = 8) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, frames, SMALL.dynamic_width, 16, 16, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("seed", range(4))
def test_order_loss_counts_every_pair(seed: int) -> None:
    scores = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    pairs = [max(0.0, 1.0 - float(row[j] - row[i])) for row in scores for i in range(6) for j in range(i + 1, 6)]
    assert float(order_loss(scores)) == pytest.approx(np.mean(pairs), rel=1e-12)


def test_order_loss_knows_the_order() -> None:
    rising = torch.arange(8.0)[None]
    assert float(order_loss(rising)) == 0.0
    assert float(order_loss(torch.zeros(1, 8))) == pytest.approx(1.0)
    assert float(order_loss(rising.flip(1))) > float(order_loss(rising[:, [1, 0, 2, 3, 4, 5, 6, 7]])) > 0


@pytest.mark.parametrize("frames", [2, 5, 8])
def test_dynamic_images_are_frames_pooled_by_rank(frames: int) -> None:
    windows = torch.rand(3, frames, 10, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(frames))
    found = dynamic_images(windows).numpy()
    for window, image in zip(windows.numpy(), found, strict=True):
        pooled = sum(a * frame for a, frame in zip(harmonic_coefficients(frames), window, strict=True))
        expected = (pooled - pooled.min()) / (pooled.max() - pooled.min())
        np.testing.assert_allclose(image, expected, atol=1e-9)
    # Neither brightness nor contrast of the recording matters.
    np.testing.assert_allclose(dynamic_images(3.5 * windows - 7).numpy(), found, atol=1e-9)


def test_a_still_window_has_an_empty_dynamic_image() -> None:
    still = torch.rand(1, 1, 20, 20).expand(2, 8, 20, 20)
    assert (dynamic_images(still) == 0).all()


def test_scores_follow_their_formula() -> None:
    torch.manual_seed(1)
    scorer: Any = RankScorer(SMALL).double()
    scorer.running_mean = RankScorer(SMALL).running_mean.double()
    seen = features(2)
    found = scorer(seen).detach().numpy()
    hidden, bias = scorer.hidden.weight.detach().numpy(), scorer.hidden.bias.detach().numpy()
    last = scorer.score.weight.detach().numpy()[0]
    for window, row in zip(seen.flatten(2).numpy(), found, strict=True):
        smoothed = np.stack([window[: t + 1].mean(axis=0) for t in range(8)])
        centred = smoothed - smoothed.mean(axis=0)
        centred /= np.sqrt((centred**2).mean() + 1e-8)
        expected = [np.maximum(hidden @ v + bias, 0) @ last for v in centred]
        np.testing.assert_allclose(row, expected, atol=1e-6)  # 1/t is kept in float32


def test_scores_do_not_depend_on_how_far_or_on_whose_face() -> None:
    torch.manual_seed(1)
    scorer: Any = RankScorer(SMALL).double()
    moving, face = features(3), 10 * features(4)[:, :1]
    with torch.no_grad():
        plain, other = scorer(moving), scorer(0.1 * moving + face)
    torch.testing.assert_close(plain, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frames", [2, 8, 11])
def test_pooling_begins_as_rank_pooling(frames: int) -> None:
    """Before its batch norm: the closed form, whatever the scores are."""
    config = FdpConfig(size="small", frames=frames)
    seen = features(5, frames=frames)
    expected = sum(a * seen[:, t] for t, a in enumerate(harmonic_coefficients(frames)))
    pooling: Any = ScoredPooling(config).double()
    pooling.norm = torch.nn.Identity()
    scores = torch.randn(2, frames, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(pooling.scored(seen, scores), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(pooling(seen), expected, atol=1e-5, rtol=1e-5)


def test_pooling_follows_its_formula_with_any_weights() -> None:
    pooling: Any = ScoredPooling(SMALL).double().eval()
    with torch.no_grad():
        pooling.weights.normal_()
        pooling.influence.fill_(0.7)
        pooling.norm.running_mean.normal_()
        pooling.norm.running_var.uniform_(0.5, 2.0)
    seen, scores = features(6), torch.randn(2, 8, dtype=torch.float64)
    found = pooling.scored(seen, scores).detach()
    for b in range(2):
        mean = seen[b].mean(dim=0)
        pooled = torch.zeros_like(mean)
        for t in range(8):
            rank = 1 + 0.7 * torch.tanh(scores[b, t] - scores[b].mean())
            pooled += pooling.weights[t].detach() * rank * (seen[b, t] - mean)
        norm = pooling.norm
        scale = (norm.running_var + norm.eps).sqrt()[:, None, None]
        torch.testing.assert_close(found[b], (pooled - norm.running_mean[:, None, None]) / scale)


def test_what_stands_still_never_reaches_the_dynamic_representation() -> None:
    pooling: Any = PlainPooling(SMALL).double().eval()
    with torch.no_grad():
        pooling.weights.add_(0.3)  # no longer sums to 0
        moving, face = features(7), 5 * features(8)[:, :1]
        torch.testing.assert_close(pooling(moving), pooling(moving + face), atol=1e-9, rtol=1e-9)


def test_the_order_of_frames_matters() -> None:
    pooling: Any = PlainPooling(SMALL).double().eval()
    with torch.no_grad():
        forwards, backwards = pooling(features(9)), pooling(features(9).flip(1))
    assert float((forwards - backwards).abs().max()) > 1.0
