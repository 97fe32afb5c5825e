"""What the terminal says: numbers worked out by hand."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from itertools import takewhile

import numpy as np
import pytest
from rich.console import Console

from tests.factories import make_frame
from tsfmicro.realtime.events import Event, MeEnd, MeRejected, MeStart, SourceLost, SourceRestored
from tsfmicro.realtime.ledger import Ledger
from tsfmicro.realtime.pipeline import FaceView, Step, Tally
from tsfmicro.realtime.session import Summary
from tsfmicro.realtime.sources.demo import DemoSource
from tsfmicro.realtime.terminal import NoticeSink, ProgressViewer, print_summary, print_truth
from tsfmicro.synthetic.timecourse import TimeCourse, TrueEvent
from tsfmicro.values import Interval, Moment, Recognition

Times = tuple[float, float, float]


def a_console(terminal: bool = False) -> tuple[Console, io.StringIO]:
    said = io.StringIO()
    return Console(file=said, width=120, force_terminal=terminal), said


def moment(t_s: float) -> Moment:
    return Moment(round(t_s * 100), t_s)


def an_end(times_s: Times, label: str | None = "happiness", source: str = "clip.mp4", spotted: bool = False) -> MeEnd:
    probabilities = {"happiness": 0.1, "disgust": 0.1, "surprise": 0.1} | {label or "disgust": 0.8}
    recognition = Recognition(probabilities, () if label else ("low_probability",))
    return MeEnd(
        source=source,
        face_id=3,
        event_id="f003-00001",
        interval=Interval(*(moment(t) for t in times_s)),
        region="left_brow",
        magnitude=3.14,
        score=8.0,
        recognition=None if spotted else recognition,
        calibrated=True,
        lookahead_s=0.1,
    )


def a_rejection(*reasons: str) -> MeRejected:
    interval = Interval(moment(1.0), moment(1.1), moment(1.2))
    return MeRejected("clip.mp4", 3, "f003-00002", interval, "left_brow", 3.0, 8.0, reasons, {})


def hidden(times_s: Times, emotion: str, *units: int) -> TrueEvent:
    return TrueEvent(TimeCourse(*times_s), emotion, units, 3.0)


def said_of(truth: Sequence[TrueEvent], events: Sequence[Event]) -> list[str]:
    console, said = a_console()
    print_truth(console, truth, events)
    return [line.rstrip() for line in said.getvalue().splitlines() if line.strip()]


def rows_of(lines: Sequence[str]) -> list[list[str]]:
    """Cells of the table: what lies below the line, until a line that is no row."""
    below = next(i for i, line in enumerate(lines) if "───" in line) + 1
    return [re.split(r" {2,}", line.strip()) for line in takewhile(lambda line: line[0] == " ", lines[below:])]


TRUTH = (
    hidden((2.0, 2.2, 2.4), "happiness", 6, 12),
    hidden((4.0, 4.2, 4.4), "disgust", 9),
    hidden((6.0, 6.2, 6.4), "surprise", 1, 2),
    hidden((8.0, 8.2, 8.4), "disgust", 10),
)


def test_verdict_counts_found_false_and_named() -> None:
    found = [
        an_end((2.0, 2.23, 2.4), "happiness"),  # IoU 1, right
        an_end((4.1, 4.19, 4.4), "surprise"),  # IoU 0.3 / 0.4, wrong name
        an_end((6.3, 6.4, 6.7), "surprise"),  # IoU 0.1 / 0.7: neither found nor right, and false
        an_end((8.0, 8.2, 8.6), None),  # IoU 0.4 / 0.6, unsure
        an_end((9.0, 9.2, 9.4), "happiness"),  # nothing there
    ]
    lines = said_of(TRUTH, found)
    assert lines[-1] == "found 3 of 4 (75%) at IoU >= 0.5, 2 false; 1 of 4 named right"


def test_truth_table_has_a_row_for_each_hidden_event() -> None:
    lines = said_of(TRUTH, [an_end((2.0, 2.23, 2.4), "happiness"), an_end((4.1, 4.19, 4.4), None)])
    assert rows_of(lines) == [
        ["happiness 6+12", "2.00-2.40", "2.00-2.40", "1.00", "+30", "happiness 80%"],
        ["disgust 9", "4.00-4.40", "4.10-4.40", "0.75", "-10", "unsure: disgust 80%"],
        ["surprise 1+2", "6.00-6.40", "missed"],
        ["disgust 10", "8.00-8.40", "missed"],
    ]
    assert lines[-1] == "found 2 of 4 (50%) at IoU >= 0.5, 0 false; 1 of 4 named right"


@pytest.mark.parametrize(
    ("events", "verdict"),
    [
        ([], "found 0 of 4 (0%) at IoU >= 0.5, 0 false; 0 of 4 named right"),
        ([a_rejection("blink")], "found 0 of 4 (0%) at IoU >= 0.5, 0 false; 0 of 4 named right"),
        (
            [an_end((2.0, 2.2, 2.4), spotted=True)],
            "found 1 of 4 (25%) at IoU >= 0.5, 0 false; 0 of 4 named right",
        ),
        (
            [an_end((2.0, 2.2, 2.4)), an_end((2.01, 2.2, 2.4))],  # found twice: the second is false
            "found 1 of 4 (25%) at IoU >= 0.5, 1 false; 1 of 4 named right",
        ),
    ],
)
def test_verdict_of_little(events: Sequence[Event], verdict: str) -> None:
    assert said_of(TRUTH, events)[-1] == verdict


def summary_of(*events: Event, wall_s: float = 4.0, forgotten: int = 0) -> list[str]:
    console, said = a_console()
    ends, rejected = (sum(isinstance(event, kind) for event in events) for kind in (MeEnd, MeRejected))
    tally = Tally(frames=240, dropped=0, faces=2, events=ends + forgotten, rejected=rejected + forgotten)
    print_summary(console, Summary(tally, wall_s, "end_of_source", events))
    return [line.rstrip() for line in said.getvalue().splitlines() if line.strip()]


def test_summary_has_the_events_the_totals_and_the_reasons() -> None:
    lines = summary_of(
        MeStart("clip.mp4", 3, "f003-00001", moment(2.1), 3.0, "left_brow"),
        an_end((2.0, 2.15, 2.4)),
        a_rejection("blink", "too_long"),
        a_rejection("blink"),
    )
    assert rows_of(lines) == [["3", "2.000", "2.150", "2.400", "400", "3.1", "happiness 80%"]]
    assert "240 frames in 4.0 s (60 frames/s), 2 face(s), 1 micro-expression(s), 2 movement(s) rejected" in lines
    assert lines[-1] == "rejected for: blink 2, too_long 1"


def test_summary_of_nothing_is_one_line() -> None:
    (line,) = summary_of(wall_s=0.0)
    assert line.endswith("0 micro-expression(s), 0 movement(s) rejected")


def test_a_month_is_counted_whole_though_only_its_last_events_are_remembered() -> None:
    lines = summary_of(an_end((2.0, 2.15, 2.4)), a_rejection("blink"), a_rejection("blink"), forgotten=5000)
    assert any("5001 micro-expression(s), 5002 movement(s) rejected" in line for line in lines)
    assert lines[-1] == "the last 2 rejected for: blink 2"


def test_a_long_table_is_cut_and_says_so() -> None:
    lines = summary_of(*(an_end((float(i), i + 0.2, i + 0.4)) for i in range(1, 48)))
    assert sum("happiness 80%" in line for line in lines) == 40
    assert any("and 7 more in the event stream" in line for line in lines)


def test_several_sources_are_told_apart() -> None:
    lines = summary_of(an_end((2.0, 2.15, 2.4)), an_end((2.0, 2.15, 2.4), source="other.mp4"))
    assert [row[0] for row in rows_of(lines)] == ["clip.mp4", "other.mp4"]


def test_a_file_name_with_brackets_is_shown_whole() -> None:
    lines = summary_of(an_end((2.0, 2.15, 2.4)), an_end((2.0, 2.15, 2.4), source="take[red].mp4"))
    assert any("take[red].mp4" in line for line in lines)


def test_the_summary_tells_of_frames_that_went_astray_and_of_latency() -> None:
    latency = {"count": 50, "p50_ms": 8.4, "p95_ms": 15.6, "p99_ms": 31.0}
    reports = ({"source": "rtsp://cam/[live]", "fps_measured": 29.97, "capture_to_decision": latency},)
    ledger = Ledger(captured=60, analysed=50, dropped=10, misstamped=2, times_lost=1, longest_gap_s=4.25)
    console, said = a_console()
    print_summary(console, Summary(Tally(frames=50), 4.0, "end_of_source", (), ledger, reports))
    lines = said.getvalue().splitlines()
    assert lines[1:] == [
        "frames: 60 captured, 10 dropped, 2 without a usable time, source lost 1 time(s), longest gap 4.2 s",
        "rtsp://cam/[live]: 30.0 frames/s measured, capture to decision 8 ms (50 %), 16 ms (95 %), 31 ms (99 %)",
    ]


def test_a_lost_source_is_told_at_once() -> None:
    console, said = a_console()
    notices = NoticeSink(console)
    notices.write(SourceLost("rtsp://cam/[live]", moment(12.0), "ended", "rtsp://cam/[live] ended"), 4)
    notices.write(SourceRestored("rtsp://cam/[live]", moment(15.5), 3.5), 5)
    notices.write(an_end((2.0, 2.15, 2.4)), 6)
    notices.close()
    assert said.getvalue().splitlines() == [
        "lost at 12.0 s: rtsp://cam/[live] ended",
        "rtsp://cam/[live] is back after 3.5 s",
    ]


def a_step(index: int, *events: Event) -> Step:
    frame = make_frame(np.zeros((4, 4, 3), dtype=np.uint8), index)
    return Step(frame, (FaceView(1, (0.0, 0.0, 1.0, 1.0), 0.0, False),), events)


def watched(console: Console) -> None:
    viewer = ProgressViewer(console, DemoSource())
    try:
        for index in range(5):
            viewer.see(a_step(index, *([an_end((2.0, 2.15, 2.4))] if index == 3 else [])))
        viewer.finish([])
        viewer._progress.refresh()
    finally:
        viewer.close()
        viewer.close()


def test_progress_is_silent_without_a_terminal() -> None:
    console, said = a_console()
    watched(console)
    assert said.getvalue() == ""


def test_progress_counts_frames_and_finds_on_a_terminal() -> None:
    console, said = a_console(terminal=True)
    watched(console)
    assert "demo:" in said.getvalue()
    assert "5/1440" in said.getvalue()
    assert "1 found" in said.getvalue()
