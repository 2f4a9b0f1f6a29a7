"""Make sealed events and put them into a queue, ours or RQ's."""

from __future__ import annotations

import asyncio

import redis.asyncio
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from receiver.events import Event
from receiver.inbox import RedisInbox
from receiver.layout import Layout
from receiver.signature import sign
from receiver.testing import new_key_pair, sealed_response, webhook_body
from tests.benchmarks.jobs import KEYRING
from tests.benchmarks.processes import SECRET

BODY_BYTES = 2000
HUMAN = new_key_pair()


def sealed_events(count: int, sessions: int) -> list[tuple[bytes, bytes]]:
    """``count`` bodies of about 2 kB with their signatures, in turn for ``sessions`` sessions."""
    made = []
    for number in range(count):
        session = f"session-{number % sessions}"
        data = sealed_response("x" * 500, human=HUMAN, agent=KEYRING.current, session_id=session)
        body = webhook_body(data, session_id=session)
        body = body[:-1] + b', "padding": "%s"}' % (b"x" * max(0, BODY_BYTES - len(body) - 15))
        made.append((body, sign(SECRET.encode(), body).encode()))
    return made


def fill_ours(url: str, events: list[tuple[bytes, bytes]]) -> None:
    """Accept events as the web process does."""

    async def fill() -> None:
        inbox = RedisInbox(
            redis.asyncio.Redis.from_url(url), Layout(), timeout=10, dedup_window=7 * 86400, ordered=True
        )
        for start in range(0, len(events), 1000):
            chunk = events[start : start + 1000]
            await asyncio.gather(*(inbox.accept(Event.from_bytes(body), body, sign_) for body, sign_ in chunk))
        await inbox.close()

    asyncio.run(fill())


def fill_rq(url: str, events: list[tuple[bytes, bytes]]) -> None:
    """Enqueue events for RQ's own workers."""
    queue = Queue("plain", connection=Redis.from_url(url), serializer=JSONSerializer)
    for start in range(0, len(events), 500):
        queue.enqueue_many(
            [
                Queue.prepare_data(
                    "tests.benchmarks.jobs.run",
                    args=(body.decode(), signature.decode()),
                    result_ttl=0,
                    description="event",
                )
                for body, signature in events[start : start + 500]
            ]
        )
