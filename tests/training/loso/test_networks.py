"""Fine-tuning begins from a bundle's weights, and every report says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tsfmicro.bundle import default_bundle_path, read_bundle
from tsfmicro.errors import UsageError
from tsfmicro.models.config import ModelConfig
from tsfmicro.training.loso.networks import model_config, network_maker, pretraining_note
from tsfmicro.training.loso.spec import LosoSpec

START = read_bundle(default_bundle_path())
LABELS = START.manifest.labels


def test_all_weights_are_taken_where_the_classes_agree() -> None:
    network = network_maker(ModelConfig(size="small", classes=5), LABELS, START)()
    weights = START.weights()
    assert all(np.array_equal(tensor.numpy(), weights[name]) for name, tensor in network.state_dict().items())


def test_the_last_layer_is_fresh_where_they_do_not() -> None:
    torch.manual_seed(0)
    network = network_maker(ModelConfig(size="small", classes=3), ("a", "b", "c"), START)()
    weights = START.weights()
    taken = {name for name, tensor in network.state_dict().items() if np.array_equal(tensor.numpy(), weights[name])}
    assert set(weights) - taken == {"head.classify.weight", "head.classify.bias"}


@pytest.mark.parametrize(("fusion", "fresh"), [("temporal", ()), ("spatial", ()), ("s2t", ("raise_spatial.",))])
def test_another_fusion_takes_the_parts_that_both_have(fusion: str, fresh: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    network = network_maker(ModelConfig(size="small", fusion=fusion), LABELS, START)()
    weights = START.weights()
    for name, tensor in network.state_dict().items():
        assert name.startswith(fresh) == (name not in weights)
        assert name.startswith(fresh) or np.array_equal(tensor.numpy(), weights[name])


@pytest.mark.parametrize("config", [ModelConfig(size="base"), ModelConfig(size="small", patch_px=16)])
def test_another_network_is_refused(config: ModelConfig) -> None:
    with pytest.raises(UsageError, match="another --size"):
        network_maker(config, LABELS, START)


def test_a_run_names_any_network_of_the_family() -> None:
    assert model_config(LosoSpec(model="mmnet", size="small"), 3) == ModelConfig(model="mmnet", size="small", classes=3)
    spec = LosoSpec(fusion="t2s", options=("t2s_add=after_blocks",))
    assert model_config(spec, 5) == ModelConfig(fusion="t2s", t2s_add="after_blocks")
    with pytest.raises(UsageError, match="MMNet has only 'late'"):
        model_config(LosoSpec(model="mmnet", fusion="early"), 5)


def test_the_note_names_bundle_and_data() -> None:
    note = pretraining_note(START)
    assert note is not None and note["bundle"] == "demonstration.tsf" and "synthetic" in note["data"]
    assert pretraining_note(None) is None


@pytest.mark.parametrize(
    "change", [{"key_frames": None}, {"loss": {"novel": 1.0}}, {"novelty": 1}, {"mode": "lenient"}]
)
def test_settings_of_another_version_are_refused_in_a_sentence(change: dict[str, Any]) -> None:
    spec = LosoSpec(seeds=(0,), epochs=1)
    assert LosoSpec.from_dict(spec.to_dict()) == spec
    values = {name: value for name, value in (spec.to_dict() | change).items() if value is not None}
    with pytest.raises(UsageError, match=r"not those of this version .* run tsf-train loso into a new folder"):
        LosoSpec.from_dict(values)
