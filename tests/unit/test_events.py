"""Parsing of webhook bodies: strict where JSON is, tolerant where the platform may differ."""

from __future__ import annotations

import contextlib
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from receiver.errors import InvalidEvent
from receiver.events import MAX_DEPTH, PRIORITIES, Event, parse_object


def nested(levels: int, opening: str = '{"a":', closing: str = "}", core: str = "1") -> bytes:
    """JSON with an object at the top and ``levels`` objects or lists altogether."""
    return ('{"top":' + opening * (levels - 1) + core + closing * (levels - 1) + "}").encode()


NO_EVENTS = {
    "empty": b"",
    "blank": b"  ",
    "a list": b"[]",
    "a string": b'"evt"',
    "a number": b"1",
    "null": b"null",
    "true": b"true",
    "two objects": b"{}{}",
    "rest after the object": b"{} x",
    "comma at the end": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "a comment": b"{} // no",
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": Infinity}',
    "minus Infinity": b'{"a": -Infinity}',
    "NaN, deep": b'{"a": [{"b": NaN}]}',
    "float that is too large": b'{"a": 1e999}',
    "minus float that is too large": b'{"a": -1e999}',
    "whole number of 5000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "doubled key": b'{"id": "a", "id": "b"}',
    "doubled key, spelled differently": b'{"id": "a", "\\u0069d": "b"}',
    "doubled key, deep": b'{"a": [{"b": 1, "b": 1}]}',
    "lone high surrogate": b'{"a": "\\ud800"}',
    "lone low surrogate": b'{"a": "\\udc00"}',
    "swapped surrogates": b'{"a": "\\udc00\\ud800"}',
    "lone surrogate in a key": b'{"\\ud800": 1}',
    "lone surrogate, deep": b'{"a": [{"b": ["\\uDfFf"]}]}',
    "surrogate in raw bytes": b'{"a": "\xed\xa0\x80"}',
    "not UTF-8": b'{"a": "\xff"}',
    "overlong UTF-8": b'{"a": "\xc0\xaf"}',
    "byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"a": 1}'.encode("utf-16-le"),
    "UTF-32": '{"a": 1}'.encode("utf-32"),
    "control character": b'{"a": "\x00"}',
    "objects one level too deep": nested(MAX_DEPTH + 1),
    "lists one level too deep": nested(MAX_DEPTH + 1, "[", "]"),
    "empty list one level too deep": nested(MAX_DEPTH, "[", "]", core="[]"),
    "deep enough for a RecursionError": nested(100_000, "[", "]"),
    "deep and cut off": b'{"a":' * 100_000,
    "id that is a number": b'{"id": 7}',
    "id that is an object": b'{"id": {}}',
    "id that is false": b'{"id": false}',
    "empty id": b'{"id": ""}',
    "id with a space": b'{"id": "a b"}',
    "id with a newline at its end": b'{"id": "a\\n"}',
    "id with a slash": b'{"id": "a/b"}',
    "id with a letter outside ASCII": '{"id": "ä"}'.encode(),
    "id with a digit outside ASCII": '{"id": "٣"}'.encode(),
    "id of 129 characters": b'{"id": "' + b"a" * 129 + b'"}',
    "eventId outside the alphabet": b'{"eventId": "a b"}',
    "null id and a bad event_id": b'{"id": null, "event_id": "?"}',
}


@pytest.mark.parametrize("body", NO_EVENTS.values(), ids=NO_EVENTS.keys())
def test_refused(body: bytes) -> None:
    with pytest.raises(InvalidEvent):
        Event.from_bytes(body)


