"""What was loaded is not walked over while frames come, and is afterwards."""

from __future__ import annotations

import gc

import pytest

from tsfmicro.realtime.garbage import loaded_objects_set_aside


def test_what_was_there_before_is_not_looked_at() -> None:
    before = [object() for _ in range(1000)]
    with loaded_objects_set_aside():
        made: list[list[int]] = [[] for _ in range(10)]
        seen = set(map(id, gc.get_objects()))
        assert id(before) not in seen
        assert id(made) in seen
        assert gc.get_freeze_count() > 10_000
    assert gc.get_freeze_count() == 0


def test_an_error_does_not_leave_them_aside() -> None:
    with pytest.raises(ValueError, match="broken"), loaded_objects_set_aside():
        raise ValueError("broken")
    assert gc.get_freeze_count() == 0
