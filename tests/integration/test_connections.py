"""Connections to Redis: they give up in time, and `rediss://` believes only genuine certificates unless told so."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from receiver.connections import connect, connect_async
from receiver.embedded import EmbeddedRedis
from receiver.settings import QueueSettings
from tests.support.tls import tls_before


@pytest.fixture
def tls_port(redis_server: EmbeddedRedis) -> Iterator[int]:
    """A port that speaks TLS with a self-signed certificate, as Heroku's Redis does, before the shared server."""
    with tls_before(redis_server.port) as port:
        yield port


def settings(url: str, **options: Any) -> QueueSettings:
    return QueueSettings(redis_url=url, **options)


async def ping(queue: QueueSettings, patience: float = 5) -> bool:
    """Ping over an asynchronous connection."""
    client = connect_async(queue, timeout=patience)
    try:
        return bool(await client.ping())
    finally:
        await client.aclose()


def test_a_self_signed_certificate_is_accepted_only_when_told_so(tls_port: int) -> None:
    url = f"rediss://127.0.0.1:{tls_port}/0"
    trusting = settings(url, redis_verify_tls=False)
    with connect(trusting, timeout=5) as client:
        assert client.ping()
    assert asyncio.run(ping(trusting))
    with connect(settings(url), timeout=5) as client, pytest.raises(redis.ConnectionError, match="certificate"):
        client.ping()
    with pytest.raises(redis.ConnectionError):
        asyncio.run(ping(settings(url)))


def test_tls_is_never_given_up(redis_server: EmbeddedRedis) -> None:
    plain = settings(f"rediss://127.0.0.1:{redis_server.port}/0", redis_verify_tls=False)
    with connect(plain, timeout=0.5) as client, pytest.raises(redis.RedisError):
        client.ping()


def test_unix_sockets(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with EmbeddedRedis(options={"unixsocket": str(path)}):
        with connect(settings(f"unix://{path}"), timeout=5) as client:
            assert client.ping()
        assert asyncio.run(ping(settings(f"unix://{path}")))


def test_calls_give_up(own_redis: EmbeddedRedis) -> None:
    with connect(settings(own_redis.url), timeout=0.2, retries=0) as client:
        assert client.ping()
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            with pytest.raises(redis.TimeoutError):
                client.ping()
            with pytest.raises(redis.TimeoutError):
                asyncio.run(ping(settings(own_redis.url), patience=0.2))
            assert time.monotonic() - started < 3
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)


def test_a_workers_connection_repeats_nothing(own_redis: EmbeddedRedis) -> None:
    with connect(settings(own_redis.url), timeout=0.2, retries=0) as client, own_redis.client() as other:
        assert client.incr("counter") == 1
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            with pytest.raises(redis.TimeoutError):
                client.incr("counter")
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
        # The command whose reply was lost may have been carried out, but only once.
        other.ping()
        assert int(other.get("counter") or 0) <= 2
        value = int(other.get("counter") or 0)
        assert client.incr("counter") == value + 1


def test_threads_that_share_a_bounded_client_wait_for_each_other(redis_server: EmbeddedRedis) -> None:
    with connect(settings(redis_server.url), timeout=5, is_shared=True) as client, ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: client.client_id(), range(200)))
    assert len(ids) == 1
