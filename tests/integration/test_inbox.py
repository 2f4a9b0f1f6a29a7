"""The contract of inboxes: the one in Redis and the one for users' tests must behave alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis

from receiver.connections import connect_async
from receiver.embedded import EmbeddedRedis
from receiver.errors import QueueUnavailable
from receiver.events import Event
from receiver.inbox import Accepted, Inbox, RedisInbox
from receiver.layout import Layout
from receiver.settings import QueueSettings
from receiver.testing import MemoryInbox
from tests.support.wire import answer, signature

Scenario = Callable[[Inbox], Awaitable[None]]


def redis_inbox(url: str, *, timeout: float = 2.0, **options: Any) -> RedisInbox:
    """An inbox in Redis."""
    connection = connect_async(QueueSettings(redis_url=url), timeout=timeout)
    defaults: dict[str, Any] = {"dedup_window": 3600.0, "ordered": True}
    return RedisInbox(connection, Layout(), timeout=timeout, **{**defaults, **options})


def run(kind: str, server: EmbeddedRedis, scenario: Scenario, *, down: bool = False) -> None:
    """Run a scenario with an inbox of one kind."""

    async def main() -> None:
        if kind == "memory":
            memory = MemoryInbox()
            memory.is_down = down
            await scenario(memory)
            return
        inbox = redis_inbox("redis://127.0.0.1:1/0" if down else server.url)
        await scenario(inbox)
        await inbox.close()

    asyncio.run(main())


async def accept(inbox: Inbox, event_id: str) -> Accepted:
    """Hand over an answer."""
    body = answer("approve", event_id=event_id)
    return await inbox.accept(Event.from_bytes(body), body, signature(body))


both_kinds = pytest.mark.parametrize("kind", ["redis", "memory"])


@both_kinds
def test_new_then_duplicate(kind: str, redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    async def scenario(inbox: Inbox) -> None:
        assert await accept(inbox, "evt_1") is Accepted.NEW
        assert await accept(inbox, "evt_1") is Accepted.DUPLICATE
        assert await accept(inbox, "evt_2") is Accepted.NEW

    run(kind, redis_server, scenario)


@both_kinds
def test_the_same_event_many_times_at_once_is_accepted_once(
    kind: str, redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    async def scenario(inbox: Inbox) -> None:
        answers = await asyncio.gather(*(accept(inbox, f"evt_{number % 3}") for number in range(300)))
        assert answers.count(Accepted.NEW) == 3
        assert [answers.index(Accepted.NEW), answers[1], answers[2]] == [0, Accepted.NEW, Accepted.NEW]

    run(kind, redis_server, scenario)


@both_kinds
def test_a_queue_that_is_down_says_so(kind: str, redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    async def scenario(inbox: Inbox) -> None:
        for action in (accept(inbox, "evt_1"), inbox.ping()):
            with pytest.raises(QueueUnavailable):
                await action

    run(kind, redis_server, scenario, down=True)


@both_kinds
def test_ping(kind: str, redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    run(kind, redis_server, lambda inbox: inbox.ping())


def test_a_caller_who_gives_up_does_not_hurt_the_others(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    async def main() -> None:
        inbox = redis_inbox(redis_server.url)
        tasks = [asyncio.create_task(accept(inbox, f"evt_{number}")) for number in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[1::2] == [Accepted.NEW] * 10
        assert await accept(inbox, "evt_last") is Accepted.NEW
        await inbox.close()

    asyncio.run(main())


def test_closing_finishes_what_is_on_its_way(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    async def main() -> None:
        inbox = redis_inbox(redis_server.url)
        tasks = [asyncio.create_task(accept(inbox, f"evt_{number}")) for number in range(200)]
        await asyncio.sleep(0)
        await inbox.close()
        assert await asyncio.gather(*tasks) == [Accepted.NEW] * 200

    asyncio.run(main())
    assert redis_client.llen("hiloop:hiloop:lane:3f2b8c1e-0000-4000-8000-0000000000aa") == 200


def test_without_order_no_lane_is_used(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    async def main() -> None:
        inbox = redis_inbox(redis_server.url, ordered=False)
        for number in range(3):
            await accept(inbox, f"evt_{number}")
        await inbox.close()

    asyncio.run(main())
    assert redis_client.llen("rq:queue:hiloop") == 3
    assert redis_client.keys("hiloop:hiloop:lane:*") == []
