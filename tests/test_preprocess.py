"""The preprocessing spec has a digest that never moves by itself, and crops that never differ by themselves."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tsfmicro.align import AlignSpec
from tsfmicro.errors import ContractError
from tsfmicro.preprocess import Preprocessor, PreprocessSpec

GOLDEN_DIGEST = "55cb32206215d242e299ef973a11f3df5adee3cf4758b613d0cfaed7d3b29ff0"
"""Of the default spec. If it changes, every bundle and every training cache in the world becomes invalid."""

OTHER_SPECS = {
    "size_px": PreprocessSpec(align=AlignSpec(size_px=256)),
    "iod_px": PreprocessSpec(align=AlignSpec(iod_px=101.0)),
    "eye_row_px": PreprocessSpec(align=AlignSpec(eye_row_px=75.0)),
    "mean": PreprocessSpec(mean=(0.5, 0.456, 0.406)),
    "std": PreprocessSpec(std=(0.229, 0.224, 0.226)),
    "spatial_px": PreprocessSpec(spatial_px=28),
}


def test_digest_of_the_default_spec_is_golden() -> None:
    assert PreprocessSpec().digest == GOLDEN_DIGEST


def test_digest_changes_with_every_field_that_can() -> None:
    digests = {name: spec.digest for name, spec in OTHER_SPECS.items()}
    assert len({*digests.values(), GOLDEN_DIGEST}) == len(OTHER_SPECS) + 1
    fields = {field.name for field in dataclasses.fields(PreprocessSpec)}
    fields |= {field.name for field in dataclasses.fields(AlignSpec)}
    only_one_value = {"colour", "difference", "align"}
    assert set(OTHER_SPECS) == fields - only_one_value, "a new field needs a row in OTHER_SPECS"


@pytest.mark.parametrize("name", OTHER_SPECS)
def test_spec_survives_json(name: str) -> None:
    spec = OTHER_SPECS[name]
    back = PreprocessSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert back == spec
    assert back.digest == spec.digest


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "bgr"},
        {"difference": "absolute"},
        {"std": [0.2, 0.0, 0.2]},
        {"mean": [0.5, 0.5]},
        {"unknown": 1},
        {"align": {"size_px": 8, "iod_px": 4.0, "eye_row_px": 3.0}},
        {"align": {"size_px": 224, "iod_px": 300.0, "eye_row_px": 76.0}},
        {"align": {"sizes_px": 224}},
    ],
)
def test_impossible_specs_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ContractError):
        PreprocessSpec.from_dict({**PreprocessSpec().to_dict(), **change})


def test_a_spec_without_alignment_is_refused() -> None:
    values = PreprocessSpec().to_dict()
    del values["align"]
    with pytest.raises(ContractError, match="align"):
        PreprocessSpec.from_dict(values)


def noise(seed: int) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 256, (300, 400, 3), dtype=np.uint8)


def test_crop_pair_is_the_picture_under_the_transform() -> None:
    onset, apex = noise(1), noise(2)
    spec = PreprocessSpec(align=AlignSpec(size_px=64, iod_px=30.0, eye_row_px=20.0))
    shift_onset = np.array([[1.0, 0.0, -10.0], [0.0, 1.0, -20.0]])
    shift_apex = np.array([[1.0, 0.0, -12.0], [0.0, 1.0, -21.0]])
    pair = Preprocessor(spec).crop_pair(onset, shift_onset, apex, shift_apex)
    assert pair.onset.shape == pair.apex.shape == (64, 64, 3)
    np.testing.assert_array_equal(pair.onset, onset[20:84, 10:74])
    np.testing.assert_array_equal(pair.apex, apex[21:85, 12:76])


def test_crop_pair_is_the_same_every_time_and_leaves_its_input_alone() -> None:
    onset, apex = noise(3), noise(4)
    before = onset.copy()
    turn = np.array([[0.8, -0.1, 3.3], [0.1, 0.8, -7.7]])
    preprocessor = Preprocessor(PreprocessSpec())
    first = preprocessor.crop_pair(onset, turn, apex, turn)
    second = preprocessor.crop_pair(onset, turn, apex, turn)
    assert first.onset.shape == (224, 224, 3)
    np.testing.assert_array_equal(first.onset, second.onset)
    np.testing.assert_array_equal(first.apex, second.apex)
    np.testing.assert_array_equal(onset, before)


def test_crop_reaching_past_the_picture_repeats_its_edge() -> None:
    flat = np.full((50, 50, 3), 7, np.uint8)
    far = np.array([[1.0, 0.0, 100.0], [0.0, 1.0, 100.0]])
    pair = Preprocessor(PreprocessSpec()).crop_pair(flat, far, flat, far)
    assert np.all(pair.onset == 7)


def test_crop_refuses_float_pictures() -> None:
    with pytest.raises(ContractError, match="warp_crop"):
        Preprocessor(PreprocessSpec()).crop_pair(noise(1).astype(np.float32), np.eye(2, 3), noise(1), np.eye(2, 3))
