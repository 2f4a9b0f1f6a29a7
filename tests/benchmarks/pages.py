"""How long the pages take that the dashboard and the command line read, with few events in Redis and with many.

    python -m tests.benchmarks.pages

The same calls on two servers, in turn, so that a noisy machine hits both alike: medians in ms, and their ratio. A
filter that matches nothing is the worst case: it looks at as many events as one call may.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from receiver.connections import connect_async
from receiver.embedded import EmbeddedRedis
from receiver.events import Event
from receiver.inbox import RedisInbox
from receiver.layout import Layout, job_id
from receiver.ledger import Ledger
from receiver.settings import QueueSettings
from receiver.stored import STATUSES, Filter
from receiver.testing import webhook_body

LAYOUT: Final = Layout()
FEW, MANY = 100, 100_000
ROUNDS: Final = 15
AIM_MS: Final = 100.0
# Where events of a status are, and what RQ calls it; those that wait stay in line.
PLACES: Final = {"failed": "failed", "handled": "finished", "retrying": "scheduled", "running": "wip"}
PROGRESS: Final = '{"handlers.deploy":[6,0,"dead",12.5,"handler_error"],"handlers.tell":[1,0,"done",3.0,""]}'


class Filled:
    """A server with ``number`` events of one status."""

    def __init__(self, server: EmbeddedRedis, number: int) -> None:
        self.url = server.url
        self.client = server.client()
        self.number = number
        self.ledger = Ledger(self.client, LAYOUT)
        self.deep: str | None = None

    def fill(self, status: str) -> None:
        """Accept events in 1,000 sessions, and put them where that status is."""
        self.client.flushall()
        asyncio.run(self._accept(ordered=status == "waiting"))
        if status != "waiting":
            self._move(status)
        self.deep = self._deep(status)
        with self.client.pipeline(transaction=False) as pipe:
            this = int(time.time() // 60)
            for minute in range(this - 1500, this + 1):
                pipe.hset(LAYOUT.own(f"minute:{minute}"), mapping={f"ms:{bucket}": 7 for bucket in range(30)})
            pipe.execute()

    async def _accept(self, *, ordered: bool) -> None:
        connection = connect_async(QueueSettings(redis_url=self.url), timeout=10)
        inbox = RedisInbox(connection, LAYOUT, timeout=10, dedup_window=604800, ordered=ordered)
        for start in range(0, self.number, 100):
            bodies = [
                webhook_body(session_id=f"s-{one % 1000}", event_id=f"evt_{one}", text="x" * 400)
                for one in range(start, start + 100)
            ]
            await asyncio.gather(*(inbox.accept(Event.from_bytes(body), body, b"sha256=") for body in bodies))
        await inbox.close()

    def _move(self, status: str) -> None:
        theirs = STATUSES[status][0]
        place = LAYOUT.rq(f"{PLACES[status]}:{LAYOUT.queue}")
        now = time.time()
        with self.client.pipeline(transaction=False) as pipe:
            pipe.delete(LAYOUT.rq(f"queue:{LAYOUT.queue}"))
            for one in range(self.number):
                job = job_id(f"evt_{one}")
                pipe.hset(LAYOUT.rq(f"job:{job}"), mapping={"status": theirs, "progress": PROGRESS, "reason": "x"})
                member, score = (f"{job}:e{one}", float("inf")) if status == "running" else (job, now + one // 10)
                pipe.zadd(place, {member: score})
                if one % 1000 == 999:
                    pipe.execute()
            pipe.execute()

    def _deep(self, status: str) -> str | None:
        """The cursor of a page far down."""
        cursor, pages = None, 0
        while pages < 60:
            page = self.ledger.page(Filter(status, agent="nobody"), cursor=cursor)
            if page.cursor is None:
                return cursor
            cursor, pages = page.cursor, pages + 1
        return cursor


def calls(status: str) -> dict[str, Callable[[Filled], object]]:
    """What is measured of a status."""
    week_ago = datetime.now(UTC) - timedelta(days=7)
    return {
        "first page": lambda at: at.ledger.page(Filter(status)),
        "500 events": lambda at: at.ledger.page(Filter(status), limit=500),
        "far down": lambda at: at.ledger.page(Filter(status), cursor=at.deep),
        "no such agent": lambda at: at.ledger.page(Filter(status, agent="nobody")),
        "no such handler": lambda at: at.ledger.page(Filter(status, handler="no.*")),
        "none so old": lambda at: at.ledger.page(Filter(status, until=week_ago)),
        "status": lambda at: at.ledger.status(),
        "one event": lambda at: at.ledger.event("evt_7"),
        "25 hours": lambda at: at.ledger.minutes(1500),
    }


def measured(call: Callable[[Filled], object], at: Filled) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    call(at)
    return (time.perf_counter() - begun) * 1000


def main() -> int:
    """The command line; fails if a page takes longer than it may."""
    slowest = 0.0
    options = {"appendonly": "no"}
    with EmbeddedRedis(options=options) as first, EmbeddedRedis(options=options) as second:
        servers = Filled(first, FEW), Filled(second, MANY)
        for status in STATUSES:
            for at in servers:
                at.fill(status)
            for name, call in calls(status).items():
                times: list[list[float]] = [[], []]
                for _ in range(ROUNDS):
                    for place, at in enumerate(servers):
                        times[place].append(measured(call, at))
                few, many = (statistics.median(each) for each in times)
                slowest = max(slowest, many)
                print(f"{status:>9} {name:<16} {few:7.1f} ms   {many:7.1f} ms   {many / few:6.2f}×", flush=True)
    print(f"slowest page with {MANY:,} events: {slowest:.0f} ms; aim: below {AIM_MS:.0f} ms")
    return 0 if slowest < AIM_MS else 1


if __name__ == "__main__":
    sys.exit(main())