ACCEPTABLE = {
    "nothing": b"{}",
    "white space around": b' \n{"a": 1}\r\n ',
    "a pair of surrogates": b'{"a": "\\ud83d\\ude00"}',
    "escaped backslash before u": b'{"a": "\\\\ud800"}',
    "the largest depth, objects": nested(MAX_DEPTH),
    "the largest depth, lists": nested(MAX_DEPTH, "[", "]"),
    "many brackets side by side": b'{"a": [' + b"[]," * 500 + b"[]]}",
    "many brackets in a text": b'{"a": "' + b"[{" * 500 + b'"}',
    "large whole number": b'{"a": ' + b"9" * 400 + b"}",
    "tiny float": b'{"a": 1e-999}',
    "id of 128 characters": b'{"id": "' + b"a" * 128 + b'"}',
}


@pytest.mark.parametrize("body", ACCEPTABLE.values(), ids=ACCEPTABLE.keys())
def test_accepted(body: bytes) -> None:
    assert Event.from_bytes(body).payload == json.loads(body)


BODY_HASH = "sha256_" + hashlib.sha256(b"{}").hexdigest()
IDS: dict[str, tuple[dict[str, Any], str]] = {
    "id": ({"id": "evt_1"}, "evt_1"),
    "eventId": ({"eventId": "evt_1"}, "evt_1"),
    "event_id": ({"event_id": "evt_1"}, "evt_1"),
    "id before eventId": ({"eventId": "b", "id": "a"}, "a"),
    "eventId before event_id": ({"event_id": "c", "eventId": "b"}, "b"),
    "null counts as absent": ({"id": None, "event_id": "c"}, "c"),
    "every kind of character": ({"id": "aZ09_.:-"}, "aZ09_.:-"),
    "a single character": ({"id": "."}, "."),
    "none": ({}, BODY_HASH),
}


@pytest.mark.parametrize(("payload", "expected"), IDS.values(), ids=IDS.keys())
def test_id(payload: dict[str, Any], expected: str) -> None:
    assert Event.from_bytes(json.dumps(payload).encode()).id == expected


def test_ids_made_of_the_body_differ_with_its_bytes() -> None:
    assert Event.from_bytes(b'{"a":1}').id != Event.from_bytes(b'{"a": 1}').id


TYPES: dict[str, tuple[dict[str, Any], str]] = {
    "type": ({"type": "response.created"}, "response.created"),
    "eventType": ({"eventType": "x"}, "x"),
    "event_type": ({"event_type": "x"}, "x"),
    "event": ({"event": "x"}, "x"),
    "the first of several": ({"event": "d", "event_type": "c", "eventType": "b", "type": "a"}, "a"),
    "one that is no text is passed over": ({"type": 7, "event": "x"}, "x"),
    "none": ({}, "unknown"),
    "empty": ({"type": ""}, "unknown"),
    "one nobody has heard of": ({"type": "☃"}, "☃"),
}


@pytest.mark.parametrize(("payload", "expected"), TYPES.values(), ids=TYPES.keys())
def test_type(payload: dict[str, Any], expected: str) -> None:
    assert Event.from_bytes(json.dumps(payload).encode()).type == expected


PRIORITY_TABLE = [(name.upper(), name) for name in PRIORITIES] + [
    ("Critical", "critical"),
    ("High", "high"),
    ("Low", "low"),
    ("urgent", "normal"),
    ("", "normal"),
    (None, "normal"),
    (3, "normal"),
    (["high"], "normal"),
]


@pytest.mark.parametrize(("given_priority", "expected"), PRIORITY_TABLE)
def test_priority(given_priority: Any, expected: str) -> None:
    assert Event.from_bytes(json.dumps({"priority": given_priority}).encode()).priority == expected


