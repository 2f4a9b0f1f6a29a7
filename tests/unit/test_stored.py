"""What is read of a stored event, and its life line; whatever hostile stands in Redis is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.life import life_line
from receiver.stored import FIELDS, StoredEvent, read_event

NOW_MS = 1_800_000_000_000
STORED = {
    "status": "failed",
    "event": json.dumps({"id": "evt_1", "created_at": "2027-01-15T07:59:59+00:00", "delivery": "dlv_1"}),
    "created_at": "2027-01-15T08:00:00.000000Z",
    "started_at": "2027-01-15T08:00:01.000000Z",
    "ended_at": "2027-01-15T08:00:09.000000Z",
    "claims": "2",
    "duplicates": "1",
    "deliveries": json.dumps([["dlv_2", NOW_MS + 500]]),
    "reason": "timeout",
    "progress": json.dumps(
        {
            "h.a": [
                3,
                0,
                "dead",
                9.0,
                "timeout",
                [[NOW_MS + 2000, 8.5, "handler_error"], [NOW_MS + 4000, 9.0, "timeout"]],
            ]
        }
    ),
}


def read(**changes: str) -> StoredEvent:
    fields = [(STORED | changes).get(name, "").encode() for name in FIELDS]
    event = read_event("evt_1", [field or None for field in fields], 10)
    assert event is not None
    return event


def test_the_life_line_is_in_order_and_whole() -> None:
    line = life_line(read())
    assert [(moment.what, moment.detail) for moment in line] == [
        ("happened", "by the platform's clock"),
        ("accepted", "dlv_1"),
        ("came again", "dlv_2"),
        ("claimed", "claim 2"),
        ("attempt 2", "h.a: handler_error after 8.5 ms"),
        ("attempt 3", "h.a: timeout after 9 ms"),
        ("failed", "timeout"),
    ]
    assert [moment.at for moment in line] == sorted(moment.at for moment in line)


def test_json_shows_attempts_and_redeliveries() -> None:
    shown = read().as_json()
    assert shown["redeliveries"] == [{"id": "dlv_2", "at": "2027-01-15T08:00:00.500Z"}]
    ((first, second),) = [handler["attempts"] for handler in shown["handlers"]]
    assert first == {"started_at": "2027-01-15T08:00:02.000Z", "ms": 8.5, "outcome": "handler_error"}
    assert second["outcome"] == "timeout"


HOSTILE = ["", "7", "null", "{}", "[7]", "[[]]", '[["a", "b"]]', '[["a", -1]]', '[["a", 1e300]]', "[" * 100_000]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12])
def test_hostile_redeliveries_are_left_out(text: str) -> None:
    assert read(deliveries=text).redeliveries == ()


@pytest.mark.parametrize("attempts", [7, None, {}, [7], [[]], [[1, 2]], [[-1, 2, "x"]], [["x", 2, "x"]]], ids=str)
def test_hostile_attempts_are_left_out(attempts: Any) -> None:
    (handler,) = read(progress=json.dumps({"h": [1, 0, "done", 1, "", attempts]})).handlers
    assert (handler.state, handler.attempts) == ("done", ())


def test_only_the_latest_are_read() -> None:
    many = [[f"dlv_{number}", NOW_MS] for number in range(10_000)]
    assert [one.id for one in read(deliveries=json.dumps(many)).redeliveries] == [
        f"dlv_{n}" for n in range(9990, 10_000)
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.dictionaries(st.text(max_size=3), st.lists(json_values, min_size=3, max_size=7)))
def test_any_json_gives_an_event_with_a_life_line(deliveries: Any, progress: Any) -> None:
    life_line(read(deliveries=json.dumps(deliveries), progress=json.dumps(progress)))
