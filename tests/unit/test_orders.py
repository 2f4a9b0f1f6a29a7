"""Orders and notes in Redis: what is written can be read, and whatever else stands there does no harm."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.errors import InvalidOrder
from receiver.noted import DeliveryNote, HandlerNote, PlatformNote
from receiver.orders import MAX_IDS, Order
from receiver.stored import Filter

MOMENT = datetime(2026, 11, 22, 13, 30, tzinfo=UTC)
REPLAY = Order("replay", "Ada", 1.8e9, wanted=Filter(type="a.*", since=MOMENT), why="mended")
ORDERS = [
    REPLAY,
    Order("discard", "Ada", 1.8e9, ids=("evt_1", "evt:2")),
    Order("replay", "Ada", 1.8e9, wanted=Filter(status="handled")),
    Order("redeliver", "Ada", 1.8e9, ids=("dlv_1",), agent="deploy-bot"),
    Order("look", "Ada", 1.8e9),
]
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.kind)
def test_an_order_can_be_read_again(order: Order) -> None:
    assert Order.from_json(order.to_json()) == order


WRONG: dict[str, dict[str, Any]] = {
    "another kind": {"kind": "run"},
    "nothing meant": {"wanted": None},
    "both meant": {"ids": ["evt_1"]},
    "too many": {"wanted": None, "ids": ["evt"] * (MAX_IDS + 1)},
    "no id": {"wanted": None, "ids": ["a b"]},
    "a path": {"wanted": None, "ids": ["../admin"]},
    "a number": {"wanted": None, "ids": [1]},
    "waiting events": {"wanted": {"status": "waiting"}},
    "handled events discarded": {"kind": "discard", "wanted": {"status": "handled"}},
    "no status": {"wanted": {}},
    "another field of a filter": {"wanted": {"status": "failed", "code": "x"}},
    "a pattern without end": {"wanted": {"status": "failed", "type": "*" * 300}},
    "no time": {"wanted": {"status": "failed", "since": "yesterday"}},
    "when": {"seen_at": float("nan")},
    "never": {"seen_at": 0},
    "who": {"by": 7},
    "why": {"why": "x" * 300},
    "a field more": {"function": "os.system"},
    "deliveries by filter": {"kind": "redeliver"},
    "no deliveries": {"kind": "redeliver", "wanted": None},
    "deliveries to look for": {"kind": "look", "wanted": None, "ids": ["dlv_1"]},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_order_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidOrder):
        Order.from_json(json.dumps(json.loads(REPLAY.to_json()) | change))


@given(st.text(max_size=50) | anything.map(json.dumps))
def test_any_text_is_an_order_or_refused(text: str) -> None:
    with pytest.raises(InvalidOrder):
        Order.from_json(text)


@given(st.sampled_from([*json.loads(REPLAY.to_json()), "since"]), anything)
def test_any_value_is_an_order_or_refused(name: str, value: Any) -> None:
    raw = json.loads(REPLAY.to_json())
    (raw if name in raw else raw["wanted"])[name] = value
    with contextlib.suppress(InvalidOrder):
        Order.from_json(json.dumps(raw)).to_json()


def test_what_ended_after_an_order_was_given_is_not_meant() -> None:
    order = replace(REPLAY, seen_at=MOMENT.timestamp())
    assert order.covers(MOMENT)
    assert order.covers(None)
    assert not order.covers(datetime.fromtimestamp(MOMENT.timestamp() + 0.001, UTC))


def test_notes_can_be_read_again() -> None:
    handler = HandlerNote("h", "a.*", {"action": "yes"}, True, False, True, 3, 20.0, 1.8e9)
    assert HandlerNote.from_json("h", handler.to_json()) == handler
    delivery = DeliveryNote("dlv_1", "evt_1", "a.b", "s", "Failed", 3, 500, "no", MOMENT, None)
    platform = PlatformNote(1.8e9, 3, 1, 1, 1, 0.5, None, (delivery,))
    assert PlatformNote.from_json(platform.to_json()) == platform


@given(st.text(max_size=50) | anything.map(json.dumps))
def test_any_note_can_be_read(text: str) -> None:
    assert HandlerNote.from_json("h", text).name == "h"
    assert PlatformNote.from_json(text).deliveries == ()


@given(st.sampled_from(["at", "total", "success_rate", "deliveries"]), anything)
def test_any_value_of_a_note_can_be_read(name: str, value: Any) -> None:
    PlatformNote.from_json(json.dumps({name: value})).to_json()
    HandlerNote.from_json("h", json.dumps({name: value, "retries": value, "matches": value})).to_json()
