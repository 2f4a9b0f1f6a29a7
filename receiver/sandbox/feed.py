"""Tells those who wait that something has happened: server-sent events of the page, and long polls of agents."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

# Of interest to the admin only; all other notices are about sessions.
DELIVERY_ATTEMPTED: Final = "delivery.attempted"

Notice = dict[str, Any]  # {"type", "sessionId"} and what little else is no secret


class Feed:
    """Hands every notice to all subscribers. A subscriber's queue yields None when the sandbox is stopping."""

    def __init__(self) -> None:
        self._subscribers: set[asyncio.Queue[Notice | None]] = set()
        self._closed = False

    def publish(self, kind: str, session_id: str | None, **more: Any) -> None:
        """Hand ``{"type": kind, "sessionId": session_id, …}`` to all who are subscribed now."""
        for queue in self._subscribers:
            queue.put_nowait({"type": kind, "sessionId": session_id, **more})

    @contextmanager
    def subscribed(self) -> Iterator[asyncio.Queue[Notice | None]]:
        """Receive all notices from here on."""
        queue: asyncio.Queue[Notice | None] = asyncio.Queue()
        if self._closed:
            queue.put_nowait(None)
        self._subscribers.add(queue)
        try:
            yield queue
        finally:
            self._subscribers.discard(queue)

    def close(self) -> None:
        """Let go of everybody, now and from now on, so that open connections can end."""
        self._closed = True
        for queue in self._subscribers:
            queue.put_nowait(None)
