"""Connections by way of Sentinels: real ones, some of which are away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
import redis
from redis.connection import SSLConnection
from redis.sentinel import SentinelManagedSSLConnection

from receiver.connections import connect, connect_async
from receiver.settings import QueueSettings
from tests.support.commands import run
from tests.support.failover import SERVICE, SentinelSetup
from tests.support.processes import SETTINGS


@pytest.fixture(scope="module")
def setup() -> Iterator[SentinelSetup]:
    with SentinelSetup() as started:
        yield started


async def get(queue: QueueSettings, key: str) -> bytes:
    """Read a key over an asynchronous connection."""
    client = connect_async(queue, timeout=2)
    try:
        return bytes(await client.get(key))
    finally:
        await client.aclose()


def test_both_kinds_reach_the_primary_and_the_database(setup: SentinelSetup) -> None:
    queue = QueueSettings(redis_url=f"{setup.url.removesuffix('/0')}/2")
    with connect(queue, timeout=2) as client:
        client.set("where", "here")
        assert asyncio.run(get(queue, "where")) == b"here"
    with redis.Redis(port=setup.primary.port, db=2) as client:
        assert client.get("where") == b"here"


def test_sentinels_that_are_away_are_passed_over(setup: SentinelSetup) -> None:
    alive = setup.sentinels[0].port
    queue = QueueSettings(redis_url=f"redis+sentinel://127.0.0.1:1,127.0.0.1:2,127.0.0.1:{alive}/{SERVICE}")
    started = time.monotonic()
    with connect(queue, timeout=2) as client:
        client.set("who", "the last")
    assert asyncio.run(get(queue, "who")) == b"the last"
    assert time.monotonic() - started < 2


def test_without_any_sentinel_it_gives_up_in_time() -> None:
    queue = QueueSettings(redis_url=f"redis+sentinel://127.0.0.1:1/{SERVICE}")
    started = time.monotonic()
    with connect(queue, timeout=2) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    with pytest.raises(redis.ConnectionError):
        asyncio.run(get(queue, "key"))
    assert time.monotonic() - started < 3


def test_tls_goes_to_redis_and_to_the_sentinels() -> None:
    queue = QueueSettings(redis_url=f"rediss+sentinel://:p@127.0.0.1:1/{SERVICE}", redis_verify_tls=False)
    with connect(queue, timeout=2) as client:
        pool = client.connection_pool
        sentinels = pool.sentinel_manager.sentinels[0].connection_pool
        assert issubclass(pool.connection_class, SentinelManagedSSLConnection)
        assert issubclass(sentinels.connection_class, SSLConnection)
        for kwargs in (pool.connection_kwargs, sentinels.connection_kwargs):
            assert (kwargs["ssl_cert_reqs"], kwargs["ssl_check_hostname"]) == ("none", False)
        assert pool.connection_kwargs["password"] == "p"
        assert sentinels.connection_kwargs.get("password") is None


def test_doctor_asks_each_sentinel(setup: SentinelSetup) -> None:
    def found(url: str) -> list[tuple[str, str]]:
        rows = run("doctor", "--output", "json", env={**SETTINGS, "REDIS_URL": url}).rows
        return [(row["level"], row["what"]) for row in rows if row["what"].startswith("Sentinel")]

    assert [level for level, _ in found(setup.url)] == ["ok"] * 3
    assert found(setup.url)[0][1].endswith("knows 2 others and 1 replicas")
    assert [level for level, _ in found(setup.url.replace(SERVICE, "another"))] == ["problem"] * 3
    with_one_away = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{setup.sentinels[0].port}/{SERVICE}"
    assert [level for level, _ in found(with_one_away)] == ["warning", "ok"]
