"""Tells open pages that there is something new (server-sent events): one reading for all viewers, and no more of these
than a small process bears.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Final

from redis.exceptions import RedisError

from receiver.dashboard.overview import Overview, Overviews
from receiver.dashboard.pool import Busy
from receiver.dashboard.series import PERIODS

MOST_VIEWERS: Final = 50
TICK_SECONDS: Final = 2.0
# Connections are given up after a while, and made again by the browser.
_LONGEST_SECONDS: Final = 600.0


class Live:
    """Reads the overview every two seconds as long as anybody looks."""

    def __init__(self, overviews: Overviews) -> None:
        self._overviews = overviews
        self._viewers: set[asyncio.Queue[str | None]] = set()
        self._ticker: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_full(self) -> bool:
        """Whether no more viewers are taken."""
        return self._closed or len(self._viewers) >= MOST_VIEWERS

    async def messages(self, until: float) -> AsyncIterator[str]:
        """What one viewer is sent until then (Unix seconds), when the session is over."""
        inbox: asyncio.Queue[str | None] = asyncio.Queue(maxsize=2)
        self._viewers.add(inbox)
        if self._ticker is None:
            self._ticker = asyncio.create_task(self._tick())
        ends = asyncio.get_running_loop().time() + min(_LONGEST_SECONDS, max(0.0, until - time.time()))
        try:
            yield "retry: 3000\n\n"
            while (message := await _next(inbox, ends)) is not None:
                yield message
        finally:
            self._viewers.discard(inbox)

    def close(self) -> None:
        """End all viewers' connections, so that they hold up no shutdown."""
        self._closed = True
        if self._ticker is not None:
            self._ticker.cancel()
        for inbox in self._viewers:
            while not inbox.empty():
                inbox.get_nowait()
            inbox.put_nowait(None)

    async def _tick(self) -> None:
        try:
            while self._viewers:
                message = await self._message()
                for inbox in self._viewers:
                    if not inbox.full():  # who reads too slowly misses some, and gets the next
                        inbox.put_nowait(message)
                await asyncio.sleep(TICK_SECONDS)
        finally:
            self._ticker = None

    async def _message(self) -> str:
        try:
            now = await self._overviews.get(PERIODS["1h"])
        except (RedisError, OSError, Busy):
            return _event("away", {})
        return _event("tick", _numbers(now))


async def _next(inbox: asyncio.Queue[str | None], ends: float) -> str | None:
    try:
        async with asyncio.timeout_at(ends):
            return await inbox.get()
    except TimeoutError:
        return None


def _numbers(now: Overview) -> dict[str, int]:
    status = now.status
    return {"dead": status.dead, "waiting": status.waiting, "running": status.in_flight}


def _event(name: str, data: dict[str, int]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
