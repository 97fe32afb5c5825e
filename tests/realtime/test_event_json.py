"""The event stream: what a line holds, and that the shipped schema accepts it and nothing broken."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import jsonschema
import numpy as np
import pytest

from tsfmicro.errors import ContractError
from tsfmicro.realtime import events as ev
from tsfmicro.realtime.event_json import dumps, load_schema, to_record
from tsfmicro.realtime.ledger import Ledger
from tsfmicro.values import Interval, Moment, Recognition

AT = Moment(frame=12, t_s=0.4)
INTERVAL = Interval(onset=Moment(12, 0.4), apex=Moment(16, 0.533333333), offset=Moment(24, 0.8))
SURE = Recognition(probabilities={"happiness": 0.9, "disgust": 0.1}, abstain=())
UNSURE = Recognition(probabilities={"happiness": 0.5, "disgust": 0.5}, abstain=("low_probability",))


def me_end(recognition: Recognition | None) -> ev.MeEnd:
    return ev.MeEnd(
        source="clip.mp4",
        face_id=1,
        event_id="f1-3",
        interval=INTERVAL,
        region="mouth_left",
        magnitude=2.5,
        score=9.25,
        recognition=recognition,
        calibrated=True,
        lookahead_s=0.1,
    )


REJECTED = ev.MeRejected(
    source="clip.mp4",
    face_id=1,
    event_id="f1-4",
    interval=INTERVAL,
    region="eye_left",
    magnitude=1.0,
    score=6.0,
    reasons=("blink",),
    evidence={"eyelid": np.float32(0.8)},  # type: ignore[dict-item]
)
EVENTS: dict[str, ev.Event] = {
    "session.start": ev.SessionStart("0.1.0", ("clip.mp4",), {"name": "tsf", "labels": ("a",)}, "2025-01-01T00:00:00Z"),
    "session.start spot-only": ev.SessionStart("0.1.0", ("clip.mp4",), None, "2025-01-01T00:00:00Z"),
    "source.lost": ev.SourceLost("rtsp://cam/live", AT, "timeout", "rtsp://cam/live fell silent for 3 s"),
    "source.restored": ev.SourceRestored("rtsp://cam/live", AT, 4.25),
    "face.new": ev.FaceNew("clip.mp4", 1, AT, 97.5),
    "face.lost": ev.FaceLost("clip.mp4", 1, AT),
    "face.window": ev.FaceWindow("clip.mp4", 1, AT, Moment(24, 0.9), 8, 0.75, UNSURE),
    "face.window labelled": ev.FaceWindow("clip.mp4", 1, AT, Moment(24, 0.9), 8, 2.5, SURE),
    "me.start": ev.MeStart("clip.mp4", 1, "f1-3", AT, 6.5, "brow_left"),
    "me.apex": ev.MeApex("clip.mp4", 1, "f1-3", INTERVAL.onset, INTERVAL.apex, 0.1),
    "me.end labelled": me_end(SURE),
    "me.end abstained": me_end(UNSURE),
    "me.end spot-only": me_end(None),
    "me.rejected": REJECTED,
    "stats": ev.Stats("clip.mp4", AT, 13, 0, 1, 30.0),
    "stats first": ev.Stats("clip.mp4", AT, 1, 0, 1, None),
    "stats with books": ev.Stats("clip.mp4", AT, 13, 2, 1, 30.0, Ledger(captured=15, analysed=13, dropped=2)),
    "session.end": ev.SessionEnd(250, 0, 1, 7, 3, 2.5, "end_of_source", Ledger(longest_gap_s=0.5)),
}
MOVEMENT_KEYS = [
    "schema",
    "type",
    "seq",
    "id",
    "source",
    "face_id",
    "event_id",
    "onset",
    "apex",
    "offset",
    "duration_s",
    "onset_phase_s",
    "region",
    "magnitude_percent_iod",
    "score",
    "confidence",
    "label",
    "probabilities",
    "abstain",
    "reasons",
]


def is_valid(record: dict[str, Any]) -> bool:
    return bool(jsonschema.Draft202012Validator(load_schema()).is_valid(record))


def test_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(load_schema())


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_every_event_fulfils_the_schema(event: ev.Event) -> None:
    record = to_record(event, 7)
    jsonschema.Draft202012Validator(load_schema()).validate(record)
    assert json.loads(dumps(record)) == record
    assert "\n" not in dumps(record)


def test_schema_knows_exactly_the_types_there_are() -> None:
    types = {event.type for event in EVENTS.values()}
    assert set(load_schema()["properties"]["type"]["enum"]) == types == {t.type for t in ev.Event.__args__}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_every_field_is_required_and_described(event: ev.Event) -> None:
    record = to_record(event, 7)
    for key in record:
        broken = copy.deepcopy(record)
        del broken[key]
        assert not is_valid(broken), f"{key} may be missing"
    fields = load_schema()["$defs"][event.type]["properties"]
    assert set(record) - {"schema", "type", "seq", "id"} == set(fields)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("onset",), 0.4),
        (("onset", "t_s"), "0.4"),
        (("onset", "t_s"), -1),
        (("apex", "frame"), 1.5),
        (("seq",), "7"),
        (("seq",), -1),
        (("type",), "me.unknown"),
        (("schema",), "tsf.event/2"),
        (("face_id",), None),
        (("probabilities",), [0.9, 0.1]),
        (("probabilities", "happiness"), 1.5),
        (("abstain",), []),
        (("abstain",), ["low_probability"]),
        (("label",), 3),
        (("reasons",), ["blink"]),
        (("id",), "7"),
    ],
)
def test_schema_rejects_broken_records(path: tuple[str, ...], value: object) -> None:
    record: dict[str, Any] = to_record(me_end(SURE), 7)
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not is_valid(record)


def test_schema_lets_fields_be_added() -> None:
    assert is_valid(to_record(me_end(SURE), 7) | {"pose_deg": [1.0, 2.0, 3.0]})


def test_me_end_in_full() -> None:
    record = to_record(me_end(SURE), 42)
    assert list(record) == [*MOVEMENT_KEYS, "calibrated", "lookahead_s", "compute_s"]
    assert (record["schema"], record["type"], record["id"]) == ("tsf.event/1", "me.end", "000000042-me.end")
    assert record["apex"] == {"frame": 16, "t_s": 0.533333}
    assert (record["duration_s"], record["onset_phase_s"]) == (0.4, 0.133333)
    assert (record["label"], record["abstain"], record["reasons"]) == ("happiness", None, [])
    assert record["probabilities"] == {"happiness": 0.9, "disgust": 0.1}
    assert record["magnitude_percent_iod"] == 2.5


def test_abstention_keeps_the_probabilities() -> None:
    record = to_record(me_end(UNSURE), 0)
    assert record["label"] is None and record["abstain"] == ["low_probability"]
    assert record["probabilities"] == {"happiness": 0.5, "disgust": 0.5}


def test_spotting_only_says_that_there_is_no_recogniser() -> None:
    record = to_record(me_end(None), 0)
    assert (record["label"], record["probabilities"], record["abstain"]) == (None, None, ["no_recogniser"])


def test_rejection_has_reasons_and_no_label() -> None:
    record = to_record(REJECTED, 0)
    assert list(record) == [*MOVEMENT_KEYS, "evidence"]
    assert (record["label"], record["probabilities"], record["abstain"]) == (None, None, None)
    assert record["reasons"] == ["blink"] and record["evidence"] == {"eyelid": 0.8}


def test_movements_carry_no_wall_clock() -> None:
    assert not any("wall" in key or "captured" in key for key in (*to_record(me_end(SURE), 0), *to_record(REJECTED, 0)))


def test_the_books_are_written_in_full() -> None:
    assert to_record(EVENTS["stats with books"], 0)["ledger"] == {
        "captured": 15,
        "analysed": 13,
        "dropped": 2,
        "late": 0,
        "repeated": 0,
        "undecodable": 0,
        "misstamped": 0,
        "longest_gap_s": 0.0,
        "times_lost": 0,
    }
    assert set(load_schema()["$defs"]["ledger"]["required"]) == set(Ledger.__dataclass_fields__)


def test_ids_sort_as_text() -> None:
    ids = [to_record(EVENTS["stats"], seq)["id"] for seq in (9, 10, 999_999, 1_000_000)]
    assert ids == sorted(ids)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_is_never_written(bad: float) -> None:
    with pytest.raises(ContractError, match=r"score is .*expected a finite number"):
        to_record(ev.MeStart("clip.mp4", 1, "f1-3", AT, bad, "brow"), 0)
    with pytest.raises(ContractError, match="cannot be written as JSON"):
        dumps(to_record(EVENTS["me.start"], 0) | {"score": bad})


def test_values_json_does_not_have_are_refused() -> None:
    start = ev.SessionStart("0.1.0", (), {"weights": np.zeros(2)}, "2025-01-01T00:00:00Z")
    with pytest.raises(ContractError, match=r"model\.weights is a ndarray"):
        to_record(start, 0)
    with pytest.raises(ContractError, match="seq is -1"):
        to_record(EVENTS["stats"], -1)


def test_numpy_numbers_and_negative_zero_become_plain() -> None:
    at = Moment(np.int64(3), np.float64(0.1))  # type: ignore[arg-type]
    record = to_record(ev.MeStart("clip.mp4", np.int64(1), "f", at, -1e-9, "r"), 0)  # type: ignore[arg-type]
    expected = '"face_id": 1, "event_id": "f", "at": {"frame": 3, "t_s": 0.1}, "score": 0.0, "region": "r", '
    assert dumps(record).endswith(expected + '"compute_s": null}')
