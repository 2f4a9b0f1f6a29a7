"""Webhook deliveries: look at them, and have failed ones sent again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from receiver.client import NotFound
from receiver.events import Event
from receiver.signature import verify_signature

NOWHERE = "http://127.0.0.1:9/webhooks/hiloop"


@pytest.fixture
def failed(client: Any, hiloop: Any) -> Any:
    """A client whose two sessions were told of to a webhook that leads nowhere."""
    hiloop.admin.add_webhook(NOWHERE)
    client.create_session("First")
    client.create_session("Second")
    hiloop.admin.wait_until_settled()
    return client


def test_deliveries_are_seen(failed: Any) -> None:
    page = failed.list_webhook_deliveries(limit=1)
    assert len(page.items) == 1
    every = failed.everything(page)
    assert [delivery.status for delivery in every] == ["Failed", "Failed"]
    assert every[0].event_type == "session.created"
    assert every[0].last_error
    assert every[0].last_status_code is None
    assert failed.get_webhook_delivery(every[0].id) == every[0]
    assert failed.list_webhook_deliveries(status="Delivered").items == ()
    stats = failed.get_webhook_delivery_stats()
    assert (stats.total, stats.pending, stats.delivered, stats.failed) == (2, 0, 0, 2)
    assert stats.success_rate == 0


def test_a_single_one_tells_what_is_sent(failed: Any, hiloop: Any) -> None:
    [listed, _] = failed.everything(failed.list_webhook_deliveries())
    assert (listed.payload, listed.signature) == (None, None)
    single = failed.get_webhook_delivery(listed.id)
    event = Event.from_bytes(single.payload.encode())
    assert (event.id, event.delivery_id, event.session_id) == (single.event_id, single.id, single.session_id)
    secret = b"the-new-secret-of-the-webhook"
    (webhook,) = hiloop.admin.webhooks()
    hiloop.admin.remove_webhook(webhook["id"])
    gone = failed.get_webhook_delivery(listed.id)
    assert (gone.payload, gone.signature) == (None, None)
    made = hiloop.admin.add_webhook(NOWHERE, secret=secret.decode())
    failed.create_session("Third")
    new = failed.get_webhook_delivery(failed.list_webhook_deliveries(limit=1).items[0].id)
    assert new.webhook_id == made["id"]
    assert verify_signature([secret], new.payload.encode(), new.signature.encode()) == 0
    assert new.payload not in repr(new)
    assert new.signature not in repr(new)


def test_one_is_sent_again(failed: Any) -> None:
    [delivery, _] = failed.everything(failed.list_webhook_deliveries())
    again = failed.retry_webhook_delivery(delivery.id)
    assert again.id == delivery.id
    with pytest.raises(NotFound):
        failed.retry_webhook_delivery("dlv_none")


def test_dry_run_only_finds(failed: Any) -> None:
    result = failed.retry_failed_deliveries(dry_run=True)
    assert (result.dry_run, len(result.found), result.retried, result.refused) == (True, 2, (), {})
    assert failed.get_webhook_delivery_stats().failed == 2


def test_failed_ones_are_sent_again(failed: Any, hiloop: Any) -> None:
    hiloop.admin.set_speed(0.001)
    result = failed.retry_failed_deliveries()
    assert {delivery.id for delivery in result.retried} == {delivery.id for delivery in result.found}
    assert len(result.retried) == 2
    assert all(delivery.status == "Pending" for delivery in result.retried)


def test_since_narrows(failed: Any) -> None:
    newest, oldest = failed.everything(failed.list_webhook_deliveries())

    def found(since: Any) -> list[str]:
        return [delivery.id for delivery in failed.retry_failed_deliveries(since=since, dry_run=True).found]

    assert found(timedelta(hours=1)) == [newest.id, oldest.id]
    assert found(oldest.created_at) == [newest.id, oldest.id]
    assert oldest.id not in found(oldest.created_at + timedelta(milliseconds=1))
    assert found(datetime.now(UTC) + timedelta(hours=1)) == []
