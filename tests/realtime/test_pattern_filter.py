"""The adaptive matched filter: what is usual cancels, what is known stands out, and a movement does not hide itself."""

from __future__ import annotations

import numpy as np
import pytest

from tsfmicro.motion import REGIONS
from tsfmicro.realtime.confidence import shipped_scorer
from tsfmicro.realtime.pattern_filter import PatternFilter
from tsfmicro.realtime.proposals import PartsOfTheFace, Proposal
from tsfmicro.values import Float64Array

SCORES = np.zeros(len(REGIONS))
BROWS, CORNERS = slice(0, 2), [REGIONS.index("left_mouth_corner"), REGIONS.index("right_mouth_corner")]
LIPS = [REGIONS.index("upper_lip"), REGIONS.index("lower_lip")]


def pattern(*regions: int | slice | list[int]) -> Float64Array:
    """Regions that go up together, of length 1."""
    moves = np.zeros((len(REGIONS), 2))
    for region in regions:
        moves[region, 1] = -1.0
    return moves / np.linalg.norm(moves)


SMILE, RAISED = pattern(CORNERS), pattern(BROWS)


def speech(rng: np.random.Generator) -> Float64Array:
    """Lips and corners go up and down together, by several percent, the lips half as far."""
    return (pattern(CORNERS) + 0.5 * pattern(LIPS)) * rng.normal(0, 6.0) + rng.normal(0, 0.1, (len(REGIONS), 2))


def taught(
    patterns: Float64Array, threshold: float = 1.5, seconds: float = 4.0, *, talks: bool = True
) -> tuple[PatternFilter, list[Proposal]]:
    """A filter that has watched a face for so long, and what it proposed meanwhile."""
    rng = np.random.default_rng(3)
    watching = PatternFilter(patterns, threshold)
    said: list[Proposal] = []
    for i in range(round(seconds * 30)):
        quiet = rng.normal(0, 0.1, (len(REGIONS), 2))
        said += watching.propose(i / 30, speech(rng) if talks else quiet, SCORES)
    return watching, said


def test_speech_cancels_and_an_expression_stands_out_of_it() -> None:
    watching, said = taught(np.stack([SMILE]), threshold=2.5)
    rng = np.random.default_rng(4)
    assert len(said) < 4  # of 120, though the corners move by several percent in every one
    (found,) = watching.propose(4.0, speech(rng) + 3.0 * SMILE, SCORES)
    assert found.region in CORNERS
    assert found.score > 2.5


def test_the_trace_of_a_proposal_is_the_length_of_its_strongest_region_whatever_is_usual() -> None:
    uneven = 2 * pattern(CORNERS) + pattern(BROWS)
    uneven /= np.linalg.norm(uneven)
    for talks in (True, False):
        watching, _ = taught(np.stack([uneven]), talks=talks)
        moved = 5.0 * uneven
        (found,) = watching.propose(4.0, moved, SCORES)
        largest = float(np.hypot(moved[:, 0], moved[:, 1]).max())
        assert found.size == pytest.approx(largest)
        assert float((found.weights * moved).sum()) == pytest.approx(largest)
        usual = pattern(CORNERS) + 0.5 * pattern(LIPS)
        leaks = abs(float((found.weights * usual).sum()))
        assert (leaks < 0.25) is talks


def test_every_pattern_has_a_stream_of_its_own() -> None:
    watching, _ = taught(np.stack([SMILE, RAISED]), talks=False)
    assert watching.streams == 2
    found = watching.propose(4.0, 4.0 * SMILE + 4.0 * RAISED, SCORES)
    assert [(p.stream, p.region in CORNERS) for p in found] == [(0, True), (1, False)]
    assert [p.stream for p in watching.propose(4.04, 4.0 * RAISED, SCORES)] == [1]
    assert watching.propose(4.07, -4.0 * RAISED, SCORES) == []  # the other way it is another expression


def test_what_hardly_is_along_a_pattern_is_not_it() -> None:
    watching, _ = taught(np.stack([RAISED]), talks=False)
    assert watching.propose(4.0, 2.0 * RAISED, SCORES)
    assert watching.propose(4.04, 2.0 * RAISED + 60.0 * pattern(LIPS), SCORES) == []


def test_a_movement_that_goes_on_does_not_hide_itself() -> None:
    watching, _ = taught(np.stack([RAISED]), talks=False)
    scores = [watching.propose(4.0 + i / 30, 3.0 * RAISED, SCORES)[0].score for i in range(12)]
    np.testing.assert_allclose(scores, scores[0], rtol=0.05)
    for i in range(12, 60):
        watching.propose(4.0 + i / 30, 3.0 * RAISED, SCORES)
    assert all(later.score < 0.7 * scores[0] for later in watching.propose(6.0, 3.0 * RAISED, SCORES))


def test_nothing_is_proposed_before_it_is_known_how_the_face_moves() -> None:
    watching = PatternFilter(np.stack([RAISED]), 1.5)
    assert watching.propose(0.0, 9.0 * RAISED, SCORES) == []
    assert watching.propose(0.2, 9.0 * RAISED, SCORES) == []


def test_no_patterns_propose_nothing() -> None:
    watching, said = taught(np.zeros((0, len(REGIONS), 2)))
    assert (watching.streams, said) == (0, [])


def test_shipped_patterns_are_told_apart_at_rest() -> None:
    patterns = shipped_scorer().patterns
    watching, _ = taught(patterns, talks=False)
    for number, moves in enumerate(patterns):
        found = watching.propose(4.0 + number / 30, 3.0 * moves, SCORES)
        assert max(found, key=lambda p: p.score).stream == number


def test_parts_of_the_face_are_proposed_by_their_strongest_region() -> None:
    parts = PartsOfTheFace(1.5)
    scores = SCORES.copy()
    scores[[0, 1, 5]] = 2.0, 3.0, 1.0
    stood_out = np.zeros((len(REGIONS), 2))
    stood_out[1] = 3.0, -4.0
    (found,) = parts.propose(1.0, stood_out, scores)
    assert (found.region, found.score, found.size) == (1, 3.0, 5.0)
    np.testing.assert_allclose(found.weights[1], (0.6, -0.8))
    assert np.count_nonzero(found.weights) == 2
