"""Every variant of the family: its size, what it looks at, and what its judgement calls change."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn.functional import interpolate  # noqa: E402

from tsfmicro.errors import ContractError  # noqa: E402
from tsfmicro.models.config import FUSIONS, ModelConfig, family  # noqa: E402
from tsfmicro.models.interface import Network  # noqa: E402
from tsfmicro.models.network import build  # noqa: E402
from tsfmicro.models.spatial import sampling_matrix  # noqa: E402

SMALL = [config for config in family() if config.size == "small"]
OPTIONS = [
    ModelConfig(size="small", stem_gelus=4),
    ModelConfig(size="small", patch_px=16),
    ModelConfig(size="small", resize="plain"),
    ModelConfig(size="small", fusion="t2s", t2s_add="after_blocks"),
    ModelConfig(size="small", fusion="spatial", spatial_input="apex"),
]


def name_of(config: ModelConfig) -> str:
    return "-".join([config.model, config.size, config.fusion, *map(str, config.options.values())])


pytestmark = pytest.mark.usefixtures("one_torch_thread")


def count(config: ModelConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(config).parameters())


def pictures(batch: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    difference, onset = torch.randn(2, batch, 3, 224, 224, generator=generator)
    return 0.1 * difference, onset


# ---- size ----------------------------------------------------------------------------------------------------------

T, S, HEAD, STEM, RAISE = 5_848_736, 6_408_192, 532_485, 65_952, 2_752_960
"""Temporal branch, spatial branch, head for five classes, one stem, three transposed convolutions."""


@pytest.mark.parametrize(
    ("variant", "parameters"),
    [
        ({"fusion": "late"}, T + S + HEAD),
        ({"fusion": "early"}, T + STEM + HEAD),
        ({"fusion": "t2s"}, T + S + HEAD),
        ({"fusion": "t2s", "t2s_add": "after_blocks"}, T + S + HEAD),
        ({"fusion": "s2t"}, T + S + RAISE + HEAD),
        ({"fusion": "temporal"}, 6_381_221),
        ({"fusion": "spatial"}, S + HEAD),
        ({"fusion": "spatial", "spatial_input": "apex"}, S + HEAD),
        ({"fusion": "late", "stem_gelus": 4}, T + S + HEAD),
        ({"fusion": "late", "resize": "plain"}, T + S + HEAD),
        ({"fusion": "late", "patch_px": 16}, T + S + HEAD + 3 * (16 * 16 - 1) * 512),
        ({"model": "mmnet"}, 9_442_097),
    ],
)
def test_every_variant_has_its_published_size(variant: dict[str, Any], parameters: int) -> None:
    assert count(ModelConfig(**variant)) == parameters


@pytest.mark.parametrize(
    ("fusion", "millions"),
    [("late", 12.789), ("early", 6.447), ("t2s", 12.789), ("s2t", 15.542), ("temporal", 6.381), ("spatial", 6.941)],
)
def test_sizes_round_to_the_published_table(fusion: str, millions: float) -> None:
    assert round(count(ModelConfig(fusion=fusion)) / 1e6, 3) == millions


def test_the_family_is_seven_networks_in_two_sizes() -> None:
    assert [(c.model, c.fusion) for c in SMALL] == [*(("tsfmicro", f) for f in FUSIONS), ("mmnet", "late")]
    assert len(set(family())) == 14


# ---- composition ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [*SMALL, *OPTIONS], ids=name_of)
def test_gradients_reach_every_parameter(config: ModelConfig) -> None:
    network = build(dataclasses.replace(config, drop_path=0.0))  # a dropped block has no gradient
    logits = network(*pictures(2))
    assert logits.shape == (2, 5)
    torch.autograd.backward(nn.functional.cross_entropy(logits, torch.tensor([0, 3])))
    missing = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert missing == []
    # Shifting all keys alike, or a bias ahead of batch norm, leaves the output as it is: those may be exactly zero.
    still = [n for n, p in network.named_parameters() if p.grad is not None and not p.grad.any()]
    assert [n for n in still if not n.endswith("bias")] == []


@pytest.mark.parametrize(
    ("changes", "sees_difference", "sees_onset"),
    [
        ({"fusion": "late"}, True, True),
        ({"fusion": "early"}, True, True),
        ({"fusion": "t2s"}, True, True),
        ({"fusion": "s2t"}, True, True),
        ({"fusion": "temporal"}, True, False),
        ({"fusion": "spatial"}, False, True),
        ({"fusion": "spatial", "spatial_input": "apex"}, True, True),
        ({"model": "mmnet"}, True, True),
    ],
)
def test_a_variant_sees_what_it_should(changes: dict[str, Any], sees_difference: bool, sees_onset: bool) -> None:
    network = build(ModelConfig(size="small", **changes)).eval()
    difference, onset = pictures()
    with torch.no_grad():
        out = network(difference, onset)
        assert torch.equal(out, network(2 * difference, onset)) != sees_difference
        assert torch.equal(out, network(difference, onset.flip(2))) != sees_onset


def test_spatial_from_the_apex_sees_the_sum() -> None:
    config = ModelConfig(size="small", fusion="spatial", spatial_input="apex")
    apex_fed = build(config).eval()
    onset_fed = build(ModelConfig(size="small", fusion="spatial")).eval()
    onset_fed.load_state_dict(apex_fed.state_dict())
    difference, onset = pictures()
    with torch.no_grad():
        assert torch.equal(apex_fed(difference, onset), onset_fed(difference, onset + difference))


def parts(fusion: str, **options: Any) -> Any:
    network: Any = build(ModelConfig(size="small", fusion=fusion, **options)).eval()
    return network


@pytest.mark.parametrize("fusion", ["late", "t2s", "s2t", "early"])
def test_fusion_is_a_sum_at_the_stated_place(fusion: str) -> None:
    network = parts(fusion)
    difference, onset = pictures()
    t: Any = network.temporal
    s: Any = getattr(network, "spatial", None)
    with torch.no_grad():
        if fusion == "late":
            expected = t(difference) + s(onset)
        elif fusion == "t2s":
            x = s.embed(onset).flatten(2).transpose(1, 2) + s.position + t(difference).reshape(1, 196, -1)
            expected = s.norm(s.blocks[1](s.blocks[0](x))).reshape(1, 14, 14, -1)
        elif fusion == "s2t":
            raised = s(onset).permute(0, 3, 1, 2)
            for layer in network.raise_spatial:
                raised = layer(raised)
            assert raised.shape == (1, 16, 112, 112)
            expected = t.stages_from(t.stem(difference) + raised)
        else:
            expected = t.stages_from(t.stem(difference) + network.onset_stem(onset))
        assert torch.equal(network.fuse(difference, onset), expected)


def test_t2s_as_released_adds_ahead_of_the_last_norm() -> None:
    network = parts("t2s", t2s_add="after_blocks")
    difference, onset = pictures()
    s = network.spatial
    with torch.no_grad():
        x = s.blocks(s.tokens(onset)) + network.temporal(difference).reshape(1, 196, -1)
        assert torch.equal(network.fuse(difference, onset), s.norm(x).reshape(1, 14, 14, -1))
        other = parts("t2s")
        other.load_state_dict(network.state_dict())
        assert not torch.allclose(other.fuse(difference, onset), network.fuse(difference, onset))


# ---- judgement calls -----------------------------------------------------------------------------------------------


def test_the_fourth_gelu_is_one_module_more() -> None:
    three, four = (parts("late", stem_gelus=n).temporal.stem for n in (3, 4))
    assert [sum(isinstance(m, nn.GELU) for m in stem) for stem in (three, four)] == [3, 4]
    assert set(three.state_dict()) == set(four.state_dict())


def test_sixteen_pixel_patches_look_at_their_own_square_only() -> None:
    spatial = parts("late", patch_px=16).spatial
    _, onset = pictures()
    changed = onset.clone()
    changed[:, :, 32:48, 16:32] += 1.0
    with torch.no_grad():
        moved = (spatial.tokens(changed) - spatial.tokens(onset)).abs().sum(dim=2)[0]
    assert moved.nonzero().flatten().tolist() == [2 * 14 + 1]


@pytest.mark.parametrize(("resize", "antialias"), [("antialiased", True), ("plain", False)])
def test_the_onset_is_resized_as_chosen(resize: str, antialias: bool) -> None:
    embed = parts("late", resize=resize).spatial.embed
    _, onset = pictures()
    reduced = interpolate(onset, size=(14, 14), mode="bilinear", antialias=antialias, align_corners=False)
    with torch.no_grad():
        expected = nn.functional.conv2d(reduced, embed.weight, embed.bias)
        torch.testing.assert_close(embed(onset), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("source", "target"), [(224, 14), (50, 7)])
def test_plain_resize_is_bilinear_sampling(source: int, target: int) -> None:
    image = torch.rand(1, 2, source, source, dtype=torch.float64)
    matrix = sampling_matrix(source, target)
    expected = interpolate(image, size=(target, target), mode="bilinear", antialias=False, align_corners=False)
    torch.testing.assert_close(matrix @ image @ matrix.T, expected)


@pytest.mark.parametrize(
    "idle",
    [
        {"t2s_add": "after_blocks"},
        {"spatial_input": "apex"},
        {"fusion": "temporal", "patch_px": 16},
        {"fusion": "early", "resize": "plain"},
        {"fusion": "spatial", "stem_gelus": 4},
        {"patch_px": 16, "resize": "plain"},
        {"model": "mmnet", "stem_gelus": 4},
    ],
)
def test_an_option_that_changes_nothing_is_refused(idle: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="changes nothing"):
        ModelConfig(**idle)


@pytest.mark.parametrize(
    "wrong",
    [{"model": "resnet"}, {"model": "mmnet", "fusion": "early"}, {"stem_gelus": 2}, {"patch_px": 8}, {"resize": "x"}],
)
def test_what_does_not_exist_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        ModelConfig(**wrong)


def test_names_of_the_state_dict_are_stable() -> None:
    tops = {
        "late": {"temporal", "spatial", "head"},
        "early": {"temporal", "onset_stem", "head"},
        "t2s": {"temporal", "spatial", "head"},
        "s2t": {"temporal", "spatial", "raise_spatial", "head"},
        "temporal": {"temporal", "head"},
        "spatial": {"spatial", "head"},
        "mmnet": {"motion", "spatial", "head"},
    }

    def names(network: Network) -> set[str]:
        return {name.split(".")[0] for name in network.state_dict()}

    with torch.device("meta"):
        found = {c.fusion if c.model == "tsfmicro" else "mmnet": names(build(c)) for c in SMALL}
    assert found == tops


BATCH_NORM = "(weight|bias|running_mean|running_var|num_batches_tracked)"
STATE = [  # what docs/models.md promises, spelt out: renaming any of these breaks the bundles that people have
    r"(temporal\.stem|onset_stem)\.(0|3|6|9)\.(weight|bias)",
    rf"(temporal\.stem|onset_stem)\.(1|4|7|10)\.{BATCH_NORM}",
    r"temporal\.stages\.[0-3]\.blocks\.[01]\.(position|retention_norm|ffn_norm)\.(weight|bias)",
    r"temporal\.stages\.[0-3]\.blocks\.[01]\.retention\.(qkv|local|out)\.(weight|bias)",
    r"temporal\.stages\.[0-3]\.blocks\.[01]\.ffn\.(widen|local|narrow)\.(weight|bias)",
    rf"temporal\.merges\.[0-2]\.(0\.(weight|bias)|1\.{BATCH_NORM})",
    r"spatial\.(embed\.(weight|bias)|position|norm\.(weight|bias))",
    r"spatial\.blocks\.[01]\.(attention_norm|attention\.(qkv|out)|ffn_norm|ffn\.(0|2))\.(weight|bias)",
    r"raise_spatial\.[0-2]\.(weight|bias)",
    r"head\.(widen|classify)\.(weight|bias)",
    rf"head\.norm\.{BATCH_NORM}",
]


@pytest.mark.parametrize("config", [c for c in SMALL if c.model == "tsfmicro"], ids=name_of)
def test_no_weight_is_called_anything_else(config: ModelConfig) -> None:
    with torch.device("meta"):
        names = build(config).state_dict()
    assert [name for name in names if not any(re.fullmatch(form, name) for form in STATE)] == []
