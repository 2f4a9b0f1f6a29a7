"""What Redis tells about events, workers and rates: all that the command line and a dashboard read.

Reading changes nothing, and its work is bounded: lists come in pages, no call looks at more than `SCAN_LIMIT` events,
and none reads a body. Blocking: a web process calls it in a thread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import redis

from receiver.attempts import HandlerCounts
from receiver.layout import Layout, job_id, lane_of
from receiver.stored import FIELDS, Filter, StoredEvent, read_event

# Events that one call looks at, however few of them match.
SCAN_LIMIT: Final = 1000
_CHUNK: Final = 200
_MINUTES_KEPT: Final = 1500
# More than the scripts ever write; whoever else writes into Redis shall not make a reader's work endless.
_MOST_FIELDS: Final = 1000

Source = tuple[str, str]  # kind of collection (`list` or `zset`), key


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events, and the ``cursor`` of the next page (None at the end). A page may hold fewer events than asked for,
    or none, where few match.
    """

    events: tuple[StoredEvent, ...]
    cursor: str | None


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


@dataclass(frozen=True, slots=True)
class Minute:
    """What was counted in one minute; ``start`` in Unix seconds."""

    start: int
    counters: Mapping[str, int] = field(default_factory=dict)


class Ledger:
    """Reads one queue's events. Every method raises `redis.RedisError` where Redis cannot be reached."""

    def __init__(self, connection: redis.Redis, layout: Layout) -> None:
        self._redis: Any = connection
        self._layout = layout

    def counters(self) -> dict[str, int]:
        """All totals, by the names in `receiver.layout.COUNTERS`."""
        return _whole_numbers(self._redis.hgetall(self._layout.own("counters")))

    def minutes(self, number: int = 60, now: float | None = None) -> list[Minute]:
        """The last ``number`` minutes up to this one, at most 25 hours, the oldest first."""
        starts = _minutes(number, now)
        with self._redis.pipeline(transaction=False) as pipe:
            for minute in starts:
                pipe.hgetall(self._layout.own(f"minute:{minute}"))
            found = pipe.execute()
        return [Minute(start * 60, _whole_numbers(raw)) for start, raw in zip(starts, found, strict=True)]

    def handlers(self, minutes: int | None = None) -> dict[str, HandlerCounts]:
        """What attempts came to, by handler: over the last ``minutes`` (at most 25 hours), or in all."""
        if minutes is None:
            return _by_handler(self._redis.hscan(self._layout.own("handlers"), count=_MOST_FIELDS))
        total: dict[str, HandlerCounts] = {}
        for _, counts in self.handler_minutes(minutes):
            for name, one in counts.items():
                total.setdefault(name, HandlerCounts()).add(one)
        return total

    def handler_minutes(self, number: int = 60, now: float | None = None) -> list[tuple[int, dict[str, HandlerCounts]]]:
        """The same for each of the last ``number`` minutes, the oldest first, with its start (Unix seconds)."""
        starts = _minutes(number, now)
        with self._redis.pipeline(transaction=False) as pipe:
            for minute in starts:
                pipe.hscan(self._layout.own(f"handlers:{minute}"), count=_MOST_FIELDS)
            found = pipe.execute()
        return [(minute * 60, _by_handler(page)) for minute, page in zip(starts, found, strict=True)]

    def handlers_seen(self) -> dict[str, float]:
        """When each handler last ran (Unix seconds), those that nobody has seen for longest first."""
        seen = self._redis.zrange(self._layout.own("handlers_seen"), 0, _MOST_FIELDS, withscores=True)
        return {name.decode("utf-8", "replace"): when for name, when in seen}

    def dead_reasons(self) -> dict[str, int]:
        """How many dead letters there are for each reason."""
        _, found = self._redis.hscan(self._layout.own("dead_reasons"), count=_MOST_FIELDS)
        return _whole_numbers(found)

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
            dead_bytes=int(dead_bytes or 0),
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
        leases = self._redis.zrange(self._layout.own("leases"), 0, -1, withscores=True)
        with self._redis.pipeline(transaction=False) as pipe:
            for name, _ in leases:
                key = self._layout.rq(f"worker:{name.decode()}")
                pipe.hgetall(key)
                pipe.scard(f"{key}:executions")
            found = pipe.execute()
        states = []
        for (name, lease_ends), record, held in zip(leases, found[::2], found[1::2], strict=True):
            text = {key.decode(): value.decode("utf-8", "replace") for key, value in record.items()}
            states.append(
                WorkerState(
                    name=name.decode(),
                    hostname=text.get("hostname", ""),
                    pid=_whole(text.get("pid")),
                    state=text.get("state") or "starting",
                    in_flight=held,
                    concurrency=_whole(text.get("concurrency")),
                    handled=_whole(text.get("successful_job_count")),
                    lease_ends=lease_ends / 1000,
                )
            )
        return states

    def event(self, event_id: str) -> StoredEvent | None:
        """One event that is waiting, running or kept; None if Redis holds no more of it than that it was here."""
        return self._read([job_id(event_id)])[0]

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
        sources = self._sources(wanted.status)
        place, offset = _read_cursor(cursor, len(sources))
        found: list[StoredEvent] = []
        examined = 0
        while place < len(sources):
            jobs = self._slice(sources[place], offset, _CHUNK)
            for job, event in zip(jobs, self._read(jobs), strict=True):
                offset += 1
                examined += 1
                if event is not None and event.job_id == job and wanted.matches(event):
                    found.append(event)
                if len(found) == limit or examined == SCAN_LIMIT:
                    return EventPage(tuple(found), f"{place}.{offset}")
            if len(jobs) < _CHUNK:
                place, offset = place + 1, 0
        return EventPage(tuple(found), None)

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
        raw = self._redis.hgetall(self._layout.own("platform"))
        return {name.decode(): value.decode("utf-8", "replace") for name, value in raw.items()}

    def deliveries(self) -> dict[str, str]:
        """By agent, the platform's latest deliveries as workers have noted them (JSON, see `receiver.noted`)."""
        _, found = self._redis.hscan(self._layout.own("deliveries"), count=_MOST_FIELDS)
        return {agent.decode("utf-8", "replace"): text.decode("utf-8", "replace") for agent, text in found.items()}

    def catalog(self) -> dict[str, str]:
        """What each handler matches, as workers have noted it (JSON, see `receiver.noted`)."""
        _, found = self._redis.hscan(self._layout.own("catalog"), count=_MOST_FIELDS)
        return {name.decode("utf-8", "replace"): text.decode("utf-8", "replace") for name, text in found.items()}

    def lane(self, session: str, limit: int = 100) -> tuple[int, list[StoredEvent]]:
        """How many events are in a session's lane, and the first ``limit`` of them; whose turn it is comes first."""
        key = self._layout.own(f"lane:{lane_of(session)}")
        jobs = [job.decode() for job in self._redis.lrange(key, 0, limit - 1)]
        return self._redis.llen(key), [event for event in self._read(jobs) if event is not None]

    def _oldest_waiting(self, now: float) -> float | None:
        layout = self._layout
        with self._redis.pipeline(transaction=False) as pipe:
            for queue in layout.queues:
                pipe.lindex(layout.rq(f"queue:{queue}"), 0)
                pipe.zrange(layout.rq(f"deferred:{queue}"), 0, 0)
            first = pipe.execute()
        jobs = [job.decode() for one in first for job in (one if isinstance(one, list) else [one]) if job]
        times = [event.accepted_at.timestamp() for event in self._read(jobs) if event and event.accepted_at]
        return max(0.0, now - min(times)) if times else None

    def _sources(self, status: str) -> list[Source]:
        rq, queues = self._layout.rq, self._layout.queues
        if status == "waiting":
            lines = [("list", rq(f"queue:{queue}")) for queue in queues]
            isolated = [("list", self._layout.own("isolated"))]
            return [*isolated, *lines, *(("zset", rq(f"deferred:{queue}")) for queue in queues)]
        kind = {"failed": "failed", "handled": "finished", "retrying": "scheduled", "running": "wip"}[status]
        direction = "zset" if status in ("retrying", "running") else "latest"
        return [(direction, rq(f"{kind}:{queue}")) for queue in queues]

    def _slice(self, source: Source, offset: int, number: int) -> list[str]:
        kind, key = source
        last = offset + number - 1
        if kind == "list":
            found = self._redis.lrange(key, offset, last)
        else:
            found = self._redis.zrange(key, offset, last, desc=kind == "latest")
        # Members of the registry of running jobs are job:execution; a job id holds no colon.
        return [member.decode().partition(":")[0] for member in found]

    def _read(self, jobs: list[str]) -> list[StoredEvent | None]:
        if not jobs:
            return []
        with self._redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.hmget(self._layout.rq(f"job:{job}"), FIELDS)
                pipe.hstrlen(self._layout.rq(f"job:{job}"), "body")
            found = pipe.execute()
        return [read_event(*parts) for parts in zip(jobs, found[::2], found[1::2], strict=True)]


