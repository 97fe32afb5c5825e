"""Grad-CAM and t-SNE: the formulas, on every network, and the pictures of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

import torch
from torch import Tensor, nn

from tests.export.test_windows import sealed
from tests.factories import astronaut
from tsfmicro.bundle import default_bundle_path, read_bundle
from tsfmicro.errors import ContractError, UsageError
from tsfmicro.export.parity import probe_pairs
from tsfmicro.models.config import ModelConfig, family
from tsfmicro.models.fdp.config import FdpConfig
from tsfmicro.models.fdp.fused import FusedWindow
from tsfmicro.models.fdp.network import build_fdp
from tsfmicro.models.fused import FusedRecognizer
from tsfmicro.models.network import build
from tsfmicro.preprocess import IMAGENET_MEAN, IMAGENET_STD
from tsfmicro.runners.parity import probe_windows
from tsfmicro.training import commands, explain, illustrate
from tsfmicro.training.explain import embed_tsne, grad_cam, pooled_features, window_features, window_grad_cam
from tsfmicro.training.pictures import overlay_heat, write_heat_maps, write_scatter

SMALL = [config for config in family() if config.size == "small"]


pytestmark = pytest.mark.usefixtures("one_torch_thread")


class Pooled(nn.Module):
    """Mean of the map, then a linear layer."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.classify = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        self.classify.weight.data.copy_(weight)

    def pool(self, x: Tensor) -> Tensor:
        return x.mean(dim=(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.pool(x))
        return logits


class Known(nn.Module):
    """A network whose map is given."""

    def __init__(self, fused_map: Tensor, weight: Tensor) -> None:
        super().__init__()
        self.fused_map = fused_map
        self.head = Pooled(weight)

    def fuse(self, difference: Tensor, onset: Tensor) -> Tensor:
        return self.fused_map


def known(fused_map: Tensor, weight: Tensor) -> FusedRecognizer:
    network: Any = Known(fused_map, weight)
    return FusedRecognizer(network, IMAGENET_MEAN, IMAGENET_STD).eval()


def crops(count: int = 1) -> Any:
    return np.zeros((count, 224, 224, 3), np.uint8)


def test_heat_is_the_weighted_sum_of_what_speaks_for_the_class() -> None:
    """With a linear head each channel's weight is the class's, so the map can be computed by hand."""
    generator = torch.Generator().manual_seed(1)
    fused_map = torch.randn(2, 14, 14, 3, generator=generator)
    weight = torch.tensor([[1.0, -2.0, 0.5], [0.0, 1.0, 1.0]])
    heat = grad_cam(known(fused_map, weight), crops(2), crops(2), np.array([0, 1]))
    assert heat.shape == (2, 224, 224)
    by_hand = (fused_map * weight[:, None, None]).sum(dim=3).clamp(min=0)
    large = nn.functional.interpolate(by_hand[:, None], size=(224, 224), mode="bicubic")[:, 0].clamp(min=0)
    expected = large / large.amax(dim=(1, 2), keepdim=True)
    np.testing.assert_allclose(heat, expected.numpy(), atol=1e-5)


def test_the_spot_is_where_the_evidence_is() -> None:
    fused_map = torch.zeros(1, 14, 14, 2)
    fused_map[0, 3, 10, 1] = 1.0
    heat = grad_cam(known(fused_map, torch.eye(2)), crops(), crops())
    assert np.unravel_index(heat[0].argmax(), heat[0].shape)[0] // 16 == 3
    assert np.unravel_index(heat[0].argmax(), heat[0].shape)[1] // 16 == 10
    assert heat.max() == 1.0
    assert not heat[0, 100:].any()


def test_the_recognised_class_is_explained_unless_another_is_named() -> None:
    fused_map = torch.randn(1, 14, 14, 2, generator=torch.Generator().manual_seed(2)) + torch.tensor([0.0, 1.0])
    network = known(fused_map, torch.eye(2))
    found = grad_cam(network, crops(), crops())
    assert np.array_equal(found, grad_cam(network, crops(), crops(), np.array([1])))
    assert not np.array_equal(found, grad_cam(network, crops(), crops(), np.array([0])))


def test_where_nothing_speaks_for_a_class_nothing_is_hot() -> None:
    heat = grad_cam(known(-torch.ones(1, 14, 14, 1), torch.ones(2, 1)), crops(), crops())
    assert not heat.any()


@pytest.mark.parametrize("config", SMALL, ids=lambda config: f"{config.model}-{config.fusion}")
def test_every_network_can_be_explained(config: ModelConfig) -> None:
    fused = FusedRecognizer(build(config), IMAGENET_MEAN, IMAGENET_STD).eval()
    onset, apex = probe_pairs(2, seed=3)
    heat = grad_cam(fused, onset, apex)
    assert heat.shape == (2, 224, 224)
    assert heat.min() >= 0 and heat.max() <= 1 and np.isfinite(heat).all()
    assert all(parameter.grad is None for parameter in fused.parameters())
    features = pooled_features(fused, onset, apex)
    with torch.no_grad():
        logits = fused.network.head.classify(torch.from_numpy(features))
        torch.testing.assert_close(logits, fused(torch.from_numpy(onset), torch.from_numpy(apex))[1])


class KnownWindow(nn.Module):
    """An FDP whose dynamic representation is given; the head is linear in its means."""

    def __init__(self, dynamic: Tensor, weight: Tensor) -> None:
        super().__init__()
        self.dynamic, self.weight = dynamic, weight

    def represent(self, windows: Tensor) -> tuple[Tensor, None]:
        return self.dynamic, None

    def head(self, dynamic: Tensor) -> Tensor:
        return dynamic.mean(dim=(2, 3)) @ self.weight.T


def test_of_a_window_it_is_the_dynamic_representation_that_is_weighed() -> None:
    dynamic = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    weight = torch.tensor([[1.0, -2.0, 0.5], [0.0, 1.0, 1.0]])
    network: Any = KnownWindow(dynamic, weight)
    fused = FusedWindow(network, IMAGENET_MEAN, IMAGENET_STD).eval()
    windows = np.zeros((2, 4, 224, 224, 3), np.uint8)
    heat = window_grad_cam(fused, windows, np.array([0, 1]))
    by_hand = (dynamic * weight[:, :, None, None]).sum(dim=1).clamp(min=0)
    large = nn.functional.interpolate(by_hand[:, None], size=(224, 224), mode="bicubic")[:, 0].clamp(min=0)
    np.testing.assert_allclose(heat, (large / large.amax(dim=(1, 2), keepdim=True)).numpy(), atol=1e-5)


def test_fdp_can_be_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    config = FdpConfig(size="small", frames=3)
    fused = FusedWindow(build_fdp(config), IMAGENET_MEAN, IMAGENET_STD).eval()
    windows = probe_windows(3, config.frames, seed=3)
    heat = window_grad_cam(fused, windows)
    assert heat.shape == (3, 224, 224) and np.isfinite(heat).all() and heat.min() >= 0 and heat.max() <= 1
    assert all(parameter.grad is None for parameter in fused.parameters())
    monkeypatch.setattr(explain, "_BATCH", 2)
    features = window_features(fused, windows)
    assert features.shape == (3, config.head_width)
    with torch.no_grad():
        logits = fused.network.head.classify(torch.from_numpy(features))
        torch.testing.assert_close(logits, fused(torch.from_numpy(windows))[1], rtol=1e-4, atol=1e-5)


def test_features_come_in_order_over_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = FusedRecognizer(build(ModelConfig(size="small", fusion="spatial")), IMAGENET_MEAN, IMAGENET_STD).eval()
    onset, apex = probe_pairs(5, seed=3)
    whole = pooled_features(fused, onset, apex)
    monkeypatch.setattr(explain, "_BATCH", 2)
    np.testing.assert_allclose(pooled_features(fused, onset, apex), whole, rtol=1e-4, atol=1e-5)
    assert whole.shape == (5, 256)


def test_tsne_keeps_neighbourhoods() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], 20)
    features = (10 * np.eye(3, 8)[group] + rng.normal(size=(60, 8))).astype(np.float32)
    points = embed_tsne(features, seed=1)
    assert points.shape == (60, 2)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (group[distance.argmin(axis=1)] == group).mean() > 0.95
    np.testing.assert_array_equal(points, embed_tsne(features, seed=1))


