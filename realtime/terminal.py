"""What a person at a terminal sees: progress, the table of events, and the truth where a clip has one."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from tsfmicro.intervals import Counts, Match, count, match_intervals
from tsfmicro.realtime.events import Event, MeEnd, MeRejected, SourceLost, SourceRestored
from tsfmicro.realtime.pipeline import Step
from tsfmicro.realtime.session import Summary
from tsfmicro.realtime.sources import Source
from tsfmicro.realtime.stage_clock import PERCENTILES
from tsfmicro.realtime.viewers import event_caption, movements
from tsfmicro.synthetic.timecourse import TrueEvent

_MAX_ROWS = 40


class ProgressViewer:
    """A progress bar with the time that is left; shows nothing where standard error is not a terminal."""

    def __init__(self, console: Console, source: Source) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("frames"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[found]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._found = 0
        self._task = self._progress.add_task(escape(source.name), total=source.expected_frames, found="")
        self._progress.start()

    def see(self, step: Step) -> None:
        """One frame further."""
        self._found += sum(isinstance(event, MeEnd) for event in step.events)
        self._progress.update(self._task, advance=1, found=f"{self._found} found")

    def finish(self, events: Sequence[Event]) -> None:
        """Nothing to add."""

    def close(self) -> None:
        """Take the bar off the screen."""
        self._progress.stop()


class NoticeSink:
    """Says on standard error that a source went away, and that it is back."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, event: Event, seq: int) -> None:
        """See ``EventSink.write``; only these two are told."""
        if isinstance(event, SourceLost):
            self._say(f"lost at {event.at.t_s:.1f} s: {event.detail}")
        elif isinstance(event, SourceRestored):
            self._say(f"{event.source} is back after {event.gap_s:.1f} s")

    def close(self) -> None:
        """Nothing is held open."""

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


def print_summary(console: Console, summary: Summary) -> None:
    """The table of events and a line of totals."""
    found = [event for event in summary.events if isinstance(event, MeEnd)]
    told = sum(isinstance(event, MeRejected) for event in summary.events)
    rejected = [event for event in movements(summary.events) if isinstance(event, MeRejected)]
    if found:
        console.print(_events_table(found))
    tally = summary.tally
    speed = tally.frames / summary.wall_s if summary.wall_s > 0 else 0.0
    console.print(
        f"{tally.frames} frames in {summary.wall_s:.1f} s ({speed:.0f} frames/s), {tally.faces} face(s), "
        f"{tally.events} micro-expression(s), {tally.rejected} movement(s) rejected"
    )
    _print_books(console, summary)
    if rejected:
        reasons: dict[str, int] = {}
        for event in rejected:
            for reason in event.reasons:
                reasons[reason] = reasons.get(reason, 0) + 1
        listed = ", ".join(f"{name} {n}" for name, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
        which = "rejected" if told == tally.rejected else f"the last {told} rejected"
        console.print(f"{which} for: {listed}")


def _print_books(console: Console, summary: Summary) -> None:
    """What became of the frames, where anything did that should not, or where latency matters."""
    troubles = {
        "dropped": summary.ledger.dropped,
        "late": summary.ledger.late,
        "repeated": summary.ledger.repeated,
        "undecodable": summary.ledger.undecodable,
        "without a usable time": summary.ledger.misstamped,
    }
    told = [f"{count} {name}" for name, count in troubles.items() if count]
    if summary.ledger.times_lost:
        told.append(
            f"source lost {summary.ledger.times_lost} time(s), longest gap {summary.ledger.longest_gap_s:.1f} s"
        )
    if told:
        console.print(f"frames: {summary.ledger.captured} captured, {', '.join(told)}")
    for report in summary.sources:
        latency = report["capture_to_decision"]
        if latency is not None and latency["count"]:
            times = ", ".join(f"{latency[f'p{p}_ms']:.0f} ms ({p} %)" for p in PERCENTILES)
            fps = report["fps_measured"] or 0.0
            line = f"{report['source']}: {fps:.1f} frames/s measured, capture to decision {times}"
            console.print(line, markup=False, soft_wrap=True)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _events_table(found: Sequence[MeEnd]) -> Table:
    several = len({event.source for event in found}) > 1
    table = _table("Micro-expressions")
    for name in (*(["source"] if several else []), "face", "onset s", "apex s", "offset s", "ms", "%IOD", "label"):
        table.add_column(name, justify="left" if name in {"source", "label"} else "right")
    for event in found[:_MAX_ROWS]:
        i = event.interval
        table.add_row(
            *([escape(event.source)] if several else []),
            str(event.face_id),
            f"{i.onset.t_s:.3f}",
            f"{i.apex.t_s:.3f}",
            f"{i.offset.t_s:.3f}",
            f"{i.duration_s * 1e3:.0f}",
            f"{event.magnitude:.1f}",
            event_caption(event),
        )
    if len(found) > _MAX_ROWS:
        table.caption = f"and {len(found) - _MAX_ROWS} more in the event stream"
    return table


def print_truth(console: Console, truth: Sequence[TrueEvent], events: Sequence[Event]) -> None:
    """What was hidden in a clip, what of it was found, and the score."""
    found = [event for event in events if isinstance(event, MeEnd)]
    true_spans = [(e.course.onset_s, e.course.offset_s) for e in truth]
    found_spans = [(e.interval.onset.t_s, e.interval.offset.t_s) for e in found]
    matches = {match.truth: match for match in match_intervals(true_spans, found_spans)}
    table = _table("Hidden in the clip, and what was found")
    for name in ("hidden", "from-to s", "found s", "IoU", "apex ms", "called"):
        table.add_column(name, justify="right" if name in {"IoU", "apex ms"} else "left")
    for number, event in enumerate(truth):
        table.add_row(*_truth_cells(event), *_found_cells(event, matches.get(number), found))
    console.print(table)
    totals = count(true_spans, found_spans)
    right = sum(_named_right(truth[m.truth], found[m.found]) for m in matches.values())
    console.print(_verdict(totals, right, len(truth)))


def _truth_cells(event: TrueEvent) -> tuple[str, str]:
    c = event.course
    units = "+".join(str(unit) for unit in event.action_units)
    return f"{event.emotion} {units}", f"{c.onset_s:.2f}-{c.offset_s:.2f}"


def _found_cells(event: TrueEvent, match: Match | None, found: Sequence[MeEnd]) -> tuple[str, str, str, str]:
    if match is None:
        return "missed", "", "", ""
    hit = found[match.found]
    i = hit.interval
    error_ms = (i.apex.t_s - event.course.apex_s) * 1e3
    times = f"{i.onset.t_s:.2f}-{i.offset.t_s:.2f}"
    return times, f"{match.iou:.2f}", f"{error_ms:+.0f}", event_caption(hit)


def _named_right(event: TrueEvent, found: MeEnd) -> bool:
    return found.recognition is not None and found.recognition.label == event.emotion


def _verdict(totals: Counts, right: int, hidden: int) -> str:
    return (
        f"found {totals.tp} of {hidden} ({totals.recall:.0%}) at IoU >= 0.5, {totals.fp} false; "
        f"{right} of {hidden} named right"
    )