TIMES = {
    "milliseconds": ("2026-11-22T13:30:17.123Z", datetime(2026, 11, 22, 13, 30, 17, 123000, UTC)),
    "no fraction": ("2026-11-22T13:30:17Z", datetime(2026, 11, 22, 13, 30, 17, 0, UTC)),
    "nanoseconds": ("2026-11-22T13:30:17.123456789Z", datetime(2026, 11, 22, 13, 30, 17, 123456, UTC)),
    "another zone": ("2026-11-22T14:30:17+01:00", datetime(2026, 11, 22, 13, 30, 17, 0, UTC)),
    "no zone means UTC": ("2026-11-22T13:30:17", datetime(2026, 11, 22, 13, 30, 17, 0, UTC)),
    "nonsense": ("yesterday", None),
    "empty": ("", None),
    "no such day": ("2026-02-30T00:00:00Z", None),
    "before time": ("0001-01-01T00:00:00+23:59", None),
    "after time": ("9999-12-31T23:59:59-23:59", None),
    "a number": (1763818217, None),
}


@pytest.mark.parametrize(("text", "expected"), TIMES.values(), ids=TIMES.keys())
def test_created_at(text: Any, expected: datetime | None) -> None:
    assert Event.from_bytes(json.dumps({"createdAt": text}).encode()).created_at == expected


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("session_id", ["sessionId", "session_id"]),
        ("agent_id", ["agentId", "agent_id"]),
        ("agent_name", ["agentName", "agent_name"]),
        ("space_id", ["spaceId", "space_id"]),
        ("delivery_id", ["deliveryId", "delivery_id"]),
    ],
)
def test_metadata(field: str, names: list[str]) -> None:
    for name in names:
        assert getattr(Event.from_bytes(json.dumps({name: "value"}).encode()), field) == "value"
    both = json.dumps({names[1]: "second", names[0]: "first"}).encode()
    assert getattr(Event.from_bytes(both), field) == "first"
    assert getattr(Event.from_bytes(b"{}"), field) == ""
    assert getattr(Event.from_bytes(json.dumps({names[0]: [1]}).encode()), field) == ""


def test_repr_shows_no_content() -> None:
    event = Event.from_bytes(b'{"id": "evt_1", "data": {"message": "canary"}, "secret": "canary"}')
    assert "canary" not in repr(event)
    assert "evt_1" in repr(event)


@pytest.mark.parametrize(
    "body", [b'{"canary": tru}', b'{"a": "canary', b'{"id": "canary?"}', b'{"canary":1,"canary":2}']
)
def test_errors_do_not_quote_the_body(body: bytes) -> None:
    with pytest.raises(InvalidEvent) as caught:
        Event.from_bytes(body)
    assert "canary" not in str(caught.value)


def refused_or_parsed(body: bytes) -> Event | None:
    with contextlib.suppress(InvalidEvent):
        return Event.from_bytes(body)
    return None


@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf{}")
@example(b'{"createdAt":"0001-01-01T00:00:00+23:59"}')
def test_any_bytes_give_an_event_or_one_error(body: bytes) -> None:
    refused_or_parsed(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
known_names = st.sampled_from(["id", "eventId", "type", "event", "createdAt", "priority", "sessionId", "data"])


@given(st.dictionaries(known_names | st.text(max_size=5), json_values, max_size=6), st.booleans())
def test_any_json_gives_an_event_or_one_error(payload: dict[str, Any], ascii_only: bool) -> None:
    body = json.dumps(payload, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    event = refused_or_parsed(body)
    if event is not None:
        assert event.payload == payload
        assert event.priority in PRIORITIES
        assert event.created_at is None or event.created_at.utcoffset() == timedelta(0)
        json.dumps(event.payload, allow_nan=False, ensure_ascii=False).encode()


@given(st.text(max_size=60))
def test_any_time_gives_utc_or_none(text: str) -> None:
    event = refused_or_parsed(json.dumps({"createdAt": text}).encode())
    assert event is None or event.created_at is None or event.created_at.utcoffset() == timedelta(0)


@given(st.integers(1, 200), st.sampled_from(["{", "["]))
def test_depth_is_exact(levels: int, bracket: str) -> None:
    body = nested(levels) if bracket == "{" else nested(levels, "[", "]")
    if levels <= MAX_DEPTH:
        parse_object(body)
    else:
        with pytest.raises(InvalidEvent, match="deeper"):
            parse_object(body)