def test_tsne_refuses_too_few() -> None:
    with pytest.raises(ContractError, match="N at least 5"):
        embed_tsne(np.zeros((4, 3), np.float32))


def test_cold_spots_leave_the_face_as_it_is() -> None:
    face = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    heat = np.zeros((8, 8), np.float32)
    heat[2, 5] = 1.0
    blended = overlay_heat(face, heat)
    changed = (blended != face).any(axis=2)
    assert np.argwhere(changed).tolist() == [[2, 5]]
    with pytest.raises(ContractError):
        overlay_heat(face, heat[:4])


def test_pictures_are_written(tmp_path: Path) -> None:
    face = np.full((7, 32, 32, 3), 128, np.uint8)
    heat = np.zeros((7, 32, 32), np.float32)
    heat[:, 8:16, 8:16] = 1.0
    write_heat_maps(tmp_path / "deep" / "heat.png", face, heat, [f"number {i}" for i in range(7)])
    sheet = cv2.imread(str(tmp_path / "deep" / "heat.png"))
    assert sheet is not None and sheet.shape[1] > sheet.shape[0] > 300  # two rows of five columns
    points = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    write_scatter(tmp_path / "points.png", points, ["a", "b"] * 3, ["a", "b", "c"], "title")
    picture = cv2.imread(str(tmp_path / "points.png"))
    assert picture is not None and len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def test_pictures_of_the_wrong_things_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError):
        write_heat_maps(tmp_path / "x.png", crops(2), np.zeros((2, 224, 224), np.float32), ["one"])
    with pytest.raises(ContractError):
        write_scatter(tmp_path / "x.png", np.zeros((2, 2), np.float32), ["a", "z"], ["a"], "")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be written"):
        write_scatter(tmp_path / "file" / "x.png", np.zeros((1, 2), np.float32), ["a"], ["a"], "")


@pytest.fixture(scope="module", params=["tsfmicro", "fdp"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "tsfmicro":
        return default_bundle_path()
    return sealed(tmp_path_factory.mktemp("fdp") / "fdp.tsf", FdpConfig(size="small", frames=3)).path


def test_explain_pictures_a_bundle(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: dict[str, Any] = {}
    for name in ("write_heat_maps", "write_scatter"):
        original = getattr(illustrate, name)

        def spy(*given: Any, name: str = name, original: Any = original) -> None:
            told[name] = given
            original(*given)

        monkeypatch.setattr(illustrate, name, spy)
    monkeypatch.setattr(commands, "astronaut", lambda: dataclasses.replace(astronaut(), name="ada"))
    commands.app(["explain", str(bundle), "--pairs", "12", "--out", str(tmp_path / "p")], standalone_mode=False)
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["features.png", "heat_maps.png"]
    assert "heat_maps.png" in capsys.readouterr().out
    _, onsets, heats, titles = told["write_heat_maps"]
    assert len(onsets) == len(heats) == len(titles) and heats.any()
    assert all(title.startswith("true: ") for title in titles)
    _, points, labels, classes, _ = told["write_scatter"]
    assert len(points) == len(labels) == 12
    assert classes == read_bundle(bundle).manifest.labels
