"""Events as JSON lines of schema ``tsf.event/1``.

The ``me.*`` records carry media time only, so the same file gives the same bytes every time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np

from tsfmicro.errors import ContractError
from tsfmicro.realtime.events import (
    SCHEMA_ID,
    Event,
    FaceLost,
    FaceNew,
    FaceWindow,
    MeApex,
    MeEnd,
    MeRejected,
    MeStart,
    SessionEnd,
    SessionStart,
    SourceLost,
    SourceRestored,
    Stats,
)
from tsfmicro.realtime.ledger import Ledger
from tsfmicro.values import Interval, Moment

Record: TypeAlias = dict[str, Any]

SPOT_ONLY = "no_recogniser"
"""Reason for having no label when no recogniser runs."""
_DECIMALS = 6


def to_record(event: Event, seq: int) -> Record:
    """The event as plain JSON values, keys in reading order.

    Args:
        event: any event of the stream.
        seq: its place in the run, counted from 0.

    Raises:
        ContractError: ``seq`` is negative, or a value is NaN, infinite or no JSON value.
    """
    if seq < 0:
        raise ContractError(f"seq is {seq}; expected 0 or more")
    head: Record = {"schema": SCHEMA_ID, "type": event.type, "seq": seq, "id": event_key(event, seq)}
    return {key: _plain(value, key) for key, value in (head | _fields(event)).items()}


def event_key(event: Event, seq: int) -> str:
    """The event's ``id`` in the stream. Nine digits: ids of a run of months still sort as text."""
    return f"{seq:09d}-{event.type}"


def dumps(record: Mapping[str, Any]) -> str:
    """One line of JSON without its line end; keys keep their order.

    Raises:
        ContractError: a value is NaN, infinite or not a JSON value.
    """
    try:
        return json.dumps(record, allow_nan=False, ensure_ascii=False, separators=(", ", ": "))
    except (TypeError, ValueError) as error:
        raise ContractError(f"event {record.get('id')} cannot be written as JSON: {error}") from error


def load_schema() -> Record:
    """The JSON Schema (draft 2020-12) that every line of the stream fulfils."""
    file = resources.files("tsfmicro.realtime").joinpath("schema", "tsf.event-1.schema.json")
    schema: Record = json.loads(file.read_text(encoding="utf-8"))
    return schema


def _fields(event: Event) -> Record:
    """What is particular to one type of event."""
    match event:
        case SessionStart():
            return {"version": event.version, "sources": event.sources, "model": event.model, "t_wall": event.t_wall}
        case SourceLost():
            return {"source": event.source, "at": event.at, "reason": event.reason, "detail": event.detail}
        case SourceRestored():
            return {"source": event.source, "at": event.at, "gap_s": event.gap_s}
        case FaceNew():
            return {"source": event.source, "face_id": event.face_id, "at": event.at, "iod_px": event.iod_px}
        case FaceLost():
            return {"source": event.source, "face_id": event.face_id, "at": event.at}
        case FaceWindow():
            return {
                "source": event.source,
                "face_id": event.face_id,
                "begin": event.begin,
                "end": event.end,
                "frames": event.frames,
                "magnitude_percent_iod": event.magnitude,
            } | _recognised(event)
        case MeStart():
            return _whose(event) | {
                "at": event.at,
                "score": event.score,
                "region": event.region,
                "compute_s": event.compute_s,
            }
        case MeApex():
            return _whose(event) | {
                "onset": event.onset,
                "apex": event.apex,
                "lookahead_s": event.lookahead_s,
                "compute_s": event.compute_s,
            }
        case MeEnd():
            return (
                _movement(event)
                | _recognised(event)
                | {
                    "reasons": (),
                    "calibrated": event.calibrated,
                    "lookahead_s": event.lookahead_s,
                    "compute_s": event.compute_s,
                }
            )
        case MeRejected():
            return _movement(event) | {
                "label": None,
                "probabilities": None,
                "abstain": None,
                "reasons": event.reasons,
                "evidence": event.evidence,
            }
        case Stats():
            return {
                "source": event.source,
                "at": event.at,
                "frames": event.frames,
                "dropped": event.dropped,
                "faces_in_view": event.faces_in_view,
                "fps_measured": event.fps_measured,
                "ledger": event.ledger,
            }
        case SessionEnd():
            return {
                "frames": event.frames,
                "dropped": event.dropped,
                "faces": event.faces,
                "events": event.events,
                "rejected": event.rejected,
                "wall_s": event.wall_s,
                "reason": event.reason,
                "ledger": event.ledger,
            }


def _whose(event: MeStart | MeApex | MeEnd | MeRejected) -> Record:
    return {"source": event.source, "face_id": event.face_id, "event_id": event.event_id}


def _movement(event: MeEnd | MeRejected) -> Record:
    interval: Interval = event.interval
    return _whose(event) | {
        "onset": interval.onset,
        "apex": interval.apex,
        "offset": interval.offset,
        "duration_s": interval.duration_s,
        "onset_phase_s": interval.onset_phase_s,
        "region": event.region,
        "magnitude_percent_iod": event.magnitude,
        "score": event.score,
        "confidence": event.confidence,
    }


def _recognised(event: MeEnd | FaceWindow) -> Record:
    recognition = event.recognition
    if recognition is None:
        return {"label": None, "probabilities": None, "abstain": (SPOT_ONLY,)}
    return {
        "label": recognition.label,
        "probabilities": recognition.probabilities,
        "abstain": recognition.abstain or None,
    }


def _plain(value: object, name: str) -> Any:
    """The value in JSON's own types; floats to a microsecond, so that noise in the last bits never shows."""
    match value:
        case None | str() | bool():
            return value
        case np.bool_():
            return bool(value)
        case Integral():
            return int(value)
        case Real():
            number = float(value)
            if not math.isfinite(number):
                raise ContractError(f"{name} is {number}; expected a finite number, or None where there is none")
            return round(number, _DECIMALS) + 0.0  # -0.0 becomes 0.0
        case Moment():
            return {"frame": int(value.frame), "t_s": _plain(value.t_s, f"{name}.t_s")}
        case Ledger():
            return {key: _plain(item, f"{name}.{key}") for key, item in asdict(value).items()}
        case Mapping():
            return {str(key): _plain(item, f"{name}.{key}") for key, item in value.items()}
        case tuple() | list():
            return [_plain(item, name) for item in value]
        case _:
            raise ContractError(f"{name} is a {type(value).__name__}; expected a value that JSON has")
