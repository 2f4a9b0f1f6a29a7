"""Accept events: the one place that writes them into Redis.

Requests that arrive together share one round trip (group commit): while one batch is on its way, the next one
gathers. No caller is answered before Redis has confirmed its batch.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from itertools import chain
from typing import Any, Final, Protocol

import redis.asyncio
from redis.exceptions import NoScriptError, RedisError

from receiver.durability import Durability
from receiver.errors import QueueUnavailable, TooManyPending
from receiver.events import Event
from receiver.layout import Layout, job_id, lane_of
from receiver.logs import get_logger
from receiver.scripts import load_script
from receiver.sealed import answer_digest
from receiver.uses import tell

logger = get_logger()

# Long enough to share the round trip, short enough for one batch not to keep Redis from others: about 2 ms.
MAX_BATCH = 128
MAX_PENDING = 100_000
# So many batches share one wait for the disk or the replica, which may take a second.
MAX_CONFIRMED_TOGETHER = 16
# A date that is wrong by more than a year is no date.
_MAX_AHEAD: Final = 366 * 86400


class Accepted(Enum):
    """What became of an event that was handed to an inbox."""

    NEW = "accepted"
    DUPLICATE = "duplicate"


# What the script answers for each event.
_ANSWERS: Final = {1: Accepted.NEW, 0: Accepted.DUPLICATE}


class Inbox(Protocol):
    """Where the endpoint puts verified events."""

    async def accept(self, event: Event, body: bytes, signature: bytes, traceparent: str = "") -> Accepted:
        """Make ``event`` durable. ``traceparent``: the step of its trace that workers go on from, or empty.

        Raises `TooManyPending`, and then it is not in the queue, or `QueueUnavailable`, and then it may be or not.
        """
        ...

    async def count(self, numbers: Mapping[str, int]) -> None:
        """Add to the totals (`receiver.layout.COUNTERS`). Raises `QueueUnavailable`; then they may be added or not."""
        ...

    async def ping(self) -> None:
        """Raise `QueueUnavailable` if the queue cannot be reached."""
        ...


_Entry = tuple[Event, tuple[str | bytes, ...], asyncio.Future[Accepted]]


class RedisInbox:
    """The inbox in Redis.

    ``timeout``: seconds after which a batch is given up. ``dedup_window``: seconds an event id is remembered.
    ``ordered``: whether events of one session wait for each other. ``max_pending``: how many events may wait.
    ``durability``: where an event must be before it is acknowledged; ``timeout`` and that of ``connection`` must be
    long enough for its ``patience``.
    """

    def __init__(
        self,
        connection: redis.asyncio.Redis,
        layout: Layout,
        *,
        timeout: float,
        dedup_window: float,
        ordered: bool,
        max_pending: int = MAX_PENDING,
        durability: Durability = Durability.MEMORY,
    ) -> None:
        self._connection = connection
        self._layout = layout
        self._timeout = timeout
        self._durability = durability
        self._dedup_window = max(1, int(dedup_window))
        self._ordered = ordered
        self._max_pending = max_pending
        self._script: Any = connection.register_script(load_script(layout, "receiver", "accept"))
        self._most = MAX_BATCH * (1 if durability is Durability.MEMORY else MAX_CONFIRMED_TOGETHER)
        self._count_script: Any = connection.register_script(load_script(layout, "receiver", "count"))
        self._waiting: deque[_Entry] = deque()
        self._committer: asyncio.Task[None] | None = None
        self._beside_lock = asyncio.Lock()

    async def accept(self, event: Event, body: bytes, signature: bytes, traceparent: str = "") -> Accepted:
        """See `Inbox.accept`."""
        answer: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, (*self._arguments(event, body, signature), traceparent), answer))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_all())
        return await answer

    async def count(self, numbers: Mapping[str, int]) -> None:
        """See `Inbox.count`."""
        async with self._beside():
            await self._count_script(args=[part for pair in numbers.items() for part in pair])

    async def note_uses(self, counts: Mapping[str, int]) -> None:
        """Add to what is known of the use of tokens and secrets (`receiver.uses`). Raises `QueueUnavailable`."""
        pipe = self._connection.pipeline(transaction=False)
        tell(pipe, self._layout, counts)
        async with self._beside():
            await pipe.execute()

    async def ping(self) -> None:
        """See `Inbox.ping`."""
        async with self._beside():
            await self._connection.ping()

    @asynccontextmanager
    async def _beside(self) -> AsyncIterator[None]:
        """Ask Redis beside accepting, over one connection: a crowd at /readyz must not take all that a plan has."""
        try:
            async with asyncio.timeout(self._timeout), self._beside_lock:
                yield
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
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
                await self._commit(batch)
        finally:
            self._committer = None

    async def _commit(self, batch: list[_Entry]) -> None:
        calls = [self._call_for(batch[start : start + MAX_BATCH]) for start in range(0, len(batch), MAX_BATCH)]
        try:
            async with asyncio.timeout(self._timeout):
                if self._durability is Durability.MEMORY:
                    answers = await self._script(args=calls[0])
                else:
                    answers = await self._run_confirmed(calls)
        except (RedisError, OSError, TimeoutError, QueueUnavailable) as error:
            # An error's text may quote the arguments; its type says enough.
            logger.warning("redis cannot accept events", error=type(error).__name__, events=len(batch))
            for _, _, answer in batch:
                if not answer.done():
                    answer.set_exception(QueueUnavailable("the queue cannot take the event now; send it again"))
            return
        for (_, _, answer), code in zip(batch, answers, strict=True):
            if answer.done():
                continue
            if code in _ANSWERS:
                answer.set_result(_ANSWERS[code])
            else:
                answer.set_exception(TooManyPending("too many events wait for a worker; send it again later"))

    def _call_for(self, batch: list[_Entry]) -> list[str | bytes | int]:
        arguments: list[str | bytes | int] = [self._dedup_window + _ahead(batch), self._max_pending]
        for _, event_arguments, _ in batch:
            arguments.extend(event_arguments)
        return arguments

    async def _run_confirmed(self, calls: list[list[str | bytes | int]]) -> list[int]:
        """Run the script for each of ``calls`` and wait until Redis confirms all of them, in one round trip.

        Duplicates wait as well: an event that was not confirmed at first is one when it is sent again.
        """
        try:
            *answers, confirmation = await self._send(calls)
        except NoScriptError:  # a restart or a failover: nothing of it was carried out
            await self._connection.script_load(self._script.script)
            *answers, confirmation = await self._send(calls)
        if not self._durability.is_confirmed(confirmation):
            raise QueueUnavailable("Redis has the events, but does not confirm them")
        return list(chain.from_iterable(answers))

    async def _send(self, calls: list[list[str | bytes | int]]) -> list[Any]:
        async with self._connection.pipeline(transaction=False) as pipe:
            for arguments in calls:
                pipe.evalsha(self._script.sha, 0, *arguments)
            pipe.execute_command(*self._durability.question)
            return await pipe.execute()

    def _arguments(self, event: Event, body: bytes, signature: bytes) -> tuple[str | bytes, ...]:
        lane = lane_of(event.session_id) if self._ordered else ""
        queue = self._layout.queue_for(event.priority)
        told = metadata(event, len(body))
        return event.id, job_id(event.id), lane, queue, body, signature, event.type, told, answer_digest(event)


def _ahead(batch: list[_Entry]) -> int:
    """By how many seconds the latest event is dated ahead of now.

    An event is refused as stale by its date. It must be remembered until then, or it could be replayed in between.
    """
    latest = max((event.created_at.timestamp() for event, _, _ in batch if event.created_at is not None), default=0.0)
    return min(max(0, math.ceil(latest - time.time())), _MAX_AHEAD)


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
