"""FDP's configuration, the order of its frames, and the frames of a window. Needs no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsfmicro.errors import ContractError
from tsfmicro.models.fdp.config import FdpConfig, fdp_family, harmonic_coefficients, window_positions


def test_the_coefficients_of_eight_frames() -> None:
    known = [-8.461, -1.461, 1.039, 2.039, 2.289, 2.089, 1.589, 0.875]
    assert harmonic_coefficients(8) == pytest.approx(known, abs=5e-4)


@given(st.integers(2, 40))
def test_the_coefficients_are_those_of_ranking_smoothed_frames(frames: int) -> None:
    """Pooling the running means V_t by 2t - T - 1 is pooling the frames by the harmonic coefficients."""
    basis = np.eye(frames)
    smoothed = np.cumsum(basis, axis=0) / np.arange(1, frames + 1)[:, None]
    expected = sum((2 * t - frames - 1) * smoothed[t - 1] for t in range(1, frames + 1))
    found = np.array(harmonic_coefficients(frames))
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert abs(found.sum()) < 1e-9


def test_one_frame_has_no_order() -> None:
    with pytest.raises(ContractError, match="no order"):
        harmonic_coefficients(1)


@given(st.integers(0, 500), st.integers(0, 300), st.integers(2, 16))
def test_a_window_spans_its_clip_evenly(first: int, length: int, frames: int) -> None:
    found = window_positions(first, first + length, frames)
    assert (found[0], found[-1], len(found)) == (first, first + length, frames)
    exact = np.linspace(first, first + length, frames)
    assert np.abs(np.array(found) - exact).max() <= 0.5 + 1e-9
    assert list(found) == sorted(found)


@pytest.mark.parametrize(("first", "last", "frames"), [(5, 4, 8), (1, 9, 1)])
def test_no_window_without_a_clip(first: int, last: int, frames: int) -> None:
    with pytest.raises(ContractError, match="cannot give"):
        window_positions(first, last, frames)


def test_what_is_named_is_what_differs() -> None:
    assert FdpConfig().options == {}
    assert FdpConfig(frames=12, rank_scorer="none").options == {"frames": 12, "rank_scorer": "none"}
    assert [config.size for config in fdp_family()] == ["base", "small"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": "large"},
        {"classes": 1},
        {"frames": 1},
        {"frames": 2.5},
        {"drop_path": 1.0},
        {"drop_path": float("nan")},
        {"global_blocks": "all"},
        {"rank_scorer": "on"},
        {"dynamic_image": "yes"},
    ],
)
def test_no_such_network(wrong: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match=f"FdpConfig.{next(iter(wrong))}"):
        FdpConfig(**wrong)
