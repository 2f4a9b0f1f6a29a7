"""Run stored events again, or throw dead letters away; what the commands `events replay` and `events discard` wrap.

    wanted = Filter(status="failed", reason="unknown_key")
    replay = Replays(connection, layout)
    outcome = replay.run(replay.select(wanted), reason="the key is back")

An event that was put back is no dead letter any more. So a replay that broke off is simply made again, and two at the
same time put no event back twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from heapq import nsmallest
from itertools import islice
from typing import Any, Final
from uuid import uuid4

import redis

from receiver.layout import Layout
from receiver.ledger import Ledger
from receiver.scripts import load_script
from receiver.stored import Filter, StoredEvent

# In one step; more would keep Redis from others for more than about 2 ms.
BATCH: Final = 100
_BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC)

Watcher = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a replay or a discard.

    ``done``: events put back or thrown away. ``gone``: those that were no dead letters any more. ``without_body``:
    those of which only metadata is left.
    """

    id: str
    done: int
    gone: int
    without_body: int


def first_accepted(events: Iterable[StoredEvent], limit: int | None = None) -> list[StoredEvent]:
    """``events`` in order of their acceptance; the first ``limit`` of them, and no more are held in memory."""

    def accepted(event: StoredEvent) -> datetime:
        return event.accepted_at or _BEFORE_ALL

    return sorted(events, key=accepted) if limit is None else nsmallest(limit, events, key=accepted)


def handlers_named(events: Iterable[StoredEvent], pattern: str | None) -> list[str]:
    """The handlers of these events that ``pattern`` means; none, which stands for all, if there is no pattern."""
    if pattern is None:
        return []
    return sorted({one.name for event in events for one in event.handlers if fnmatchcase(one.name, pattern)})


class Replays:
    """Replays and discards events of one queue. Raises `redis.RedisError` where Redis cannot be reached."""

    def __init__(
        self,
        connection: redis.Redis,
        layout: Layout,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ledger = Ledger(connection, layout)
        self._replay: Any = connection.register_script(load_script(layout, "workers", "replay"))
        self._discard: Any = connection.register_script(load_script(layout, "workers", "discard"))
        self._clock = clock
        self._sleep = sleep

    def select(self, wanted: Filter, limit: int | None = None) -> list[StoredEvent]:
        """The events that match, in order of their acceptance; the first ``limit`` of them."""
        return first_accepted(self._ledger.each(wanted), limit)

    def run(
        self,
        events: Iterable[StoredEvent],
        *,
        reason: str = "",
        handlers: Sequence[str] = (),
        rate: float | None = None,
        watch: Watcher = lambda _done: None,
    ) -> Outcome:
        """Put events back into line, each at the end of its session's lane, in the order given.

        ``reason``: what handlers are told in `event.replay` (a short word; it is stored). ``handlers``: only these run,
        by name; the others stay as they are. ``rate``: at most so many events a second. ``watch`` is called with the
        number of events seen so far.
        """
        replay_id = f"rpl_{uuid4().hex}"
        order = json.dumps({"id": replay_id, "reason": reason, "handlers": list(handlers)})
        return self._each_batch(
            replay_id, events, lambda jobs: self._replay(args=[order, *jobs]), rate=rate, watch=watch
        )

    def discard(self, events: Iterable[StoredEvent], *, watch: Watcher = lambda _done: None) -> Outcome:
        """Throw dead letters away for good."""
        return self._each_batch(
            f"dsc_{uuid4().hex}", events, lambda jobs: self._discard(args=jobs), rate=None, watch=watch
        )

    def _each_batch(
        self,
        name: str,
        events: Iterable[StoredEvent],
        act: Callable[[list[str]], list[int]],
        *,
        rate: float | None,
        watch: Watcher,
    ) -> Outcome:
        size = BATCH if rate is None else max(1, min(BATCH, int(rate / 10)))
        answers: list[int] = []
        left, begun = iter(events), self._clock()
        while batch := [event.job_id for event in islice(left, size)]:
            if rate is not None:
                self._sleep(max(0.0, begun + len(answers) / rate - self._clock()))
            answers += act(batch)
            watch(len(answers))
        return Outcome(name, answers.count(1), answers.count(0), answers.count(-1))
