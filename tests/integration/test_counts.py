"""Requests that are refused are counted by reason, without a call of their own, over several processes and outages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

import pytest
import redis

from receiver.counts import Counts
from receiver.embedded import EmbeddedRedis
from receiver.errors import QueueUnavailable
from receiver.ledger import Ledger
from tests.conftest import StartProcess
from tests.support.scripts import LAYOUT
from tests.support.stage import until
from tests.support.waiting import wait_until
from tests.support.wire import answer, connect, post, request_head, signature

BODY = answer("approve")
REFUSED = {
    "bad_token": {"Authorization": "Bearer nobody-knows-this"},
    "bad_signature": {"X-Hiloop-Signature": signature(BODY, "another-secret").decode()},
    "unsupported_media_type": {"Content-Type": "text/plain"},
    "payload_too_large": {"Content-Length": "99999999"},
}


def refused(client: redis.Redis) -> dict[str, int]:
    """What has been refused so far, by reason."""
    counters = Ledger(client, LAYOUT).counters()
    return {name.removeprefix("refused:"): number for name, number in counters.items() if name.startswith("refused:")}


def scripts_run(client: redis.Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


@pytest.fixture
def own_client(own_redis: EmbeddedRedis) -> Iterator[redis.Redis]:
    with own_redis.client() as client:
        yield client


def test_each_reason_is_counted_over_all_processes(
    own_client: redis.Redis, own_redis: EmbeddedRedis, web_of: StartProcess
) -> None:
    webs = [web_of(own_redis.url), web_of(own_redis.url, {"WEB_CONCURRENCY": "2"})]
    own_client.config_resetstat()
    for web in webs:
        for change in REFUSED.values():
            for _ in range(5):
                assert post(web.port, BODY, change=change).status >= 400
        assert post(web.port, b"no JSON").status == 400
        assert post(web.port, BODY, method="GET").status == 405
        with connect(web.port) as gone:
            gone.sendall(request_head([("Content-Type", "application/json"), ("Content-Length", "50")]))
    expected = dict.fromkeys(REFUSED, 10) | {"invalid_event": 2, "method_not_allowed": 2, "disconnected": 2}
    wait_until(lambda: refused(own_client) == expected, what="everything is counted")
    ledger = Ledger(own_client, LAYOUT)
    assert ledger.counters()["refused"] == 46
    assert sum(minute.counters.get("refused:bad_token", 0) for minute in ledger.minutes(3)) == 10
    assert scripts_run(own_client) < 46 / 3


def test_what_was_refused_last_is_counted_at_the_stop(
    own_client: redis.Redis, own_redis: EmbeddedRedis, web_of: StartProcess
) -> None:
    web = web_of(own_redis.url)
    assert post(web.port, BODY, change=REFUSED["bad_token"]).status == 401
    web.stop()
    assert refused(own_client) == {"bad_token": 1}


def test_an_outage_is_counted_when_it_is_over(own_redis: EmbeddedRedis, web_of: StartProcess) -> None:
    web = web_of(own_redis.url)
    own_redis.kill()
    assert [post(web.port, BODY).status for _ in range(3)] == [503] * 3
    own_redis.start()
    with own_redis.client() as client:
        wait_until(lambda: refused(client) == {"queue_unavailable": 3}, what="the outage is counted")


def test_full_memory_is_counted_while_it_is_full(own_redis: EmbeddedRedis, web_of: StartProcess) -> None:
    web = web_of(own_redis.url)
    with own_redis.client() as client:
        client.config_set("maxmemory", 1)
        assert post(web.port, BODY).status == 503
        wait_until(lambda: refused(client) == {"queue_unavailable": 1})


class Wall:
    """Takes numbers, or does not."""

    def __init__(self) -> None:
        self.taken: list[Mapping[str, int]] = []
        self.is_up = False

    async def write(self, numbers: Mapping[str, int]) -> None:
        if not self.is_up:
            raise QueueUnavailable("down")
        self.taken.append(numbers)


def test_what_cannot_be_written_is_kept_and_written_once() -> None:
    async def run() -> None:
        wall = Wall()
        counts = Counts(wall.write, interval=0.01)
        counts.add("a")
        counts.add("b", 2)
        await asyncio.sleep(0.05)
        counts.add("a")
        wall.is_up = True
        await until(lambda: wall.taken)
        counts.add("c")
        await counts.close()
        assert wall.taken == [{"a": 2, "b": 2}, {"c": 1}]

    asyncio.run(run())


@pytest.mark.parametrize("is_up", [True, False])
def test_closing_does_not_wait_for_redis_for_ever(is_up: bool) -> None:
    async def run() -> None:
        wall = Wall()
        wall.is_up = is_up
        counts = Counts(wall.write, interval=60)
        await counts.close()
        counts = Counts(wall.write, interval=60)
        counts.add("a")
        await asyncio.wait_for(counts.close(), 5)
        assert wall.taken == ([{"a": 1}] if is_up else [])

    asyncio.run(run())