def percentiles(counters: Mapping[str, int]) -> dict[str, float | None]:
    """p50, p95 and p99 of the latencies in counted buckets, in ms, rounded up by at most 19 %."""
    buckets = sorted((int(name[3:]), number) for name, number in counters.items() if name.startswith("ms:"))
    total = sum(number for _, number in buckets)
    found: dict[str, float | None] = {}
    for share in (50, 95, 99):
        needed, seen, value = math.ceil(total * share / 100), 0, None
        for bucket, number in buckets:
            seen += number
            if seen >= needed:
                value = round(2 ** (bucket / 4), 1)
                break
        found[f"p{share}"] = value
    return found


def merged(minutes: list[Minute]) -> dict[str, int]:
    """The sums over several minutes."""
    total: dict[str, int] = {}
    for minute in minutes:
        for name, number in minute.counters.items():
            total[name] = total.get(name, 0) + number
    return total


def _read_cursor(cursor: str | None, places: int) -> tuple[int, int]:
    if cursor is None:
        return 0, 0
    place, dot, offset = cursor.partition(".")
    if not (dot and place.isascii() and place.isdigit() and offset.isascii() and offset.isdigit() and len(cursor) < 20):
        raise ValueError("the cursor is none of a page before")
    return min(int(place), places), int(offset)


def _minutes(number: int, now: float | None) -> range:
    last = int((time.time() if now is None else now) // 60)
    return range(last - min(number, _MINUTES_KEPT) + 1, last + 1)


def _by_handler(page: tuple[int, Mapping[bytes, bytes]]) -> dict[str, HandlerCounts]:
    text = {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in page[1].items()}
    return {name: HandlerCounts.from_text(numbers) for name, numbers in text.items()}


def _whole_numbers(raw: Mapping[bytes, bytes]) -> dict[str, int]:
    return {name.decode("utf-8", "replace"): _whole(value.decode("utf-8", "replace")) for name, value in raw.items()}


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0


def age(moment: datetime | None) -> float | None:
    """Seconds since ``moment``."""
    return None if moment is None else max(0.0, time.time() - moment.timestamp())
