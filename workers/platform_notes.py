"""Note in Redis what the platform tells of its deliveries, for the dashboard: metadata only, and not without bound."""

from __future__ import annotations

import time
from itertools import islice
from typing import Any, Final

import redis

from receiver.client import HiloopClient, WebhookDelivery
from receiver.layout import Layout
from receiver.noted import MAX_AGENTS, MAX_DELIVERIES, DeliveryNote, PlatformNote

LASTING: Final = 86400
_PAGE: Final = 100


def note_deliveries(client: HiloopClient, agent: str, connection: redis.Redis, layout: Layout) -> int:
    """Ask the platform for ``agent``'s latest deliveries and its statistics, and note both. Returns how many
    deliveries were listed. Raises `HiloopError` and `redis.RedisError`.
    """
    key: str = layout.own("deliveries")
    stats = client.get_webhook_delivery_stats()
    latest = tuple(map(_noted, islice(client.list_webhook_deliveries(limit=_PAGE), MAX_DELIVERIES)))
    note = PlatformNote(
        at=time.time(),
        total=stats.total,
        pending=stats.pending,
        delivered=stats.delivered,
        failed=stats.failed,
        success_rate=stats.success_rate,
        average_ms=stats.average_latency_ms,
        deliveries=latest,
    )
    redis_: Any = connection
    if redis_.hlen(key) < MAX_AGENTS or redis_.hexists(key, agent):
        redis_.hset(key, agent, note.to_json())
        redis_.expire(key, LASTING)
    return len(latest)


def _noted(one: WebhookDelivery) -> DeliveryNote:
    return DeliveryNote(
        id=one.id,
        event=one.event_id or "",
        type=one.event_type or "",
        session=one.session_id or "",
        status=one.status,
        attempts=one.attempts,
        code=one.last_status_code or 0,
        error=one.last_error or "",
        created_at=one.created_at,
        next_retry_at=one.next_retry_at,
    )
