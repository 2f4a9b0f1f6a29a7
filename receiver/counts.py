"""Count in this process, and add it to the totals in Redis about once a second.

So what is counted costs no call of its own: requests that are refused must not be a way to keep Redis busy.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

from receiver.errors import QueueUnavailable

Write = Callable[[Mapping[str, int]], Awaitable[None]]


class Counts:
    """Numbers by name (`receiver.layout.COUNTERS`) until ``write`` takes them, every ``interval`` seconds at most.

    ``write`` raises `QueueUnavailable` where it cannot; then they are kept and it is asked again.
    """

    def __init__(self, write: Write, *, interval: float = 1.0) -> None:
        self._write = write
        self._interval = interval
        self._pending: dict[str, int] = {}
        self._writer: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    def add(self, name: str, number: int = 1) -> None:
        """Count. Only names of ours, never what a request holds: there must be an end to them."""
        self._pending[name] = self._pending.get(name, 0) + number
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_later())

    async def close(self) -> None:
        """Write what is left."""
        self._closed.set()
        if self._writer is not None:
            await self._writer

    async def _write_later(self) -> None:
        try:
            while self._pending:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._interval):
                        await self._closed.wait()
                await self._write_all()
                if self._closed.is_set():
                    return
        finally:
            self._writer = None

    async def _write_all(self) -> None:
        numbers, self._pending = self._pending, {}
        try:
            await self._write(numbers)
        except QueueUnavailable:
            for name, number in numbers.items():
                self._pending[name] = self._pending.get(name, 0) + number
