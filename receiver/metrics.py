"""The page `/metrics`: who may read it, and one read of Redis for all who ask at the same time.

Imported only where a token is set: a process without metrics does not pay for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import redis
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from receiver.families import Numbers, families
from receiver.layout import Layout
from receiver.ledger import Ledger
from receiver.logs import get_logger
from receiver.signature import verify_bearer

logger = get_logger()

# A scrape is given up by Prometheus after 10 s.
READ_TIMEOUT: Final = 5.0
_REFUSED: Final = "the bearer token is missing or wrong; it is one of HILOOP_METRICS_TOKEN\n"


class Metrics:
    """Answers `GET /metrics` for those who have one of ``tokens``. ``connection`` is used by one thread at a time.

    ``timeout``: seconds after which who asks is told that Redis is away; the read goes on, and is the next one's.
    """

    def __init__(
        self, connection: redis.Redis, layout: Layout, tokens: Sequence[bytes], *, timeout: float = READ_TIMEOUT
    ) -> None:
        self._timeout = timeout
        self._connection = connection
        self._ledger = Ledger(connection, layout)
        self._tokens = tokens
        self._reading: asyncio.Task[bytes] | None = None

    async def answer(self, request: Request) -> Response:
        """The endpoint. Redis that is away is no error of the page, which says so: `hiloop_up 0`."""
        given = request.headers.getlist("authorization")
        if len(given) != 1 or verify_bearer(self._tokens, given[0].encode("latin-1")) is None:
            return PlainTextResponse(_REFUSED, 401, {"www-authenticate": "Bearer"})
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        # Who goes away does not stop the read: others may wait for it.
        try:
            async with asyncio.timeout(self._timeout):
                page = await asyncio.shield(self._reading)
        except TimeoutError:
            logger.warning("redis is not available", error="TimeoutError")
            page = _page(None)
        return Response(page, headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4, "cache-control": "no-store"})

    def close(self) -> None:
        """Close the connection to Redis."""
        self._connection.close()

    def page(self) -> bytes:
        """The page as it is now. Blocking."""
        return _page(self._numbers())

    async def _read(self) -> bytes:
        try:
            return await asyncio.to_thread(self.page)
        finally:
            self._reading = None

    def _numbers(self) -> Numbers | None:
        ledger = self._ledger
        try:
            return Numbers(ledger.status(minutes=1), ledger.handlers(), ledger.dead_reasons())
        except (RedisError, OSError) as error:
            logger.warning("redis is not available", error=type(error).__name__)
            return None


def _page(numbers: Numbers | None) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Once(list(families(numbers))))
    return generate_latest(registry)


class _Once(Collector):
    """Families that have been made already."""

    def __init__(self, made: Sequence[Metric]) -> None:
        self._made = made

    def collect(self) -> Sequence[Metric]:
        """See `Collector.collect`."""
        return self._made
