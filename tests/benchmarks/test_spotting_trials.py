"""Recordings, the movements in them, and the trials over them."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.test_spotting_fitting import some
from tests.factories import make_samples
from tsfmicro.benchmarks.spotting import movements, trials
from tsfmicro.benchmarks.spotting.clips import Clip, Kind, Side
from tsfmicro.benchmarks.spotting.fitting import patterns_without
from tsfmicro.benchmarks.spotting.inject import Acted
from tsfmicro.benchmarks.spotting.movements import Movement, movements_in
from tsfmicro.benchmarks.spotting.recordings import Recording, read_recordings
from tsfmicro.benchmarks.spotting.takes import Condition, Take
from tsfmicro.benchmarks.spotting.trials import VARIANTS, run_trials
from tsfmicro.errors import UsageError
from tsfmicro.motion import REGIONS, Displacement, FacePatch
from tsfmicro.realtime import trajectory
from tsfmicro.realtime.spot import SpotSpec
from tsfmicro.synthetic.timecourse import TimeCourse, TrueEvent
from tsfmicro.values import Float64Array

COURSE = TimeCourse(2.0, 2.15, 2.40)


def recording(person: str = "a", face: int = 0) -> Recording:
    clip = Clip(person, "", person, Side.TRAIN, Kind.STILL, 0, 0, 4, 1, nuisances=False, rates=False)
    acted = Acted(TrueEvent(COURSE, "surprise", (1, 2), 3.0), face)
    places = ((320.0, 240.0), (900.0, 240.0))
    return Recording(Take(clip, Condition(3.0)), (acted,), places, 4.0, {1: make_samples(60.0, 4.0)})


@pytest.fixture
def brow_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    def scripted(reference: FacePatch, current: FacePatch, align: Any) -> Any:
        moves = np.zeros((len(REGIONS), 2))
        times_s = float(reference.to_crop[0, 2]), float(current.to_crop[0, 2])
        moves[:2, 1] = 3.0 * (COURSE.contraction(times_s[0]) - COURSE.contraction(times_s[1]))
        return moves

    still = Displacement(np.zeros(len(REGIONS)), np.eye(2, 3), 0.1)
    monkeypatch.setattr(trajectory, "region_moves", scripted)
    monkeypatch.setattr(movements, "displacement", lambda *_: still)


@pytest.mark.usefixtures("brow_rises")
def test_a_movement_knows_the_event_it_is() -> None:
    (movement,) = movements_in(recording(), SpotSpec())
    assert (movement.event, movement.units, movement.admitted) == (0, (1, 2), True)
    assert movement.finished.samples == ()
    assert movement.evidence["onset_phase_s"] == pytest.approx(0.15, abs=0.04)


@pytest.mark.usefixtures("brow_rises")
def test_another_persons_event_is_not_it() -> None:
    (movement,) = movements_in(recording(face=1), SpotSpec())
    assert (movement.event, movement.units) == (None, ())


@pytest.mark.usefixtures("brow_rises")
def test_movements_can_be_spotted_by_the_patterns_of_other_people() -> None:
    known = patterns_without([recording("a"), recording("b")], SpotSpec())
    assert sorted(known) == ["a", "b"]
    brows = np.zeros((len(REGIONS), 2))
    brows[:2, 1] = -np.sqrt(0.5)
    np.testing.assert_allclose(known["a"], [brows], atol=1e-6)
    assert patterns_without([recording("a")], SpotSpec())["a"].shape == (0, len(REGIONS), 2)
    (movement,) = movements_in(recording("a"), SpotSpec(), known["a"])
    assert (movement.event, movement.admitted) == (0, True)
    assert not any(m.admitted for m in movements_in(recording("a"), SpotSpec(), -known["a"]))


def test_recordings_come_back_and_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no recordings"):
        list(read_recordings(tmp_path))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(recording()))
    (again,) = read_recordings(tmp_path)
    assert again.truth == recording().truth
    assert len(again.faces[1]) == 241


def test_every_variant_is_scored_on_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {person: some(person=person) for person in ("a", "b", "c")}

    asked: list[bool] = []

    def given(taken: Recording, spot: SpotSpec, patterns: Float64Array | None = None) -> list[Movement]:
        asked.append(patterns is not None)
        return [replace(m, take=taken.take) for m in found[taken.take.clip.person]]

    monkeypatch.setattr(trials, "movements_in", given)
    for person in found:
        (tmp_path / f"{person}.pkl").write_bytes(pickle.dumps(recording(person)))
    everything = run_trials(tmp_path)
    assert asked == [True, False] * 3
    stages = [row for row in everything if "stages" in row]
    assert [(row["variant"], row["stages"]) for row in stages] == [(name, {"told": 3}) for name in list(VARIANTS)[:2]]
    rows = [row for row in everything if "stages" not in row]
    assert [row["variant"] for row in rows] == list(VARIANTS)
    for row in rows:
        assert (row["kind"], row["condition"], row["hidden"]) == ("still", "3%", 3)
        assert row["f1_interval"][0] <= row["f1"] <= row["f1_interval"][1]
    # All movements of a take lie at the same time and are equally clear: each that passes is told, the 20 true ones.
    by_name = {row["variant"]: row for row in rows}
    limits, shipped = by_name["limits alone, no confidence"], by_name["as shipped"]
    assert (limits["tp"], limits["fp"]) == (3, 3 * 40 - 3)
    assert (shipped["tp"], shipped["fp"]) == (3, 3 * 20 - 3)


@pytest.mark.parametrize(
    ("changes", "reported", "stage"),
    [
        ({}, True, "told"),
        ({}, False, "unsure"),
        ({"admitted": False, "exceeded": ("blink", "slow_onset")}, False, "slow_onset"),
        ({"event": None}, False, "misplaced"),
        ({"event": None, "face": 1}, False, "unseen"),
    ],
)
@pytest.mark.usefixtures("brow_rises")
def test_the_stage_that_loses_an_event_is_told(changes: dict[str, Any], reported: bool, stage: str) -> None:
    taken = recording()
    found = [replace(m, **changes) for m in movements_in(taken, SpotSpec())]
    assert list(trials.stages_of(taken, found, found if reported else [])) == [stage]


def test_untouched_footage_counts_however_it_is_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    movements_of = {person: some(person=person) for person in ("a", "b", "c")}
    monkeypatch.setattr(trials, "movements_in", lambda taken, *_: movements_of.get(taken.take.clip.name, []))
    for person in ("a", "b", "c"):
        (tmp_path / f"{person}.pkl").write_bytes(pickle.dumps(recording(person)))
    for condition in (Condition(0.0), Condition(0.0, noise_sigma=4.0)):
        plain = recording("z")
        watched = replace(plain, take=replace(plain.take, condition=condition), truth=(), watched_s=30.0)
        (tmp_path / f"{condition.name}.pkl").write_bytes(pickle.dumps(watched))
    rows = [row for row in run_trials(tmp_path) if row["variant"] == "as shipped" and "false_events" in row]
    assert sorted(row["condition"] for row in rows) == ["untouched", "untouched noise4", "untouched, all"]
    assert [row["watched_s"] for row in rows] == [30.0, 30.0, 60.0]
    assert rows[2]["false_events_per_min_interval"] == [0.0, pytest.approx(3.69)]
