"""Open connections to Redis: an asynchronous one for the web side, a blocking one for workers and the command line.

Both find a new primary by themselves after a failover: behind Sentinels by asking them, behind one name by connecting
anew. A server that answers READONLY has been demoted, and has not carried the command out: the connection is closed.
"""

from __future__ import annotations

from typing import Any, Final

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import ReadOnlyError
from redis.retry import Retry

from receiver.sentinels import SentinelAddress
from receiver.settings import QueueSettings

# A Sentinel that does not answer within so many seconds is passed over for the next one.
_SENTINEL_SECONDS: Final = 0.5


def connect_async(settings: QueueSettings, *, timeout: float, patience: float = 0.0) -> redis.asyncio.Redis:
    """A client whose calls give up after ``timeout`` seconds and are sent again once if the connection broke.

    ``patience``: seconds that an answer may take on top, for calls that wait for something.
    """
    options = {**_options(settings, timeout), "retry": AsyncRetry(_backoff(), 1)}
    options["socket_timeout"] += patience
    address = SentinelAddress.from_url(settings.redis_url)
    if address is None:
        return redis.asyncio.Redis.from_url(settings.redis_url, **options)
    sentinel = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]  # redis-py's own gap
        address.hosts,
        sentinel_kwargs={**_sentinel_options(settings, address, timeout), "retry": AsyncRetry(NoBackoff(), 0)},
    )
    client: redis.asyncio.Redis = sentinel.master_for(
        address.service, connection_pool_class=_SentinelPool, **options, **_primary_options(address)
    )
    return client


def connect(settings: QueueSettings, *, timeout: float, retries: int = 1, is_shared: bool = False) -> redis.Redis:
    """A blocking client whose calls give up after ``timeout`` seconds.

    ``is_shared``: its threads wait for each other rather than open a connection each (not behind Sentinels).
    """
    options = {**_options(settings, timeout), "retry": Retry(_backoff(), retries)}
    address = SentinelAddress.from_url(settings.redis_url)
    if address is None and is_shared:
        pool = redis.BlockingConnectionPool.from_url(settings.redis_url, max_connections=1, timeout=timeout, **options)
        return redis.Redis(connection_pool=pool)
    if address is None:
        return redis.Redis.from_url(settings.redis_url, **options)
    sentinel = open_sentinels(settings, address, timeout=timeout)
    client: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]  # redis-py's own gap
        address.service, **options, **_primary_options(address)
    )
    return client


def open_sentinels(settings: QueueSettings, address: SentinelAddress, *, timeout: float) -> redis.sentinel.Sentinel:
    """The Sentinels themselves."""
    options = {**_sentinel_options(settings, address, timeout), "retry": Retry(NoBackoff(), 0)}
    return redis.sentinel.Sentinel(  # type: ignore[no-untyped-call]  # redis-py's own gap
        address.hosts, sentinel_kwargs=options
    )


class _SentinelPool(redis.asyncio.sentinel.SentinelConnectionPool):
    """Closes the connections to the Sentinels with those to Redis."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:
            await self.sentinel_manager.aclose()


def _backoff() -> ExponentialWithJitterBackoff:
    return ExponentialWithJitterBackoff(base=0.02, cap=0.2)


def _options(settings: QueueSettings, timeout: float) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry_on_error": [ReadOnlyError],
    }
    if not settings.redis_url.startswith("unix://"):
        options["socket_keepalive"] = True
    if settings.redis_url.startswith("rediss") and not settings.redis_verify_tls:
        # Heroku's Redis has a self-signed certificate: encrypted, but not proven to be theirs.
        options["ssl_cert_reqs"] = "none"
        options["ssl_check_hostname"] = False
    return options


def _primary_options(address: SentinelAddress) -> dict[str, Any]:
    return {"db": address.db, **({"ssl": True} if address.tls else {}), **address.login}


def _sentinel_options(settings: QueueSettings, address: SentinelAddress, timeout: float) -> dict[str, Any]:
    options = _options(settings, min(timeout, _SENTINEL_SECONDS))
    return {**options, **({"ssl": True} if address.tls else {}), **address.sentinel_login}
