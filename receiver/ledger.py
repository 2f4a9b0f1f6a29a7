"""What Redis tells about events, workers and rates: all that the command line and a dashboard read.

Reading changes nothing, and its work is bounded: lists come in pages (`receiver.pages`), and none reads a body.
Blocking: a web process calls it in a thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import redis

from receiver.counted import Counted, merged, percentiles, texts, whole
from receiver.layout import Layout, job_id, lane_of
from receiver.pages import SCAN_LIMIT as SCAN_LIMIT
from receiver.pages import EventPage as EventPage
from receiver.pages import Pages
from receiver.stored import Filter, StoredEvent

_CHUNK: Final = 200
# More than workers note; whoever else writes into Redis shall not make a reader's work endless.
_MOST_NOTES: Final = 500


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker process, as it last told. ``state``: idle, busy or suspended. Times are Unix seconds."""

    name: str
    hostname: str
    pid: int
    state: str
    in_flight: int
    concurrency: int
    handled: int
    lease_ends: float


@dataclass(frozen=True, slots=True)
class Status:
    """How the whole is doing now. Ages in seconds, rates in events a second over the last minutes, latencies in ms from
    POST to handled; None where there is nothing to tell.
    """

    depth: Mapping[str, int]
    waiting: int
    deferred: int
    in_flight: int
    retrying: int
    dead: int
    dead_bytes: int
    kept: int
    oldest_waiting: float | None
    accept_rate: float
    handle_rate: float
    latency_ms: Mapping[str, float | None]
    counters: Mapping[str, int]
    workers: tuple[WorkerState, ...]
    suspended: bool
    memory: int
    memory_limit: int


