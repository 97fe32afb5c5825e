"""Windows of frames: where they begin and end, what they are held on, and when one slides over a face."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.factories import make_finished, make_samples
from tsfmicro.align import AlignSpec
from tsfmicro.errors import UsageError
from tsfmicro.motion import REGIONS, FacePatch
from tsfmicro.preprocess import Preprocessor, PreprocessSpec
from tsfmicro.realtime import windows
from tsfmicro.realtime.analyzer import FaceAnalyzer, Unnamed
from tsfmicro.realtime.events import FaceWindow
from tsfmicro.realtime.gates import GateSpec
from tsfmicro.realtime.samples import FaceSample
from tsfmicro.realtime.sliding import SlideSpec, SlidingWindows
from tsfmicro.realtime.spot import SpotSpec
from tsfmicro.realtime.windows import HeldWindow, event_window

ALIGN, PREPROCESSOR = AlignSpec(), Preprocessor(PreprocessSpec())
Held = list[tuple[FacePatch, FacePatch]]


def marked(samples: list[FaceSample]) -> list[FaceSample]:
    """The same, every picture of one grey that tells its place."""
    return [replace(s, pixels=np.full_like(s.pixels, 10 + 3 * number)) for number, s in enumerate(samples)]


def places_of(crops: Any) -> list[int]:
    """Which of the marked samples the crops show."""
    return [round((float(np.median(crop)) - 10) / 3) for crop in crops]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """What was compared with what; a region moves as far as its picture is bright."""
    seen: Held = []

    def still(first: FacePatch, second: FacePatch, align: AlignSpec) -> SimpleNamespace:
        seen.append((first, second))
        residual = np.zeros(len(REGIONS))
        residual[3] = second.to_crop[0, 2]  # the sample's time
        return SimpleNamespace(rigid=np.eye(2, 3), residual=residual)

    monkeypatch.setattr(windows, "displacement", still)
    return seen


# --- of a movement --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [3, 8])
def test_a_window_spans_its_movement(frames: int, held: Held) -> None:
    samples = marked(make_samples(30.0, 1.0))
    finished = make_finished(samples, (0.2, 0.4, 0.7))
    window = event_window(finished, frames, ALIGN, PREPROCESSOR)
    assert window.shape == (frames, 224, 224, 3) and window.dtype == np.uint8
    places = places_of(window)
    expected = [samples.index(min(samples, key=lambda s: abs(s.moment.t_s - t))) for t in np.linspace(0.2, 0.7, frames)]
    assert places == pytest.approx(expected, abs=1)
    assert (places[0], places[-1]) == (6, 21)
    # Every other frame is held on the first one, once.
    assert [(first is samples[6].patch, second) for first, second in held] == [
        (True, samples[place].patch) for place in places[1:]
    ]


# --- sliding --------------------------------------------------------------------------------------------------------


def slid(fps: float, duration_s: float, spec: SlideSpec, frames: int = 8) -> list[tuple[float, HeldWindow]]:
    """Every window that was cut, and the time of the sample that told it."""
    sliding = SlidingWindows(frames, spec, ALIGN, PREPROCESSOR)
    told = [(s.moment.t_s, sliding.push(s)) for s in marked(make_samples(fps, duration_s))]
    return [(t_s, window) for t_s, window in told if window is not None]


@pytest.mark.parametrize("fps", [25.0, 30.0, 60.0])
@pytest.mark.parametrize("stride_s", [0.1, 0.25, 0.7])
def test_a_window_comes_with_every_stride(held: Held, fps: float, stride_s: float) -> None:
    found = slid(fps, 1.35, SlideSpec(stride_s))
    wanted = np.arange(0.5, 1.35 + 1e-9, stride_s)
    assert len(found) == len(wanted)
    for (told_s, window), due_s in zip(found, wanted, strict=True):
        assert 0 <= told_s - due_s + 1e-9 < 1 / fps  # the first frame at or after the time
        times = np.array([sample.moment.t_s for sample in window.samples])
        assert times == pytest.approx(np.linspace(told_s - 0.5, told_s, 8), abs=0.5 / fps + 1e-9)
        assert places_of(window.crops) == [sample.moment.frame for sample in window.samples]
        assert window.moved.tolist() == [0.0, *times[1:]]


def test_a_face_is_seen_for_a_whole_window_first(held: Held) -> None:
    assert slid(30.0, 0.45, SlideSpec(0.1)) == []
    assert len(slid(30.0, 0.5, SlideSpec(0.1))) == 1


def test_a_slow_camera_repeats_frames(held: Held) -> None:
    ((_, window),) = slid(10.0, 0.5, SlideSpec(0.5))
    assert len({sample.moment.frame for sample in window.samples}) == 6 and len(window.crops) == 8


def test_windows_that_were_missed_are_not_made_up_for(held: Held) -> None:
    """A face that was not seen for a while is not asked about twice in the same frame, nor off the beat."""
    sliding = SlidingWindows(4, SlideSpec(0.2), ALIGN, PREPROCESSOR)
    samples = [s for s in make_samples(20.0, 2.0) if not 0.75 < s.moment.t_s < 1.33]
    told = [s.moment.t_s for s in samples if sliding.push(s) is not None]
    assert told == pytest.approx([0.5, 0.7, 1.35, 1.5, 1.7, 1.9])


@pytest.mark.parametrize("stride_s", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_stride_is_refused(stride_s: float) -> None:
    with pytest.raises(UsageError, match=r"--slide is .*; expected seconds"):
        SlideSpec(stride_s)


def test_a_window_is_named_whether_or_not_anything_was_spotted(held: Held) -> None:
    analyzer = FaceAnalyzer(
        "clip", 3, ALIGN, SpotSpec(), GateSpec(), PREPROCESSOR, window_frames=6, slide=SlideSpec(0.25)
    )
    found = [finding for sample in make_samples(30.0, 0.8) for finding in analyzer.push(sample)]
    assert all(isinstance(finding, Unnamed) for finding in found) and len(found) == 2
    for finding in found:
        assert isinstance(finding, Unnamed) and finding.window is not None
        event = finding.event
        assert isinstance(event, FaceWindow) and (event.source, event.face_id, event.frames) == ("clip", 3, 6)
        # A recogniser of pairs is given the first frame and the one that differs most from it, here the last.
        assert (finding.crops.onset == finding.window[0]).all() and (finding.crops.apex == finding.window[-1]).all()
        assert event.magnitude == pytest.approx(event.end.t_s) and event.recognition is None


def test_nobody_is_asked_without_being_told_to(held: Held) -> None:
    analyzer = FaceAnalyzer("clip", 3, ALIGN, SpotSpec(), GateSpec(), PREPROCESSOR, window_frames=6)
    assert [finding for sample in make_samples(30.0, 2.0) for finding in analyzer.push(sample)] == []
