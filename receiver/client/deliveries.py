"""The calls about webhook deliveries: look at them, and have failed ones sent again. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from receiver.client import fields, profile_v1
from receiver.client.caller import Caller
from receiver.client.exchange import Call, exchange
from receiver.client.listings import Listing, gather, listing
from receiver.client.models import RetriedDeliveries, WebhookDelivery, WebhookDeliveryStats
from receiver.errors import HiloopError, ValidationFailed

# Statuses that say something about one delivery; any other failure would meet the next one too.
_REFUSALS = frozenset({404, 409, 422})


def list_webhook_deliveries(
    caller: Caller, *, limit: int = 50, cursor: str | None = None, status: str | None = None
) -> Call[Listing[WebhookDelivery]]:
    """List deliveries in pages of ``limit``; ``status`` narrows to `"Pending"`, `"Delivered"` or `"Failed"`.

    Returns a page of `WebhookDelivery`; iterating it goes on to the end. Raises `HiloopError`.
    """
    return (
        yield from listing(
            caller,
            profile_v1.LIST_DELIVERIES,
            _read_delivery,
            query={"limit": limit, "status": status},
            cursor=cursor,
        )
    )


def get_webhook_delivery(caller: Caller, delivery_id: str) -> Call[WebhookDelivery]:
    """Return the `WebhookDelivery`. Raises `NotFound` and other `HiloopError`."""
    answer = yield from exchange(caller, profile_v1.GET_DELIVERY, ids={"delivery_id": delivery_id})
    return _read_delivery(answer)


def get_webhook_delivery_stats(caller: Caller) -> Call[WebhookDeliveryStats]:
    """Count deliveries by status. Returns `WebhookDeliveryStats`. Raises `HiloopError`."""
    answer = yield from exchange(caller, profile_v1.GET_DELIVERY_STATS)
    return WebhookDeliveryStats(
        total=fields.whole(answer, "total"),
        pending=fields.whole(answer, "pending"),
        delivered=fields.whole(answer, "delivered"),
        failed=fields.whole(answer, "failed"),
        success_rate=fields.optional_number(answer, "successRate"),
        average_latency_ms=fields.optional_number(answer, "averageLatencyMs"),
        since=fields.optional_time(answer, "since"),
        raw=answer,
    )


def retry_webhook_delivery(caller: Caller, delivery_id: str) -> Call[WebhookDelivery]:
    """Have the platform send this delivery again. Returns the `WebhookDelivery` as it is then.

    Raises `NotFound` and other `HiloopError`.
    """
    answer = yield from exchange(caller, profile_v1.RETRY_DELIVERY, ids={"delivery_id": delivery_id})
    return _read_delivery(answer)


def retry_failed_deliveries(
    caller: Caller, *, since: datetime | timedelta | None = None, dry_run: bool = False
) -> Call[RetriedDeliveries]:
    """Have the platform send all failed deliveries again; with ``dry_run`` only find them.

    ``since`` narrows to those created at or after a time (with its zone), or at most so long ago. What the
    API refuses for one delivery alone (gone, or no longer failed) is noted in the result. Returns
    `RetriedDeliveries`. Raises `HiloopError` for what stands in the way of all of them.
    """
    start = _start(caller, since)
    first = yield from list_webhook_deliveries(caller, status=profile_v1.FAILED_STATUS)
    # The whole list first: deliveries that are retried leave it, and would shift the pages to come.
    everything = yield from gather(first)
    found = tuple(
        delivery
        for delivery in everything.items
        if delivery.status == profile_v1.FAILED_STATUS and (start is None or delivery.created_at >= start)
    )
    retried: list[WebhookDelivery] = []
    refused: dict[str, str] = {}
    for delivery in () if dry_run else found:
        try:
            retried.append((yield from retry_webhook_delivery(caller, delivery.id)))
        except HiloopError as error:
            if error.status not in _REFUSALS:
                raise
            refused[delivery.id] = error.code
    return RetriedDeliveries(dry_run, found, tuple(retried), refused)


def _start(caller: Caller, since: datetime | timedelta | None) -> datetime | None:
    if isinstance(since, timedelta):
        return caller.now() - since
    if since is not None and since.tzinfo is None:
        raise ValidationFailed("since needs a time zone", hint="datetime.now(UTC) - timedelta(hours=2), for example")
    return since


def _read_delivery(raw: fields.Fields) -> WebhookDelivery:
    return WebhookDelivery(
        id=fields.text(raw, "id"),
        webhook_id=fields.optional_text(raw, "webhookId"),
        event_id=fields.optional_text(raw, "eventId"),
        event_type=fields.optional_text(raw, "eventType"),
        session_id=fields.optional_text(raw, "sessionId"),
        status=fields.text(raw, "status"),
        attempts=fields.whole(raw, "attempts"),
        last_status_code=fields.optional_whole(raw, "lastStatusCode"),
        last_error=fields.optional_text(raw, "lastError"),
        created_at=fields.time(raw, "createdAt"),
        delivered_at=fields.optional_time(raw, "deliveredAt"),
        next_retry_at=fields.optional_time(raw, "nextRetryAt"),
        raw=raw,
        payload=fields.optional_text(raw, profile_v1.PAYLOAD),
        signature=fields.optional_text(raw, profile_v1.SIGNATURE),
    )