class Ledger(Counted):
    """Reads one queue's events, and what was counted. Every method raises `redis.RedisError` where Redis cannot be
    reached.
    """

    def __init__(self, connection: redis.Redis, layout: Layout) -> None:
        super().__init__(connection, layout)
        self._pages = Pages(connection, layout)

    def status(self, minutes: int = 5) -> Status:
        """How the whole is doing; rates and latencies over the last ``minutes``."""
        layout, queues = self._layout, self._layout.queues
        with self._redis.pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.llen(layout.rq(f"queue:{queue}"))
                for kind in ("deferred", "wip", "scheduled", "failed", "finished"):
                    pipe.zcard(layout.rq(f"{kind}:{queue}"))
            pipe.llen(layout.own("isolated"))
            pipe.get(layout.own("dead_bytes"))
            pipe.exists(layout.rq("suspended"))
            pipe.info("memory")
            *sizes, isolated, dead_bytes, suspended, memory = pipe.execute()
        queued, deferred, running, scheduled, failed, finished = (sizes[kind::6] for kind in range(6))
        recent, now = self.minutes(minutes + 1), time.time()
        seconds = max(1.0, now - recent[0].start)
        counted = merged(recent)
        return Status(
            depth=dict(zip(queues, queued, strict=True)),
            waiting=sum(queued) + sum(deferred) + isolated,
            deferred=sum(deferred),
            in_flight=sum(running),
            retrying=sum(scheduled),
            dead=sum(failed),
            dead_bytes=whole((dead_bytes or b"").decode("utf-8", "replace")),
            kept=sum(finished),
            oldest_waiting=self._oldest_waiting(now),
            accept_rate=counted.get("accepted", 0) / seconds,
            handle_rate=counted.get("handled", 0) / seconds,
            latency_ms=percentiles(counted),
            counters=self.counters(),
            workers=tuple(self.workers()),
            suspended=bool(suspended),
            memory=int(memory.get("used_memory", 0)),
            memory_limit=int(memory.get("maxmemory", 0)),
        )

    def workers(self) -> list[WorkerState]:
        """All workers whose lease has not been ended by others, the longest living first."""
        leases = self._redis.zrange(self._layout.own("leases"), 0, SCAN_LIMIT - 1, withscores=True)
        names = [name.decode("utf-8", "replace") for name, _ in leases]
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                key = self._layout.rq(f"worker:{name}")
                pipe.hgetall(key)
                pipe.scard(f"{key}:executions")
            found = pipe.execute()
        states = []
        for name, (_, lease_ends), record, held in zip(names, leases, found[::2], found[1::2], strict=True):
            text = texts(record)
            states.append(
                WorkerState(
                    name=name,
                    hostname=text.get("hostname", ""),
                    pid=whole(text.get("pid")),
                    state=text.get("state") or "starting",
                    in_flight=held,
                    concurrency=whole(text.get("concurrency")),
                    handled=whole(text.get("successful_job_count")),
                    lease_ends=lease_ends / 1000,
                )
            )
        return states

    def event(self, event_id: str) -> StoredEvent | None:
        """One event that is waiting, running or kept; None if Redis holds no more of it than that it was here."""
        return self._pages.read([job_id(event_id)])[0]

    def is_known(self, event_id: str) -> bool:
        """Whether the event was accepted within the deduplication window, or is still kept."""
        return self.known([event_id]) == {event_id}

    def known(self, event_ids: list[str]) -> set[str]:
        """Those of ``event_ids`` that were accepted within the deduplication window, or are still kept."""
        known = set()
        for start in range(0, len(event_ids), _CHUNK):
            chunk = event_ids[start : start + _CHUNK]
            with self._redis.pipeline(transaction=False) as pipe:
                for one in chunk:
                    pipe.exists(self._layout.own(f"seen:{one}"), self._layout.rq(f"job:{job_id(one)}"))
                known |= {one for one, exists in zip(chunk, pipe.execute(), strict=True) if exists}
        return known

    def page(self, wanted: Filter, *, limit: int = 50, cursor: str | None = None) -> EventPage:
        """Events that match, for `failed` and `handled` the latest first, else in the order in which they will run.

        ``cursor`` is that of the page before. Raises `ValueError` for one that is none.
        """
        return self._pages.page(wanted, limit, cursor)

    def each(self, wanted: Filter) -> Iterator[StoredEvent]:
        """All events that match, page after page; those that change their state meanwhile may be missed."""
        cursor: str | None = None
        while True:
            page = self.page(wanted, limit=SCAN_LIMIT, cursor=cursor)
            yield from page.events
            if page.cursor is None:
                return
            cursor = page.cursor

    def platform(self) -> dict[str, str]:
        """What reconciling has noted of the platform: ``at`` (Unix seconds), ``report`` and ``stats`` (JSON)."""
        return texts(self._redis.hgetall(self._layout.own("platform")))

    def deliveries(self) -> dict[str, str]:
        """By agent, the platform's latest deliveries as workers have noted them (JSON, see `receiver.noted`)."""
        return texts(self._redis.hscan(self._layout.own("deliveries"), count=_MOST_NOTES)[1])

    def catalog(self) -> dict[str, str]:
        """What each handler matches, as workers have noted it (JSON, see `receiver.noted`)."""
        return texts(self._redis.hscan(self._layout.own("catalog"), count=_MOST_NOTES)[1])

    def lane(self, session: str, limit: int = 100) -> tuple[int, list[StoredEvent]]:
        """How many events are in a session's lane, and the first ``limit`` of them; whose turn it is comes first."""
        key = self._layout.own(f"lane:{lane_of(session)}")
        jobs = [job.decode() for job in self._redis.lrange(key, 0, limit - 1)]
        return self._redis.llen(key), [event for event in self._pages.read(jobs) if event is not None]

    def _oldest_waiting(self, now: float) -> float | None:
        layout = self._layout
        with self._redis.pipeline(transaction=False) as pipe:
            for queue in layout.queues:
                pipe.lindex(layout.rq(f"queue:{queue}"), 0)
                pipe.zrange(layout.rq(f"deferred:{queue}"), 0, 0)
            first = pipe.execute()
        jobs = [
            job.decode("utf-8", "replace") for one in first for job in (one if isinstance(one, list) else [one]) if job
        ]
        times = [event.accepted_at.timestamp() for event in self._pages.read(jobs) if event and event.accepted_at]
        return max(0.0, now - min(times)) if times else None


def age(moment: datetime | None) -> float | None:
    """Seconds since ``moment``."""
    return None if moment is None else max(0.0, time.time() - moment.timestamp())
