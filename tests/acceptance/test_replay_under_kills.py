"""Ten thousand dead letters are replayed while workers are killed: each is handled, in the order of its session."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

from receiver.connections import connect_async
from receiver.embedded import EmbeddedRedis
from receiver.events import Event
from receiver.inbox import RedisInbox
from receiver.layout import Layout
from receiver.settings import QueueSettings
from receiver.testing import webhook_body
from tests.conftest import StartProcess
from tests.support.commands import run
from tests.support.ledger import entries
from tests.support.waiting import wait_until
from tests.support.wire import signature

EVENTS, SESSIONS, CONCURRENCY = 10_000, 200, 20
SETTINGS = {
    "HILOOP_HANDLERS": "tests.support.replayed_handlers",
    "HILOOP_LEASE": "1s",
    "HILOOP_LOG_LEVEL": "error",
    "WORKER_CONCURRENCY": str(CONCURRENCY),
}


def accept_all(url: str) -> None:
    """Accept the events as the web process does, those of a session in order."""

    async def main() -> None:
        connection = connect_async(QueueSettings(redis_url=url), timeout=10)
        inbox = RedisInbox(connection, Layout(), timeout=10, dedup_window=3600, ordered=True)
        for start in range(0, EVENTS, 1000):
            bodies = [
                webhook_body(session_id=f"s-{number % SESSIONS}", type="replay.test", event_id=f"evt_{number}")
                for number in range(start, start + 1000)
            ]
            await asyncio.gather(*(inbox.accept(Event.from_bytes(body), body, signature(body)) for body in bodies))
        await inbox.close()

    asyncio.run(main())


def test_each_is_handled_in_order_and_none_twice_beyond_the_kills(
    own_redis: EmbeddedRedis, worker_of: StartProcess, tmp_path: Path
) -> None:
    (tmp_path / "broken").touch()
    accept_all(own_redis.url)
    worker = worker_of(own_redis.url, SETTINGS)
    with own_redis.client() as client:
        wait_until(lambda: client.zcard("rq:failed:hiloop") == EVENTS, 30, "all are dead letters")
        (tmp_path / "broken").unlink()
        env = {"REDIS_URL": own_redis.url}
        ended = run("events", "replay", "--all", "--yes", "--why", "mended", "--output", "json", env=env)
        assert (ended.code, ended.row["done"]) == (0, EVENTS)
        kills = 3
        for kill in range(kills):
            wait_until(lambda kill=kill: len(entries(tmp_path)) > EVENTS * (kill + 1) / 5, 30)
            worker.kill()
            worker = worker_of(own_redis.url, SETTINGS)
        wait_until(lambda: client.zcard("rq:finished:hiloop") == EVENTS, 30, "all are handled")
    lines = entries(tmp_path)
    first: dict[str, list[int]] = defaultdict(list)
    seen: set[str] = set()
    for line in lines:
        assert line.what == "done again: mended"
        if line.event not in seen:
            first[line.session].append(int(line.event.removeprefix("evt_")))
        seen.add(line.event)
    assert len(seen) == EVENTS
    assert len(lines) - EVENTS <= kills * CONCURRENCY
    assert all(numbers == sorted(numbers) for numbers in first.values())
