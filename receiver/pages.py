"""Lists of events in pages that stay right while events come, go and move, and whose work is bounded.

A page ends where a call has looked at `SCAN_LIMIT` events, however few of them match; none reads a body. Its cursor
names the last event that was looked at and where that stood, so the next page starts behind it wherever it is by then.
What stays in its place is shown once, whatever happens around it; what moves may be missed, or seen again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

import redis

from receiver.layout import Layout
from receiver.scripts import load_script
from receiver.stored import FIELDS, Filter, StoredEvent, read_event

# Events that one call looks at: about 30 ms of work.
SCAN_LIMIT: Final = 500
# Read in one step; more would keep Redis from others for more than about 1 ms.
_CHUNK: Final = 100
_NUMBER: Final = r"-?(?:\d{1,20}(?:\.\d{1,20})?(?:e[+-]\d{1,3})?|inf)"
_CURSOR: Final = re.compile(rf"(\d{{1,2}})~({_NUMBER})~([\w.%~-]{{1,1000}})", re.ASCII)

Entry = tuple[bytes, float]  # member of a list or sorted set; its place in the list, or its score


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events, and the ``cursor`` of the next page (None at the end). A page may hold fewer events than asked for,
    or none, where few match.
    """

    events: tuple[StoredEvent, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class _Source:
    """Where events of one status and priority are.

    ``kind``: `list`; `rising` or `falling`, a sorted set by score; `named`, one in which all scores are the same.
    """

    kind: str
    key: str


class Pages:
    """Reads one queue's events. Raises `redis.RedisError` where Redis cannot be reached."""

    def __init__(self, connection: redis.Redis, layout: Layout) -> None:
        self._redis: Any = connection
        self._layout = layout
        self._script: Any = connection.register_script(load_script(layout, "receiver", "read"))

    def read(self, jobs: list[str]) -> list[StoredEvent | None]:
        """The events of some jobs, None for those that are none (any more)."""
        events = []
        for start in range(0, len(jobs), _CHUNK):
            chunk = jobs[start : start + _CHUNK]
            found = self._script(args=[len(FIELDS), *FIELDS, *chunk])
            events += [read_event(job, values[:-1], values[-1]) for job, values in zip(chunk, found, strict=True)]
        return events

    def page(self, wanted: Filter, limit: int, cursor: str | None) -> EventPage:
        """At most ``limit`` events that match. Raises `ValueError` for a cursor that is none."""
        sources = self._sources(wanted.status)
        place, last = _read_cursor(cursor)
        found: list[StoredEvent] = []
        examined, size = 0, min(_CHUNK, limit)
        while place < len(sources):
            entries = self._behind(sources[place], last, size)
            jobs = [_job_of(member) for member, _ in entries]
            for entry, job, event in zip(entries, jobs, self.read(jobs), strict=True):
                last = entry
                examined += 1
                if event is not None and event.job_id == job and wanted.matches(event):
                    found.append(event)
                if len(found) == limit or examined == SCAN_LIMIT:
                    return EventPage(tuple(found), _write_cursor(place, last))
            if len(entries) < size:
                place, last = place + 1, None
            size = _CHUNK
        return EventPage(tuple(found), None)

    def _sources(self, status: str) -> list[_Source]:
        rq, queues = self._layout.rq, self._layout.queues
        if status == "waiting":
            isolated = _Source("list", self._layout.own("isolated"))
            lines = [_Source("list", rq(f"queue:{queue}")) for queue in queues]
            return [isolated, *lines, *(_Source("rising", rq(f"deferred:{queue}")) for queue in queues)]
        kind, name = {
            "failed": ("falling", "failed"),
            "handled": ("falling", "finished"),
            "retrying": ("rising", "scheduled"),
            "running": ("named", "wip"),
        }[status]
        return [_Source(kind, rq(f"{name}:{queue}")) for queue in queues]

    def _behind(self, source: _Source, last: Entry | None, number: int) -> list[Entry]:
        """The next entries behind ``last``, from the start without it."""
        start = 0 if last is None else self._rank_behind(source, *last)
        stop = start + number - 1
        if source.kind == "list":
            members = self._redis.lrange(source.key, start, stop)
            return [(member, float(place)) for place, member in enumerate(members, start)]
        entries: list[Entry] = self._redis.zrange(
            source.key, start, stop, desc=source.kind == "falling", withscores=True
        )
        return entries

    def _rank_behind(self, source: _Source, member: bytes, mark: float) -> int:
        """Where the entry behind ``member`` stands now. Where it has left or moved: behind where it was."""
        key = source.key
        if source.kind == "list":
            # Events leave a line at its head: what stood behind one that is gone has moved up to there.
            places = self._redis.lpos(key, member, count=0)
            return max((int(place) + 1 for place in places if place <= mark), default=0)
        if source.kind == "named":
            return int(self._redis.zlexcount(key, "-", b"[" + member))
        falling = source.kind == "falling"
        beyond = (f"({mark!r}", "+inf") if falling else ("-inf", f"({mark!r}")
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.zscore(key, member)
            pipe.zrevrank(key, member) if falling else pipe.zrank(key, member)
            pipe.zcount(key, *beyond)
            pipe.zrange(key, mark, mark, byscore=True, offset=0, num=SCAN_LIMIT)
            score, rank, before, equals = pipe.execute()
        if score == mark and rank is not None:
            return int(rank) + 1
        return int(before + sum(one > member if falling else one < member for one in equals))


def _job_of(member: bytes) -> str:
    # Members of the registry of running jobs are job:execution; a job id holds no colon.
    return member.decode("utf-8", "replace").partition(":")[0]


def _write_cursor(place: int, last: Entry) -> str:
    member, mark = last
    return f"{place}~{mark!r}~{quote_from_bytes(member, safe='')}"


def _read_cursor(cursor: str | None) -> tuple[int, Entry | None]:
    if cursor is None:
        return 0, None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise ValueError("the cursor is none of a page before")
    return int(match[1]), (unquote_to_bytes(match[3]), float(match[2]))
