"""Contractions rise from rest to one and fall back, never quicker or longer than documented."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsfmicro.errors import ContractError
from tsfmicro.synthetic.timecourse import TimeCourse, random_course

quick = settings(max_examples=60, deadline=None)
phases = st.floats(0.04, 1.0)
courses = st.tuples(st.floats(0.0, 50.0), phases, phases).map(
    lambda p: TimeCourse(p[0], p[0] + p[1], p[0] + p[1] + p[2])
)


@quick
@given(course=courses, outside=st.floats(0, 10))
def test_rest_outside_and_one_at_the_apex(course: TimeCourse, outside: float) -> None:
    assert course.contraction(course.onset_s - outside) == 0.0
    assert course.contraction(course.offset_s + outside) == 0.0
    assert course.contraction(course.apex_s) == 1.0


@quick
@given(course=courses)
def test_flanks_are_monotone(course: TimeCourse) -> None:
    rise = [course.contraction(float(t)) for t in np.linspace(course.onset_s, course.apex_s, 30)]
    fall = [course.contraction(float(t)) for t in np.linspace(course.apex_s, course.offset_s, 30)]
    assert rise[0] == fall[-1] == 0.0
    assert (np.diff(rise) > 0).all()
    assert (np.diff(fall) < 0).all()


@quick
@given(course=courses)
def test_flanks_are_half_cosines(course: TimeCourse) -> None:
    for start_s, end_s in ((course.onset_s, course.apex_s), (course.offset_s, course.apex_s)):
        at = [course.contraction(start_s + share * (end_s - start_s)) for share in (0.25, 0.5, 0.75)]
        np.testing.assert_allclose(at, [0.1464466, 0.5, 0.8535534], atol=1e-5)


@pytest.mark.parametrize(
    ("onset_s", "apex_s", "offset_s"),
    [(-0.1, 0.1, 0.3), (0.2, 0.2, 0.3), (0.2, 0.1, 0.3), (0.1, 0.3, 0.3), (0, 1, 0.5)],
)
def test_a_course_out_of_order_is_refused(onset_s: float, apex_s: float, offset_s: float) -> None:
    with pytest.raises(ContractError, match="out of order"):
        TimeCourse(onset_s, apex_s, offset_s)


def test_random_courses_keep_the_documented_bounds() -> None:
    rng = np.random.default_rng(0)
    courses = [random_course(rng, 2.5) for _ in range(400)]
    rises = np.array([c.apex_s - c.onset_s for c in courses])
    falls = np.array([c.offset_s - c.apex_s for c in courses])
    assert {c.onset_s for c in courses} == {2.5}
    assert rises.min() >= 0.10 - 1e-9
    assert rises.max() <= 0.25 + 1e-9
    assert falls.min() >= 0.13 - 1e-9
    assert falls.max() <= 0.28 + 1e-9
    assert (rises + falls).max() <= 0.5 + 1e-9
    assert np.ptp(rises) > 0.13
    assert np.ptp(falls) > 0.13
