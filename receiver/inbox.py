"""Accept events: the one place that writes them into Redis.

Requests that arrive together share one round trip (group commit): while one batch is on its way, the next one
gathers. No caller is answered before Redis has confirmed its batch.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from enum import Enum
from typing import Any, Protocol

import redis.asyncio
from redis.exceptions import RedisError

from receiver.errors import QueueUnavailable
from receiver.events import Event
from receiver.layout import Layout, job_id, lane_of
from receiver.logs import get_logger
from receiver.scripts import load_script
from receiver.sealed import answer_digest
from receiver.uses import tell

logger = get_logger()

# Long enough to share the round trip, short enough for one batch not to keep Redis from others: about 2 ms.
MAX_BATCH = 128


class Accepted(Enum):
    """What became of an event that was handed to an inbox."""

    NEW = "accepted"
    DUPLICATE = "duplicate"


class Inbox(Protocol):
    """Where the endpoint puts verified events."""

    async def accept(self, event: Event, body: bytes, signature: bytes, traceparent: str = "") -> Accepted:
        """Make ``event`` durable. Raises `QueueUnavailable`, and then the event may or may not be in the queue.

        ``traceparent``: the step of its trace that workers go on from, or empty.
        """
        ...

    async def count(self, numbers: Mapping[str, int]) -> None:
        """Add to the totals (`receiver.layout.COUNTERS`). Raises `QueueUnavailable`; then they may be added or not."""
        ...

    async def ping(self) -> None:
        """Raise `QueueUnavailable` if the queue cannot be reached."""
        ...


_Entry = tuple[tuple[str | bytes, ...], asyncio.Future[Accepted]]


class RedisInbox:
    """The inbox in Redis.

    ``timeout``: seconds after which a batch is given up. ``dedup_window``: seconds an event id is remembered.
    ``ordered``: whether events of one session wait for each other.
    """

    def __init__(
        self,
        connection: redis.asyncio.Redis,
        layout: Layout,
        *,
        timeout: float,
        dedup_window: float,
        ordered: bool,
    ) -> None:
        self._connection = connection
        self._layout = layout
        self._timeout = timeout
        self._dedup_window = max(1, int(dedup_window))
        self._ordered = ordered
        self._script: Any = connection.register_script(load_script(layout, "receiver", "accept"))
        self._count_script: Any = connection.register_script(load_script(layout, "receiver", "count"))
        self._waiting: deque[_Entry] = deque()
        self._committer: asyncio.Task[None] | None = None

    async def accept(self, event: Event, body: bytes, signature: bytes, traceparent: str = "") -> Accepted:
        """See `Inbox.accept`."""
        answer: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._waiting.append(((*self._arguments(event, body, signature), traceparent), answer))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_all())
        return await answer

    async def count(self, numbers: Mapping[str, int]) -> None:
        """See `Inbox.count`."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._count_script(args=[part for pair in numbers.items() for part in pair])
        except (RedisError, OSError, TimeoutError) as error:
            raise QueueUnavailable("Redis cannot be reached") from error

    async def note_uses(self, counts: Mapping[str, int]) -> None:
        """Add to what is known of the use of tokens and secrets (`receiver.uses`). Raises `QueueUnavailable`."""
        pipe = self._connection.pipeline(transaction=False)
        tell(pipe, self._layout, counts)
        try:
            async with asyncio.timeout(self._timeout):
                await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise QueueUnavailable("Redis cannot be reached") from error

    async def ping(self) -> None:
        """See `Inbox.ping`."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._connection.ping()
        except (RedisError, OSError, TimeoutError) as error:
            raise QueueUnavailable("Redis cannot be reached") from error

    async def close(self) -> None:
        """Finish what is on its way and close the connection."""
        if self._committer is not None:
            await self._committer
        await self._connection.aclose()

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
                await self._commit(batch)
        finally:
            self._committer = None

    async def _commit(self, batch: list[_Entry]) -> None:
        arguments: list[str | bytes | int] = [self._dedup_window]
        for event_arguments, _ in batch:
            arguments.extend(event_arguments)
        try:
            async with asyncio.timeout(self._timeout):
                answers = await self._script(args=arguments)
        except (RedisError, OSError, TimeoutError) as error:
            # An error's text may quote the arguments; its type says enough.
            logger.warning("redis cannot accept events", error=type(error).__name__, events=len(batch))
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(QueueUnavailable("the queue cannot take the event now; send it again"))
            return
        for (_, answer), fresh in zip(batch, answers, strict=True):
            if not answer.done():
                answer.set_result(Accepted.NEW if fresh else Accepted.DUPLICATE)

    def _arguments(self, event: Event, body: bytes, signature: bytes) -> tuple[str | bytes, ...]:
        lane = lane_of(event.session_id) if self._ordered else ""
        queue = self._layout.queue_for(event.priority)
        told = metadata(event, len(body))
        return event.id, job_id(event.id), lane, queue, body, signature, event.type, told, answer_digest(event)


def metadata(event: Event, size: int) -> str:
    """What is known of an event without opening it, as JSON; ``size`` in bytes. What is empty is left out.

    Stored beside the body, so that whoever lists events need not read bodies, and outlives it.
    """
    known = {
        "id": event.id,
        "type": event.type,
        "agent": event.agent_name,
        "agent_id": event.agent_id,
        "session": event.session_id,
        "priority": event.priority,
        "created_at": event.created_at.isoformat() if event.created_at else "",
        "delivery": event.delivery_id,
        "bytes": size,
    }
    return json.dumps({name: value for name, value in known.items() if value}, separators=(",", ":"))
