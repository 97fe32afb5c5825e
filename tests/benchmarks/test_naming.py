"""Clips with each recogniser and with their mean: what is counted, and what is held against what."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tsfmicro.benchmarks import naming
from tsfmicro.benchmarks.naming import run_naming
from tsfmicro.errors import UsageError
from tsfmicro.realtime.events import FaceWindow, MeEnd
from tsfmicro.realtime.stage_clock import StageClock
from tsfmicro.values import Interval, Moment, Recognition

AT = Moment(3, 0.1)
HAPPY = Recognition({"happiness": 0.8, "disgust": 0.2}, ())
UNSURE = Recognition({"happiness": 0.4, "disgust": 0.6}, ("low_probability",))


def a_bundle(name: str, protocol: str = "casme2_5c_tsf") -> Any:
    return SimpleNamespace(manifest=SimpleNamespace(name=name, protocol_id=protocol))


def an_end(event_id: str, recognition: Recognition | None) -> MeEnd:
    return MeEnd("clip", 1, event_id, Interval(AT, AT, AT), "chin", 2.0, 5.0, recognition, True, 0.1)


def a_window(recognition: Recognition) -> FaceWindow:
    return FaceWindow("clip", 1, AT, AT, 8, 2.0, recognition)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...], float]]:
    """Which bundles were asked about which clip, without running anything."""
    asked: list[tuple[str, tuple[str, ...], float]] = []
    said: dict[tuple[str, ...], list[MeEnd | FaceWindow]] = {
        ("tsf",): [an_end("a", HAPPY), an_end("b", HAPPY), an_end("c", HAPPY)],
        ("fdp",): [an_end("a", HAPPY), an_end("b", UNSURE), a_window(UNSURE), a_window(HAPPY)],
        ("tsf", "fdp"): [an_end("a", HAPPY), an_end("b", UNSURE), an_end("c", None)],
    }

    def pretend(clip: str, bundles: Any, slide_s: float) -> tuple[list[MeEnd | FaceWindow], StageClock]:
        names = tuple(bundle.manifest.name for bundle in bundles)
        asked.append((Path(clip).name, names, slide_s))
        return said[names], StageClock()

    monkeypatch.setattr(naming, "_run", pretend)
    return asked


def test_each_one_and_their_mean_are_asked(runs: list[tuple[str, tuple[str, ...], float]]) -> None:
    rows = run_naming(["x/a.mp4", "b.mp4"], [a_bundle("tsf"), a_bundle("fdp")], 0.5)
    assert runs == [(clip, names, 0.5) for clip in ("a.mp4", "b.mp4") for names in (("tsf",), ("fdp",), ("tsf", "fdp"))]
    first = {row["recogniser"]: row for row in rows[:3]}
    assert list(first) == ["tsf", "fdp", "mean"]
    counts = {name: (row["micro_expressions"], row["answered"], row["windows"]) for name, row in first.items()}
    assert counts == {"tsf": (3, 3, 0), "fdp": (2, 1, 2), "mean": (3, 1, 0)}
    assert first["fdp"]["most_likely"] == {"happiness": 1, "disgust": 1}
    assert (first["fdp"]["windows_answered"], first["fdp"]["windows_most_likely"]) == (
        1,
        {"disgust": 1, "happiness": 1},
    )
    assert first["mean"]["events"][2] == {
        "onset_s": 0.1, "offset_s": 0.1, "magnitude_percent_iod": 2.0, "label": None, "most_likely": None,
        "probability": None, "abstain": [],
    }  # fmt: skip
    alike = {row["recognisers"]: (row["same_most_likely"], row["events_of_both"]) for row in rows[3:6]}
    assert alike == {"tsf, fdp": (1, 2), "tsf, mean": (1, 2), "fdp, mean": (2, 2)}


def test_one_alone_has_no_mean(runs: list[tuple[str, tuple[str, ...], float]]) -> None:
    (row,) = run_naming(["a.mp4"], [a_bundle("tsf")], 0.5)
    assert row["recogniser"] == "tsf" and len(runs) == 1


@pytest.mark.parametrize("bundles", [[], [a_bundle("tsf"), a_bundle("fdp", "samm_5c_tsf")]])
def test_what_cannot_be_averaged_is_refused(bundles: list[Any]) -> None:
    with pytest.raises(UsageError, match="different protocols, or there are none"):
        run_naming(["a.mp4"], bundles, 0.5)
