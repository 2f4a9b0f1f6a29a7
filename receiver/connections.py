"""Open connections to Redis: an asynchronous one for the web side, a blocking one for workers and the command line."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from receiver.settings import QueueSettings


def connect_async(settings: QueueSettings, *, timeout: float) -> redis.asyncio.Redis:
    """A client whose calls give up after ``timeout`` seconds and are sent again once if the connection broke."""
    backoff = ExponentialWithJitterBackoff(base=0.02, cap=0.2)
    return redis.asyncio.Redis.from_url(settings.redis_url, **_options(settings, timeout), retry=AsyncRetry(backoff, 1))


def connect(settings: QueueSettings, *, timeout: float, retries: int = 1) -> redis.Redis:
    """A blocking client whose calls give up after ``timeout`` seconds."""
    backoff = ExponentialWithJitterBackoff(base=0.02, cap=0.2)
    return redis.Redis.from_url(settings.redis_url, **_options(settings, timeout), retry=Retry(backoff, retries))


def _options(settings: QueueSettings, timeout: float) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
    }
    if not settings.redis_url.startswith("unix://"):
        options["socket_keepalive"] = True
    if settings.redis_url.startswith("rediss://") and not settings.redis_verify_tls:
        # Heroku's Redis has a self-signed certificate: encrypted, but not proven to be theirs.
        options["ssl_cert_reqs"] = "none"
        options["ssl_check_hostname"] = False
    return options
