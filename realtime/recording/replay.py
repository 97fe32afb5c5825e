"""Runs a recording again: a source whose frames bring their sights along."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tsfmicro.closing import Closing
from tsfmicro.errors import ContractError
from tsfmicro.realtime.ledger import Ledger
from tsfmicro.realtime.recording.layout import REPLAY_PREFIX, Header, read_header
from tsfmicro.realtime.recording.reader import CutOff, RecordedFrame, SourceReader, ending
from tsfmicro.realtime.sources.reconnect import Item
from tsfmicro.realtime.watch import Sight
from tsfmicro.values import Face, Frame, Moment


class ReplaySource(Closing):
    """One source of a recorded session. It gives its frames as fast as they are taken, whether or not it was live.

    Args:
        folder: of the recording.
        header: of the recording.
        number: of the source, in the order of the header.

    Raises:
        SourceError: the recording is incomplete.
    """

    live = False

    def __init__(self, folder: Path, header: Header, number: int = 0) -> None:
        self.name = header.sources[number]
        self.header = header
        self.skipped = self.undecodable = self.misstamped = 0
        self.expected_duration_s: float | None = None
        self.note: str | None = None
        """After the end: a sentence, where the recording is shorter than its session was."""
        self._folder = folder
        last = ending(folder)
        frames = last.get("frames") if last else None
        self.expected_frames: int | None = frames[number] if isinstance(frames, list) else None
        self._reader = SourceReader(folder, header, number)

    @property
    def end_place(self) -> float:
        """Place of the source's end in the recording; infinite where it has none."""
        return self._reader.end_place

    def intake(self) -> RecordedIntake:
        """The books as they were."""
        return RecordedIntake(self._reader)

    def items(self) -> Iterator[Item]:
        """Frames in order, and where the live source broke off and went on again.

        Raises:
            SourceLostError: the recording is damaged.
        """
        frames, last_s = 0, 0.0
        try:
            for item in self._reader.items():
                if isinstance(item, Frame):
                    frames, last_s = frames + 1, item.t_s
                yield item
        except CutOff:
            self.note = f"the recording in {self._folder} was cut off: {self.name} ends after {frames} frames"
        else:
            if self._reader.end is not None and self._reader.end["kind"] == "full":
                self.note = f"the recording in {self._folder} was full at {last_s:.1f} s of {self.name}"

    def frames(self) -> Iterator[Frame]:
        """See ``Source.frames``."""
        for item in self.items():
            if isinstance(item, Frame):
                yield item

    def close(self) -> None:
        """See ``Source.close``."""
        self._reader.close()


class RecordedIntake:
    """Tells a recording's own books; counting its frames again would not know of those that were dropped."""

    def __init__(self, reader: SourceReader) -> None:
        self._reader = reader
        self._books = Ledger()

    def note(self, item: Item) -> Ledger:
        """The books as they were last told up to this item."""
        if isinstance(item, RecordedFrame) and item.ledger is not None:
            self._books = item.ledger
        return self._books

    def ledger(self) -> Ledger:
        """The books at the end."""
        end = self._reader.end
        return Ledger(**end["ledger"]) if end is not None and "ledger" in end else self._books


class RecordedWatch:
    """Gives the sights that the frames of a replay bring along; see :class:`tsfmicro.realtime.watch.Watch`."""

    def __init__(self) -> None:
        self._last_seen: dict[int, Moment] = {}

    def look(self, frame: Frame, closely: bool) -> Sight:
        """The sight of a recorded frame."""
        if not isinstance(frame, RecordedFrame):
            raise ContractError(f"{frame!r} is not from a recording")
        for face_id, _ in frame.sight.lost:
            del self._last_seen[face_id]
        self._last_seen.update(dict.fromkeys(frame.sight.faces, frame.sight.at))
        return frame.sight

    def recalibrate(self) -> None:
        """Nothing: the recording says when that was asked for."""

    def forget(self) -> tuple[tuple[int, Moment], ...]:
        """Every identity that was not given up before, as the tracker names them: oldest first."""
        lost, self._last_seen = tuple(self._last_seen.items()), {}
        return lost


class NoDetector:
    """Stands where a detector would: a recording says where its faces are."""

    def detect(self, frame: Frame) -> list[Face]:
        """Never asked."""
        raise ContractError("a recording needs no detector")

    def close(self) -> None:
        """Nothing is held open."""


def open_recording(text: str) -> list[ReplaySource]:
    """The sources of ``replay:DIR``.

    Raises:
        SourceError: there is no recording, or it is damaged, incomplete or of another version.
    """
    folder = Path(text.removeprefix(REPLAY_PREFIX))
    header = read_header(folder)
    with ExitStack() as stack:
        sources = [stack.enter_context(ReplaySource(folder, header, number)) for number in range(len(header.sources))]
        stack.pop_all()  # all of them are open: they are the caller's now
    return sources
