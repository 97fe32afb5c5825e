"""The options that name a network, and back."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tsfmicro.errors import UsageError
from tsfmicro.models.card import FDP_NAME
from tsfmicro.models.config import FUSIONS, MODELS, SIZES, ModelConfig
from tsfmicro.models.fdp.config import FdpConfig
from tsfmicro.training.choice import Fusion, Model, Size, network_config, words_of


def test_the_choices_are_those_of_the_configuration() -> None:
    assert (tuple(Model), tuple(Fusion), tuple(Size)) == ((*MODELS, FDP_NAME), FUSIONS, SIZES)


def test_options_become_a_configuration_and_back() -> None:
    options = ["patch_px=16", "t2s_add=after_blocks"]
    config = network_config(Model.TSFMICRO, Fusion.T2S, Size.SMALL, options, 4)
    assert config == ModelConfig(size="small", fusion="t2s", classes=4, patch_px=16, t2s_add="after_blocks")
    words = ["--model", "tsfmicro", "--fusion", "t2s", "--size", "small"]
    assert words_of(config) == [*words, "--option", "patch_px=16", "--option", "t2s_add=after_blocks"]


def test_fdp_is_named_without_a_fusion() -> None:
    config = network_config(Model.FDP, Fusion.LATE, Size.SMALL, ["frames=6", "rank_scorer=none"], 4)
    assert config == FdpConfig(size="small", classes=4, frames=6, rank_scorer="none")
    words = ["--model", "fdp", "--size", "small", "--option", "frames=6", "--option", "rank_scorer=none"]
    assert words_of(config) == words


@pytest.mark.parametrize(
    ("model", "fusion", "option", "says"),
    [
        (Model.TSFMICRO, Fusion.LATE, "colour=red", "NAME one of stem_gelus"),
        (Model.TSFMICRO, Fusion.LATE, "patch_px", "NAME=VALUE"),
        (Model.TSFMICRO, Fusion.LATE, "patch_px=7", "expected one of 1, 16"),
        (Model.TSFMICRO, Fusion.LATE, "t2s_add=after_blocks", "changes nothing"),
        (Model.MMNET, Fusion.EARLY, "patch_px=16", "only 'late'"),
        (Model.FDP, Fusion.LATE, "patch_px=16", "NAME one of frames"),
        (Model.FDP, Fusion.LATE, "frames=1", "frames is 1; expected"),
        (Model.FDP, Fusion.LATE, "rank_scorer=on", "expected one of pairwise, none"),
        (Model.FDP, Fusion.EARLY, "frames=4", "changes nothing in FDP"),
        (Model.TSFMICRO, Fusion.LATE, "frames=4", "NAME one of stem_gelus"),
    ],
)
def test_what_does_not_exist_is_refused(model: Model, fusion: Fusion, option: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        network_config(model, fusion, Size.BASE, [option], 5)
