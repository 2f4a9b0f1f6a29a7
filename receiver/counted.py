"""Read what was counted: totals, minutes, and attempts by handler. `receiver.ledger` reads events beside it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import redis

from receiver.attempts import HandlerCounts
from receiver.layout import Layout

_MINUTES_KEPT: Final = 1500
_BUCKET: Final = re.compile(r"ms:[0-9]{1,3}", re.ASCII)
# More than the scripts ever write; whoever else writes into Redis shall not make a reader's work endless.
_MOST_FIELDS: Final = 1000


@dataclass(frozen=True, slots=True)
class Minute:
    """What was counted in one minute; ``start`` in Unix seconds."""

    start: int
    counters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Use:
    """How often something was used ``since`` it is counted, and when ``last`` (Unix seconds; None: never)."""

    times: int
    since: float
    last: float | None


class Counted:
    """Reads one queue's numbers. Every method raises `redis.RedisError` where Redis cannot be reached."""

    def __init__(self, connection: redis.Redis, layout: Layout) -> None:
        self._redis: Any = connection
        self._layout = layout

    def counters(self) -> dict[str, int]:
        """All totals, by the names in `receiver.layout.COUNTERS`."""
        _, found = self._redis.hscan(self._layout.own("counters"), count=_MOST_FIELDS)
        return _whole_numbers(found)

    def minutes(self, number: int = 60, now: float | None = None) -> list[Minute]:
        """The last ``number`` minutes up to this one, at most 25 hours, the oldest first."""
        starts = _minutes(number, now)
        with self._redis.pipeline(transaction=False) as pipe:
            for minute in starts:
                pipe.hscan(self._layout.own(f"minute:{minute}"), count=_MOST_FIELDS)
            found = pipe.execute()
        return [Minute(start * 60, _whole_numbers(raw)) for start, (_, raw) in zip(starts, found, strict=True)]

    def uses(self) -> dict[str, Use]:
        """Which tokens, secrets and keys were used while several of a kind are accepted, by name (`receiver.uses`)."""
        _, raw = self._redis.hscan(self._layout.own("used"), count=_MOST_FIELDS)
        found: dict[str, dict[str, int]] = {}
        for full_name, number in _whole_numbers(raw).items():
            name, _, what = full_name.rpartition(":")
            found.setdefault(name, {})[what] = number
        return {
            name: Use(one.get("times", 0), one.get("since", 0) / 1000, one["last"] / 1000 if "last" in one else None)
            for name, one in found.items()
        }

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


def percentiles(counters: Mapping[str, int]) -> dict[str, float | None]:
    """p50, p95 and p99 of the latencies in counted buckets, in ms, rounded up by at most 19 %."""
    buckets = sorted((int(name[3:]), number) for name, number in counters.items() if _BUCKET.fullmatch(name))
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


def _minutes(number: int, now: float | None) -> range:
    last = int((time.time() if now is None else now) // 60)
    return range(last - min(number, _MINUTES_KEPT) + 1, last + 1)


def _by_handler(page: tuple[int, Mapping[bytes, bytes]]) -> dict[str, HandlerCounts]:
    return {name: HandlerCounts.from_text(numbers) for name, numbers in texts(page[1]).items()}


def texts(raw: Mapping[bytes, bytes]) -> dict[str, str]:
    """A hash as text; what is none gets replacement characters."""
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in raw.items()}


def _whole_numbers(raw: Mapping[bytes, bytes]) -> dict[str, int]:
    return {name: whole(text) for name, text in texts(raw).items()}


def whole(text: str | None) -> int:
    """A number as Redis keeps it; 0 for what is none."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0
