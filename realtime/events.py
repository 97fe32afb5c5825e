"""The event stream ``tsf.event/1`` as typed values; :mod:`tsfmicro.realtime.event_json` writes them down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from tsfmicro.realtime.ledger import Ledger
from tsfmicro.values import Interval, Moment, Recognition

SCHEMA_ID = "tsf.event/1"
SAME_MOVEMENT = "same_movement"
"""Rejection: another event of this face tells of the same movement, more clearly."""


@dataclass(frozen=True, slots=True)
class SessionStart:
    """First event of a run."""

    type: ClassVar[str] = "session.start"
    version: str
    sources: tuple[str, ...]
    model: Mapping[str, Any] | None
    """Name, digest, protocol, labels and backend of the recogniser; None when only spotting."""
    t_wall: str
    """RFC 3339."""


@dataclass(frozen=True, slots=True)
class SourceLost:
    """A live source went away; it is tried again."""

    type: ClassVar[str] = "source.lost"
    source: str
    at: Moment
    """Last frame before it."""
    reason: str
    """``ended``, ``timeout``, ``broken``, ``resized``, ``stopped`` or ``no_picture``."""
    detail: str
    """A sentence."""


@dataclass(frozen=True, slots=True)
class SourceRestored:
    """A lost source is back. Nothing is compared across the gap."""

    type: ClassVar[str] = "source.restored"
    source: str
    at: Moment
    """First frame after the gap; media time went on meanwhile."""
    gap_s: float
    """From the last frame before the gap to the first one after it."""


@dataclass(frozen=True, slots=True)
class FaceNew:
    """A face got an identity."""

    type: ClassVar[str] = "face.new"
    source: str
    face_id: int
    at: Moment
    iod_px: float
    """Inter-ocular distance, frame pixels."""


@dataclass(frozen=True, slots=True)
class FaceLost:
    """A face has been out of view for so long that its identity is given up."""

    type: ClassVar[str] = "face.lost"
    source: str
    face_id: int
    at: Moment
    """Last frame it was seen in."""


@dataclass(frozen=True, slots=True)
class FaceWindow:
    """What a recogniser of windows says of the last half second of a face, whether or not anything was spotted in it.

    No finding: nothing judges whether a micro-expression happened at all, only which it would have been.
    """

    type: ClassVar[str] = "face.window"
    source: str
    face_id: int
    begin: Moment
    """First frame of the window."""
    end: Moment
    """Last frame of it, and the one that told it."""
    frames: int
    """Different frames of the camera among those that the recogniser was given."""
    magnitude: float
    """Largest displacement of any region against the first frame, percent of the inter-ocular distance."""
    recognition: Recognition | None
    """None until it is named."""


@dataclass(frozen=True, slots=True)
class MeStart:
    """A movement began that may become a micro-expression."""

    type: ClassVar[str] = "me.start"
    source: str
    face_id: int
    event_id: str
    at: Moment
    """Frame that crossed the threshold."""
    score: float
    """Robust z-score of the strongest region."""
    region: str
    compute_s: float | None = None
    """From the capture of the frame that told it to the event, monotonic clock; None for recordings."""


@dataclass(frozen=True, slots=True)
class MeApex:
    """The maximum of the difference to the onset is confirmed."""

    type: ClassVar[str] = "me.apex"
    source: str
    face_id: int
    event_id: str
    onset: Moment
    apex: Moment
    lookahead_s: float
    """Media time between the apex and the frame that confirmed it."""
    compute_s: float | None = None
    """As in ``MeStart``."""


@dataclass(frozen=True, slots=True)
class MeEnd:
    """A micro-expression, complete."""

    type: ClassVar[str] = "me.end"
    source: str
    face_id: int
    event_id: str
    interval: Interval
    region: str
    magnitude: float
    """Peak displacement of the strongest region, percent of the inter-ocular distance."""
    score: float
    recognition: Recognition | None
    """None when only spotting."""
    calibrated: bool
    lookahead_s: float
    """Media time between the offset and the frame that confirmed it."""
    compute_s: float | None = None
    """As in ``MeStart``."""
    confidence: float | None = None
    """Calibrated probability that this is a micro-expression, whichever; None where none was given."""


@dataclass(frozen=True, slots=True)
class MeRejected:
    """A movement that is not reported as a micro-expression, and why."""

    type: ClassVar[str] = "me.rejected"
    source: str
    face_id: int
    event_id: str
    interval: Interval
    region: str
    magnitude: float
    score: float
    reasons: tuple[str, ...]
    evidence: Mapping[str, float]
    """The numbers behind the reasons."""
    confidence: float | None = None
    """As in ``MeEnd``."""

    @property
    def told_by_another(self) -> bool:
        """True where another event tells of this movement: several parts of a face take part in one."""
        return SAME_MOVEMENT in self.reasons


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters of one source, now and then."""

    type: ClassVar[str] = "stats"
    source: str
    at: Moment
    frames: int
    dropped: int
    faces_in_view: int
    fps_measured: float | None
    """(N - 1) / span of the last frames' media time."""
    ledger: Ledger | None = None
    """What became of the frames so far; None where nobody keeps the books."""


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """Last event of a run."""

    type: ClassVar[str] = "session.end"
    frames: int
    dropped: int
    faces: int
    """Identities seen."""
    events: int
    """``me.end`` events."""
    rejected: int
    wall_s: float
    reason: str
    """``end_of_source``, ``interrupted``, ``max_frames``, ``duration``, ``closed``, ``source_lost`` or ``failed``."""
    ledger: Ledger | None = None
    """Of all sources together."""


Event: TypeAlias = (
    SessionStart
    | SourceLost
    | SourceRestored
    | FaceNew
    | FaceLost
    | FaceWindow
    | MeStart
    | MeApex
    | MeEnd
    | MeRejected
    | Stats
    | SessionEnd
)
"""Any of them."""
