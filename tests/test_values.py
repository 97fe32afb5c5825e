"""Values that cross stage boundaries refuse what breaks their contract, and take what keeps it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tsfmicro.errors import ContractError
from tsfmicro.values import CropPair, Face, Frame, Interval, Moment, Recognition, require_array

quick = settings(max_examples=40, deadline=None)
sizes = st.integers(1, 9)
times = st.floats(0, 1e6)
dtypes = st.sampled_from([np.uint8, np.int8, np.uint16, np.int64, np.float32, np.float64, np.bool_])


def a_frame(pixels: NDArray[Any], index: int = 0, t_s: float = 0.0) -> Frame:
    return Frame(pixels=pixels, index=index, t_s=t_s, captured_s=0.0, source="test")


@quick
@given(height=sizes, width=sizes, index=st.integers(0, 10**9), t_s=times)
def test_frame_takes_rgb_uint8(height: int, width: int, index: int, t_s: float) -> None:
    frame = a_frame(np.zeros((height, width, 3), np.uint8), index, t_s)
    assert f"{width}x{height}" in repr(frame)


@quick
@given(shape=st.lists(sizes, min_size=0, max_size=5).map(tuple), dtype=dtypes)
def test_frame_refuses_other_arrays(shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    assume(not (len(shape) == 3 and shape[2] == 3 and dtype is np.uint8))
    with pytest.raises(ContractError, match=r"Frame\.pixels"):
        a_frame(np.zeros(shape, dtype))


@quick
@given(t_s=st.one_of(st.floats(max_value=-1e-9), st.sampled_from([math.nan, math.inf, -math.inf])))
def test_frame_refuses_times_before_the_first_frame_and_no_numbers(t_s: float) -> None:
    with pytest.raises(ContractError, match=r"Frame\.t_s"):
        a_frame(np.zeros((2, 2, 3), np.uint8), t_s=t_s)


@quick
@given(index=st.integers(max_value=-1))
def test_frame_refuses_negative_index(index: int) -> None:
    with pytest.raises(ContractError, match=r"Frame\.index"):
        a_frame(np.zeros((2, 2, 3), np.uint8), index=index)


@quick
@given(count=st.integers(0, 1000), dtype=st.sampled_from([np.float32, np.float64]))
def test_face_takes_only_the_whole_mesh(count: int, dtype: type[np.generic]) -> None:
    assume(not (count == 468 and dtype is np.float32))
    with pytest.raises(ContractError, match=r"Face\.landmarks_px"):
        Face(np.zeros((count, 2), dtype))


def test_face_box_spans_the_landmarks() -> None:
    landmarks = np.full((468, 2), 50, np.float32)
    landmarks[3], landmarks[7] = (10, 90), (80, 20)
    assert Face(landmarks).box_px == (10.0, 20.0, 80.0, 90.0)


def an_interval(onset_s: float, apex_s: float, offset_s: float) -> Interval:
    return Interval(Moment(0, onset_s), Moment(1, apex_s), Moment(2, offset_s))


@quick
@given(st.tuples(times, times, times).map(sorted))
def test_interval_takes_moments_in_order(ordered: list[float]) -> None:
    onset, apex, offset = ordered
    interval = an_interval(onset, apex, offset)
    assert interval.onset_phase_s == apex - onset
    assert interval.duration_s == offset - onset
    assert 0 <= interval.onset_phase_s <= interval.duration_s


@quick
@given(st.permutations([0.1, 0.2, 0.3]))
def test_interval_refuses_any_other_order(shuffled: list[float]) -> None:
    assume(shuffled != sorted(shuffled))
    with pytest.raises(ContractError, match="order"):
        an_interval(*shuffled)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_interval_refuses_nan(place: int) -> None:
    moments = [0.1, 0.2, 0.3]
    moments[place] = math.nan
    with pytest.raises(ContractError, match="Interval"):
        an_interval(*moments)


@quick
@given(side=sizes)
def test_crop_pair_takes_two_crops_of_one_size(side: int) -> None:
    crop = np.zeros((side, side, 3), np.uint8)
    assert CropPair(onset=crop, apex=crop.copy()).apex.shape == (side, side, 3)


@quick
@given(side=sizes, other=sizes, dtype=dtypes)
def test_crop_pair_refuses_two_sizes_or_another_dtype(side: int, other: int, dtype: type[np.generic]) -> None:
    assume(side != other or dtype is not np.uint8)
    with pytest.raises(ContractError, match=r"CropPair\.apex"):
        CropPair(onset=np.zeros((side, side, 3), np.uint8), apex=np.zeros((other, other, 3), dtype))


def test_crop_pair_refuses_grey() -> None:
    with pytest.raises(ContractError, match=r"CropPair\.onset"):
        CropPair(onset=np.zeros((4, 4), np.uint8), apex=np.zeros((4, 4), np.uint8))


@quick
@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=7))
def test_recognition_takes_probabilities_that_sum_to_one(scores: list[float]) -> None:
    total = sum(scores)
    probabilities = {f"class{i}": score / total for i, score in enumerate(scores)}
    recognition = Recognition(probabilities, ())
    assert recognition.label == recognition.top_label
    assert probabilities[recognition.top_label] == max(probabilities.values())
    assert Recognition(probabilities, ("low_probability",)).label is None


@quick
@given(st.lists(st.floats(0, 1), max_size=7))
def test_recognition_refuses_any_other_sum(scores: list[float]) -> None:
    assume(abs(sum(scores) - 1) > 2e-3)
    with pytest.raises(ContractError, match="sum to"):
        Recognition({f"class{i}": score for i, score in enumerate(scores)}, ())


def test_require_array_says_what_it_got_and_wanted() -> None:
    with pytest.raises(ContractError, match=r"crop is \(2, 2\) float64; expected \(\*, 3\) uint8"):
        require_array("crop", np.zeros((2, 2)), (None, 3), np.uint8)
