"""Records: scopes of webhooks, the payload, statistics, ids, and that secrets do not show."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from receiver.events import Event as ReceivedEvent
from receiver.sandbox.delivery import payload, statistics
from receiver.sandbox.ids import new_id
from receiver.sandbox.records import Delivery, Event, Member, Webhook

EVENT = Event(
    "evt_1", "response.created", "2026-11-22T13:30:17.123Z", "space", "agent", "bot", "session", "High", {"a": 1}
)
WEBHOOK = Webhook("w", "http://127.0.0.1/", "the-token", "the-secret", [], [], [], "2026-11-22T13:30:17.123Z")
DELIVERY = Delivery("dlv_1", "w", "evt_1", "response.created", "session", "agent", "2026-11-22T13:30:17.123Z")


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        ({}, True),
        ({"spaces": ["space"]}, True),
        ({"spaces": ["x"]}, False),
        ({"agents": ["x", "agent"]}, True),
        ({"agents": ["bot"]}, True),
        ({"agents": ["x"]}, False),
        ({"event_types": ["response.created"]}, True),
        ({"event_types": ["session.created"]}, False),
        ({"spaces": ["space"], "agents": ["x"]}, False),
        ({"enabled": False}, False),
    ],
)
def test_scopes(scope: dict[str, Any], covered: bool) -> None:
    assert replace(WEBHOOK, **scope).covers(EVENT) is covered


def test_the_secrets_of_a_webhook_do_not_show() -> None:
    shown = repr(WEBHOOK) + json.dumps(WEBHOOK.as_json())
    assert "the-token" not in shown
    assert "the-secret" not in shown


def test_the_payload_is_what_the_receiver_reads() -> None:
    event = ReceivedEvent.from_bytes(payload(EVENT, replace(DELIVERY, attempts=3)))
    assert (event.id, event.type, event.session_id, event.priority) == ("evt_1", "response.created", "session", "high")
    assert (event.agent_id, event.agent_name, event.space_id) == ("agent", "bot", "space")
    assert (event.delivery_id, event.payload["attempt"]) == ("dlv_1", 3)
    assert event.created_at is not None


def test_a_delivery_shows_what_the_contract_names() -> None:
    assert set(DELIVERY.as_json()) == {
        "id", "webhookId", "eventId", "eventType", "sessionId", "status", "attempts", "lastStatusCode", "lastError",
        "createdAt", "deliveredAt", "nextRetryAt",
    }  # fmt: skip


def test_statistics() -> None:
    good = replace(DELIVERY, status="Delivered", latency_ms=10.0)
    deliveries = [good, replace(good, latency_ms=20.0), replace(DELIVERY, status="Failed"), DELIVERY]
    assert statistics(deliveries, "since") == {
        "total": 4, "pending": 1, "delivered": 2, "failed": 1, "successRate": 2 / 3, "averageLatencyMs": 15.0,
        "since": "since",
    }  # fmt: skip
    assert statistics([DELIVERY], "since")["successRate"] is None


def test_whose_keys_are_current() -> None:
    keys = [{"keyId": each, "publicKey": each} for each in ("old", "new")]
    assert Member("h", "Human", "You", "space", keys).current_keys() == keys
    assert Member("g", "Guest", "Eve", "space", keys, expires_at="2999-01-01T00:00:00.000Z").current_keys() == keys
    assert Member("g", "Guest", "Eve", "space", keys, expires_at="2026-01-01T00:00:00.000Z").current_keys() == []
    assert Member("a", "Agent", "bot", "space", keys).current_keys() == keys[1:]


def test_ids_are_unique_and_sort_by_time() -> None:
    ids = [new_id("evt_") for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(len(each) == 30 and each.startswith("evt_0") for each in ids)
    assert [each[:14] for each in ids] == sorted(each[:14] for each in ids)
